from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits

from kamld.errors import Invalid, NotFound, SystemFault
from kamld.serving.client import Client
from kamld.serving.predict import predict
from kamld.serving.predictions import find
from tests.serving.conftest import NAMES, Hub, eventually


def test_a_picture_of_a_three(served: Hub, tmp_path: Path) -> None:
    pixels, labels = load_digits(return_X_y=True)
    three = pixels[labels == 3][0].astype(np.uint8).reshape(8, 8)
    Image.fromarray(three).save(tmp_path / "three.png")
    done = predict(served.client, "digits", tmp_path / "three.png")
    assert done.scores[0][0][0] == "three"
    assert done.scores[0][0][1] > 0.5
    assert len(done.scores[0]) == 10
    assert done.summary.startswith("three 0.")
    assert done.metadata.classes == NAMES
    assert done.answer.version == "v4"
    eventually(lambda: find(served.predictions, done.answer.prediction))
    line = find(served.predictions, done.answer.prediction)
    assert line is not None
    assert line.answer == done.summary


def test_every_odd_type_through_a_file(served: Hub, tmp_path: Path) -> None:
    np.savez(
        tmp_path / "x.npz",
        half=np.array([1.5, 2]),
        double=np.array([np.nan, 1]),
        text=np.array(["a", "ß"]),
        flag=np.array([True, False]),
        big=np.array([1, 2]),
    )
    outputs = predict(served.client, "echo", tmp_path / "x.npz").answer.outputs
    assert outputs["half_out"].tolist() == [[1.5, 2]]
    assert outputs["text_out"].tolist() == [["a", "ß"]]


def test_what_goes_wrong_is_told(served: Hub, tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text("[1, 2]")
    with pytest.raises(Invalid, match=r"x\.json has shape \[2\]"):
        predict(served.client, "digits", tmp_path / "x.json")
    with pytest.raises(NotFound, match="Served: digits, echo"):
        predict(served.client, "roses", tmp_path / "x.json")
    with pytest.raises(NotFound, match="It serves: v4"):
        predict(served.client, "digits", tmp_path / "x.json", version="v5")
    with pytest.raises(SystemFault, match="No server answers at"):
        predict(Client("http://127.0.0.1:1"), "digits", tmp_path / "x.json")
