import json
import math

import numpy as np
import pytest

from kamld.errors import Invalid, SystemFault
from kamld.serving.interface import TensorSpec
from kamld.serving.oip.answers import EncodedAnswer, decode_answer, encode_answer

LABEL = TensorSpec("label", "INT64", (-1,))
SCORES = TensorSpec("scores", "FP32", (-1, 3))
ARRAYS = [np.array([4]), np.array([[0.5, 0.25, math.nan]], np.float32)]


def encoded(binary: set[str], id: str = "") -> EncodedAnswer:
    return encode_answer(
        model="m",
        version="v4",
        prediction="p",
        id=id,
        specs=[LABEL, SCORES],
        arrays=ARRAYS,
        binary=frozenset(binary),
    )


def test_json_has_flat_data_and_the_prediction_id() -> None:
    answer = encoded(set(), id="42")
    assert answer.json_length is None
    assert json.loads(answer.body) == {
        "model_name": "m",
        "model_version": "v4",
        "id": "42",
        "parameters": {"kamld_prediction_id": "p"},
        "outputs": [
            {"name": "label", "datatype": "INT64", "shape": [1], "data": [4]},
            {"name": "scores", "datatype": "FP32", "shape": [1, 3], "data": [0.5, 0.25, "NaN"]},
        ],
    }


@pytest.mark.parametrize("binary", [set(), {"label"}, {"scores"}, {"label", "scores"}])
def test_round_trip(binary: set[str]) -> None:
    made = encoded(binary)
    length = None if made.json_length is None else str(made.json_length)
    answer = decode_answer(made.body, length)
    assert (answer.model, answer.version, answer.prediction) == ("m", "v4", "p")
    assert answer.outputs["label"].tolist() == [4]
    assert np.array_equal(answer.outputs["scores"], ARRAYS[1], equal_nan=True)


def test_half_precision_must_be_asked_for_as_bytes() -> None:
    half = TensorSpec("h", "FP16", (-1,))
    with pytest.raises(Invalid, match="binary_data"):
        encode_answer(
            model="m",
            version="v1",
            prediction="p",
            id="",
            specs=[half],
            arrays=[np.zeros(1, np.float16)],
            binary=frozenset(),
        )


def test_another_servers_nonsense_is_named_as_such() -> None:
    with pytest.raises(SystemFault, match="not understood"):
        decode_answer(b"<html>", None)
