import json
from contextlib import suppress
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kamld.errors import Invalid
from kamld.serving.interface import TensorSpec
from kamld.serving.oip.requests import InferRequest, decode_request, encode_request

X = TensorSpec("X", "FP32", (-1, 2))
N = TensorSpec("N", "INT64", (-1,))
T = TensorSpec("T", "BYTES", (-1, 1))
OUT = (TensorSpec("label", "INT64", (-1,)), TensorSpec("scores", "FP32", (-1, 3)))


def request(**changes: Any) -> dict[str, Any]:
    x = {"name": "X", "shape": [1, 2], "datatype": "FP32", "data": [1, 2], **changes}
    return {"inputs": [{name: value for name, value in x.items() if value is not None}]}


def decode(
    body: bytes | dict[str, Any], length: str | None = None, specs: tuple[TensorSpec, ...] = (X,)
) -> InferRequest:
    return decode_request(body if isinstance(body, bytes) else json.dumps(body).encode(), length, specs, OUT)


def with_binary(head: dict[str, Any], data: bytes) -> tuple[bytes, str]:
    encoded = json.dumps(head).encode()
    return encoded + data, str(len(encoded))


def test_all_outputs_are_answered_when_none_is_named() -> None:
    decoded = decode({"id": "42", **request()})
    assert decoded.id == "42"
    assert decoded.tensors["X"].tolist() == [[1.0, 2.0]]
    assert [spec.name for spec in decoded.outputs] == ["label", "scores"]
    assert decoded.binary == frozenset()


def test_outputs_are_answered_as_asked() -> None:
    outputs = [{"name": "scores"}, {"name": "label", "parameters": {"binary_data": False}}]
    body = {"parameters": {"binary_data_output": True}, "outputs": outputs, **request()}
    decoded = decode(body)
    assert [spec.name for spec in decoded.outputs] == ["scores", "label"]
    assert decoded.binary == {"scores"}


def test_tensors_follow_the_json() -> None:
    one = request(data=None, parameters={"binary_data_size": 8})["inputs"]
    two = [{"name": "N", "shape": [1], "datatype": "INT64", "data": [7]}]
    three = {
        "name": "T",
        "shape": [1, 1],
        "datatype": "BYTES",
        "parameters": {"binary_data_size": 6},
    }
    data = np.array([1.5, -2], "<f4").tobytes() + b"\2\0\0\0hi"
    decoded = decode(*with_binary({"inputs": [*one, *two, three]}, data), specs=(X, N, T))
    assert decoded.tensors["X"].tolist() == [[1.5, -2.0]]
    assert decoded.tensors["N"].tolist() == [7]
    assert decoded.tensors["T"].tolist() == [["hi"]]


@pytest.mark.parametrize(
    ("spec", "shape"),
    [
        ((-1, 2), (3, 2)),
        ((3, 2), (3, 2)),
        ((-1, -1), (1, 6)),
        ((6,), (6,)),
        ((-1, -1, 2), (1, 3, 2)),
    ],
)
def test_a_raw_body_is_the_only_input(spec: tuple[int, ...], shape: tuple[int, ...]) -> None:
    data = np.arange(6, dtype="<f4").tobytes()
    decoded = decode(data, "0", (TensorSpec("X", "FP32", spec),))
    assert decoded.tensors["X"].shape == shape
    assert decoded.binary == {"label", "scores"}


def test_a_raw_body_of_text() -> None:
    assert decode(b"hello", "0", (T,)).tensors["T"].tolist() == [["hello"]]


