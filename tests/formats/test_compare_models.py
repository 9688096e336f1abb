"""What differs between two models, and files that lie about what is in them."""

import io
import json
import pickle
import zipfile
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
import skops.io
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper
from sklearn.linear_model import LogisticRegression

from kamld.errors import Invalid
from kamld.formats.models import ModelDiff, compare_models

Arrays = dict[str, np.ndarray[Any, Any]]


def npz(arrays: Arrays, compressed: bool = True) -> bytes:
    out = io.BytesIO()
    (np.savez_compressed if compressed else np.savez)(out, **arrays)  # type: ignore[arg-type]
    return out.getvalue()


def npy(array: Any, **options: Any) -> bytes:
    out = io.BytesIO()
    np.save(out, array, **options)
    return out.getvalue()


def onnx(arrays: Arrays, op: str = "Add") -> bytes:
    node = helper.make_node(op, ["x", next(iter(arrays))], ["y"])
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [None]) for name in "xy"]
    tensors = [numpy_helper.from_array(array, name) for name, array in arrays.items()]
    return helper.make_model(helper.make_graph([node], "g", ends[:1], ends[1:], tensors)).SerializeToString()


WRITERS: dict[str, Callable[[Arrays], bytes]] = {
    ".npz": npz, ".safetensors": safetensors.numpy.save, ".onnx": onnx,
}  # fmt: skip


def compared(old: bytes, new: bytes, suffix: str) -> ModelDiff:
    return compare_models(io.BytesIO(old), io.BytesIO(new), suffix=suffix)


@pytest.mark.parametrize("suffix", WRITERS)
def test_arrays_are_added_removed_and_changed_with_their_norms(suffix: str) -> None:
    same = np.arange(6, dtype=np.float32).reshape(2, 3)
    old = {"a": same, "b": np.array([3.0, 4.0]), "gone": np.zeros(2, np.int64), "s": np.zeros(3)}
    new = {"a": same, "b": np.array([3.0, 0.0]), "new": np.zeros((4, 1), np.float16), "s": np.ones(4)}
    found = compared(WRITERS[suffix](old), WRITERS[suffix](new), suffix)
    assert (found.old_arrays, found.new_arrays) == (4, 4)
    by_name = {change.name: change for change in found.arrays}
    assert {name: change.sort for name, change in by_name.items()} == {
        "b": "changed", "gone": "removed", "s": "changed", "new": "added",
    }  # fmt: skip
    assert by_name["b"].norms == (5.0, 3.0, 4.0)
    assert (by_name["new"].old, by_name["new"].new) == (None, "float16 4×1")
    assert (by_name["s"].old, by_name["s"].new, by_name["s"].norms) == (
        "float64 3",
        "float64 4",
        (0, 2, None),
    )


@given(st.lists(st.floats(-100, 100, width=16), min_size=1), st.sampled_from(["f2", "f4", "f8", "i4", "c8"]))
def test_norms_are_numpys(values: list[float], dtype: str) -> None:
    old = np.array(values).astype(dtype)
    new = (old + 1).astype(dtype)
    found = compared(npy(old), npy(new), ".npy").arrays
    wanted = [float(np.linalg.norm(np.abs(part.astype("c16")))) for part in (old, new)]
    assert bool(found) == (old.tobytes() != new.tobytes())
    for change in found:
        assert change.norms is not None
        assert change.norms[:2] == pytest.approx(wanted)


def test_nodes_of_onnx() -> None:
    arrays = {"w": np.ones(2, np.float32)}
    assert compared(onnx(arrays), onnx(arrays), ".onnx").parts == []
    parts = compared(onnx(arrays), onnx(arrays, "Mul"), ".onnx").parts
    assert [(part.name, part.sort, part.old, part.new) for part in parts] == [
        ("y", "changed", "Add (x, w → y)", "Mul (x, w → y)")
    ]


def test_scikit_learn_by_skops() -> None:
    x, y = np.array([[0.0], [1.0], [2.0], [3.0]]), np.array([0, 0, 1, 1])
    old, new = (skops.io.dumps(LogisticRegression(C=c).fit(x, y)) for c in (1.0, 2.0))
    found = compared(old, new, ".skops")
    assert {change.name for change in found.arrays} == {"coef_", "intercept_"}
    assert ("C", "1.0", "2.0") in [(part.name, part.old, part.new) for part in found.parts]
    again = skops.io.dumps(LogisticRegression(C=1.0).fit(x, y))
    assert (compared(old, again, ".skops").arrays, compared(old, again, ".skops").parts) == ([], [])


def test_bfloat16() -> None:
    def file(*words: int) -> bytes:
        data = b"".join(word.to_bytes(2, "little") for word in words)
        about = {"w": {"dtype": "BF16", "shape": [len(words)], "data_offsets": [0, len(data)]}}
        header = json.dumps(about).encode()
        return len(header).to_bytes(8, "little") + header + data

    [change] = compared(file(0x3F80), file(0x4000), ".safetensors").arrays  # 1 and 2
    assert (change.new, change.norms) == ("bfloat16 1", (1.0, 2.0, 1.0))


class Trap:
    def __reduce__(self) -> Any:
        return pickle.loads, (b"this would have been run",)


def lying(shape: list[int], end: int) -> bytes:
    header = json.dumps({"w": {"dtype": "F32", "shape": shape, "data_offsets": [0, end]}}).encode()
    return len(header).to_bytes(8, "little") + header + bytes(8)


@pytest.mark.parametrize(
    ("suffix", "data"),
    [
        (".npy", npy(np.array([Trap()], object), allow_pickle=True)),
        (".npy", npy(np.zeros(100))[:-1]),
        (".npy", b"\x93NUMPY\x01\x00\xff\xff{"),
        (".npz", npz({"a": np.zeros(1000)})[:-30]),
        (".npz", b"PK\3\4"),
        (".safetensors", lying([1 << 40, 1 << 40], 8)),
        (".safetensors", lying([2], 1 << 60)),
        (".safetensors", lying([-1], 8)),
        (".safetensors", (1 << 62).to_bytes(8, "little")),
        (".safetensors", b""),
        (".onnx", b"\xff\xff\xff"),
        (".skops", npz({"a": np.zeros(2)})),
    ],
)
def test_what_lies_is_refused(suffix: str, data: bytes) -> None:
    with pytest.raises(Invalid) as caught:
        compared(data, data, suffix)
    assert caught.value.code == "bad_model"


@pytest.mark.parametrize("suffix", [".npz", ".safetensors", ".onnx", ".skops"])
def test_damage_raises_invalid_and_nothing_else(suffix: str) -> None:
    arrays = {"a": np.arange(20.0), "b": np.ones((3, 3), np.float32)}
    whole = skops.io.dumps(arrays) if suffix == ".skops" else WRITERS[suffix](arrays)
    assert compared(whole, whole, suffix).arrays == []
    refused = 0
    for at in range(0, len(whole), max(1, len(whole) // 300)):
        damaged = bytearray(whole)
        damaged[at] ^= 0x5A
        try:
            compared(whole, bytes(damaged), suffix)
        except Invalid:
            refused += 1
    assert refused


def test_a_schema_that_is_too_deep_is_refused() -> None:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("schema.json", '{"content":' * 500 + "1" + "}" * 500)
    with pytest.raises(Invalid):
        compared(out.getvalue(), out.getvalue(), ".skops")
