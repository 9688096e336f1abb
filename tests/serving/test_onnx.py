from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from kamld.errors import Invalid, SystemFault
from kamld.serving.models.onnx import OnnxModel, servable_file
from tests.serving.conftest import NAMES, write_model


def test_what_a_model_says_of_itself(digits: Path) -> None:
    model = OnnxModel(digits, "digits v1")
    assert [(s.name, s.datatype, s.shape) for s in model.inputs] == [("X", "FP32", (-1, 64))]
    assert [(s.datatype, s.shape) for s in model.outputs] == [("INT64", (-1,)), ("FP32", (-1, 10))]
    assert model.classes == NAMES


def test_it_answers_for_the_outputs_asked_for(digits: Path) -> None:
    model = OnnxModel(digits, "digits v1")
    (scores,) = model.run({"X": np.zeros((3, 64), np.float32)}, model.outputs[1:])
    assert scores.shape == (3, 10)
    assert np.allclose(scores.sum(axis=1), 1)


@pytest.mark.parametrize(
    ("paths", "file"),
    [
        (["README.md", "model.onnx", "other.onnx"], "model.onnx"),
        (["net.ONNX", "net.onnx.data"], "net.ONNX"),
        (["deep/net.onnx"], "deep/net.onnx"),
    ],
)
def test_which_file_is_served(paths: list[str], file: str) -> None:
    assert servable_file(paths, "m v1") == file


@pytest.mark.parametrize(
    ("paths", "code", "says"),
    [
        (["a.onnx", "b.onnx"], "which_model_file", "2 ONNX files: a.onnx, b.onnx"),
        (["model.pkl"], "no_servable_model", "It has model.pkl. Served today: ONNX"),
        ([], "no_servable_model", "It is empty."),
        ([f"f{n}" for n in range(7)], "no_servable_model", "f0, f1, f2, f3, f4 and 2 more"),
    ],
)
def test_no_file_to_serve(paths: list[str], code: str, says: str) -> None:
    with pytest.raises(Invalid) as caught:
        servable_file(paths, "m v1")
    assert caught.value.code == code
    assert says in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"not a model", b"\x08\x08" * 50])
def test_a_damaged_model_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "model.onnx").write_bytes(content)
    with pytest.raises(Invalid, match=r"m v1, model.onnx cannot be loaded") as caught:
        OnnxModel(tmp_path, "m v1")
    assert caught.value.code == "damaged_model"


def test_half_a_model_is_refused(tmp_path: Path, digits: Path) -> None:
    whole = (digits / "model.onnx").read_bytes()
    (tmp_path / "model.onnx").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(Invalid):
        OnnxModel(tmp_path, "m v1")


def test_a_zipmap_is_explained(zipmapped: Path) -> None:
    with pytest.raises(Invalid, match="zipmap") as caught:
        OnnxModel(zipmapped, "m v1")
    assert caught.value.code == "unsupported_output"


def test_bfloat16_is_refused_by_name(tmp_path: Path) -> None:
    kind = (TensorProto.BFLOAT16, [1])
    write_model(tmp_path, [helper.make_node("Identity", ["a"], ["b"])], {"a": kind}, {"b": kind})
    with pytest.raises(Invalid, match=r"bfloat16|Identity"):
        OnnxModel(tmp_path, "m v1")


def external(folder: Path, location: str) -> Path:
    weights = TensorProto(name="W", data_type=TensorProto.FLOAT, dims=[2, 3])
    weights.data_location = TensorProto.EXTERNAL
    for key, value in (("location", location), ("offset", "0"), ("length", "24")):
        entry = weights.external_data.add()
        entry.key, entry.value = key, value
    return write_model(
        folder,
        [helper.make_node("MatMul", ["X", "W"], ["Y"])],
        {"X": (TensorProto.FLOAT, ["n", 2])},
        {"Y": (TensorProto.FLOAT, ["n", 3])},
        [weights],
    )


def test_tensors_beside_the_model_are_read(tmp_path: Path) -> None:
    folder = external(tmp_path / "model", "weights.bin")
    (folder / "weights.bin").write_bytes(np.ones((2, 3), np.float32).tobytes())
    model = OnnxModel(folder, "m v1")
    assert model.run({"X": np.ones((1, 2), np.float32)}, model.outputs)[0].tolist() == [[2, 2, 2]]


@pytest.mark.parametrize("way_out", ["../secret", "/absolute", "link", "sub/../../secret", "folder/secret"])
def test_tensors_outside_the_models_folder_are_not(tmp_path: Path, way_out: str) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(np.ones((2, 3), np.float32).tobytes())
    folder = external(tmp_path / "model", str(secret) if way_out == "/absolute" else way_out)
    (folder / "link").symlink_to(secret)
    (folder / "folder").symlink_to(tmp_path)
    (folder / "sub").mkdir()
    with pytest.raises(Invalid) as caught:
        OnnxModel(folder, "m v1")
    assert caught.value.code == "bad_external_data", str(caught.value)
    assert "in the same folder" in caught.value.hint


def test_external_data_that_is_missing_or_short(tmp_path: Path) -> None:
    folder = external(tmp_path / "model", "weights.bin")
    with pytest.raises((Invalid, SystemFault)):
        OnnxModel(folder, "m v1")
    (folder / "weights.bin").write_bytes(b"short")
    with pytest.raises((Invalid, SystemFault)):
        OnnxModel(folder, "m v1")


def test_values_that_a_model_cannot_work_on(tmp_path: Path) -> None:
    table = helper.make_tensor("table", TensorProto.FLOAT, [2], [1.0, 2.0])
    write_model(
        tmp_path,
        [helper.make_node("Gather", ["table", "at"], ["y"])],
        {"at": (TensorProto.INT64, ["n"])},
        {"y": (TensorProto.FLOAT, ["n"])},
        [table],
    )
    model = OnnxModel(tmp_path, "m v1")
    assert model.run({"at": np.array([1])}, model.outputs)[0].tolist() == [2.0]
    with pytest.raises(Invalid, match="cannot work on this input") as caught:
        model.run({"at": np.array([9])}, model.outputs)
    assert caught.value.code == "model_refused"
    assert onnx.__version__