@pytest.mark.parametrize(
    ("body", "length", "says"),
    [
        (b"", None, "no body"),
        (b"{", None, "not an inference request"),
        (b"\xff", None, "not an inference request"),
        (b"[1]", None, "not an inference request"),
        (b"{}", None, "inputs"),
        (b"{}", "3", "the body has 2 bytes"),
        (b"{}", "-1", "the body has 2 bytes"),
        (b"{}", "²", "the body has 2 bytes"),
        (b"123", "0", "expected FP32 [-1,2]"),
        (
            request(name="Y"),
            None,
            'Input "Y" is not an input of this model. Expected: X (FP32 [-1,2])',
        ),
        (request(datatype="FP64"), None, 'Input "X" has type FP64; expected FP32 [-1,2]'),
        (request(shape=[1, 3]), None, 'Input "X" has shape [1,3]; expected [-1,2] FP32'),
        (request(shape=[2]), None, 'Input "X" has shape [2]; expected [-1,2] FP32'),
        (request(shape=[-1, 2]), None, 'Input "X" has shape [-1,2]'),
        (request(shape=[10**30, 2]), None, "expected [-1,2]"),
        (request(shape=["1", 2]), None, "Expected `int`"),
        (request(data=None), None, "neither data nor binary_data_size"),
        (request(parameters={"binary_data_size": 8}), None, "both"),
        (request(data=None, parameters={"binary_data_size": 8}), None, "0 bytes are left"),
        (request(data=None, parameters={"binary_data_size": -8}), None, "-8"),
        (request(data=None, parameters={"binary_data_size": True}), None, "True"),
        ({"inputs": []}, None, 'Input "X" is missing. Expected: X (FP32 [-1,2])'),
        ({"inputs": request()["inputs"] * 2}, None, "twice"),
        ({**request(), "outputs": [{"name": "Z"}]}, None, 'Output "Z" is not an output'),
        ({**request(), "outputs": [{"name": "label"}] * 2}, None, "twice"),
        ({**request(), "parameters": {"binary_data_output": 1}}, None, "true or false"),
    ],
)
def test_bad_requests_are_told_what_is_wrong(body: Any, length: str | None, says: str) -> None:
    with pytest.raises(Invalid) as caught:
        decode(body, length)
    assert says in str(caught.value)


def test_bytes_left_over_are_refused() -> None:
    with pytest.raises(Invalid, match="1 bytes follow"):
        decode(*with_binary(request(), b"x"))


def test_a_shape_too_large_for_any_array_is_refused() -> None:
    wide = TensorSpec("X", "FP32", (-1, -1, -1, -1))
    body = request(shape=[0, 2**40, 2**40, 2**40], data=[])
    with pytest.raises(Invalid, match="has shape"):
        decode(body, None, (wide,))


@given(
    st.dictionaries(
        st.text(min_size=1, max_size=5),
        st.one_of(st.lists(st.floats(width=32)), st.lists(st.integers(0, 9)), st.lists(st.booleans())),
        min_size=1,
        max_size=4,
    )
)
def test_what_the_client_encodes_is_decoded(values: dict[str, list[Any]]) -> None:
    arrays = {name: np.array(v, dtype=None if v else np.float32) for name, v in values.items()}
    types = {"f": "FP64", "i": "INT64", "b": "BOOL"}
    specs = tuple(
        TensorSpec(n, "FP32" if a.dtype == np.float32 else types[a.dtype.kind], (-1,))
        for n, a in arrays.items()
    )
    body, length = encode_request(arrays, id="7")
    decoded = decode(body, str(length), specs)
    assert decoded.id == "7"
    assert decoded.binary == {"label", "scores"}
    for name, array in arrays.items():
        assert np.array_equal(decoded.tensors[name], array, equal_nan=array.dtype.kind == "f")


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["name", "shape", "datatype", "data", "parameters", "inputs", "outputs"]),
            inner,
            max_size=5,
        )
    ),
    max_leaves=12,
)


@given(_json, st.binary(max_size=12), st.none() | st.integers(-1, 60).map(str) | st.text(max_size=3))
def test_anything_else_is_refused_and_nothing_else_happens(
    head: Any, data: bytes, length: str | None
) -> None:
    body = json.dumps(head).encode() + data
    with suppress(Invalid):
        decode(body, length)
