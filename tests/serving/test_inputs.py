"""Files as people have them, as a model's inputs."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from kamld.errors import Invalid, NotFound
from kamld.serving.inputs.files import read_inputs
from kamld.serving.inputs.rows import from_csv, from_json
from kamld.serving.interface import TensorSpec
from kamld.serving.oip.tensors import DTYPES, Array


def spec(*shape: int, datatype: str = "FP32", name: str = "X") -> TensorSpec:
    return TensorSpec(name, datatype, shape)


def picture(folder: Path, mode: str, width: int, height: int, name: str = "p.png") -> Path:
    shape = (height, width) if mode in ("L", "I;16") else (height, width, len(mode))
    kind = np.uint16 if mode == "I;16" else np.uint8
    values = (np.arange(np.prod(shape)) * (257 if mode == "I;16" else 1)).reshape(shape)
    Image.fromarray(values.astype(kind)).save(folder / name)
    return folder / name


def only(tensors: dict[str, Array]) -> Array:
    (tensor,) = tensors.values()
    return tensor


# --- pictures


@pytest.mark.parametrize(
    ("mode", "size", "shape", "result"),
    [
        ("L", (8, 8), (-1, 64), (1, 64)),
        ("L", (8, 8), (64,), (64,)),
        ("RGB", (4, 2), (-1, 24), (1, 24)),
        ("L", (8, 8), (-1, 1, 8, 8), (1, 1, 8, 8)),
        ("L", (8, 8), (-1, 8, 8, 1), (1, 8, 8, 1)),
        ("L", (8, 6), (-1, 6, 8), (1, 6, 8)),
        ("RGB", (9, 7), (-1, 3, 7, 9), (1, 3, 7, 9)),
        ("RGB", (9, 7), (1, 7, 9, 3), (1, 7, 9, 3)),
        ("RGB", (9, 7), (3, 7, 9), (3, 7, 9)),
        ("RGB", (9, 7), (7, 9, 3), (7, 9, 3)),
        ("RGBA", (5, 5), (-1, 4, -1, -1), (1, 4, 5, 5)),
        ("RGB", (9, 7), (-1, 3, -1, -1), (1, 3, 7, 9)),
        ("L", (9, 7), (-1, -1, -1, 3), (1, 7, 9, 3)),
        ("RGB", (20, 30), (-1, 3, 4, 5), (1, 3, 4, 5)),
        ("RGBA", (20, 30), (-1, 28, 28), (1, 28, 28)),
        ("L", (8, 8), (8, 8), (8, 8)),
    ],
)
def test_a_picture_in_every_arrangement(
    tmp_path: Path, mode: str, size: tuple[int, int], shape: tuple[int, ...], result: tuple[int, ...]
) -> None:
    tensor = only(read_inputs(picture(tmp_path, mode, *size), [spec(*shape)]))
    assert tensor.shape == result
    assert tensor.dtype == np.float32


def test_pixels_are_as_they_are_and_where_they_belong(tmp_path: Path) -> None:
    path = picture(tmp_path, "RGB", 3, 2)
    first = only(read_inputs(path, [spec(-1, 3, 2, 3)]))
    last = only(read_inputs(path, [spec(-1, 2, 3, 3, datatype="UINT8")]))
    assert first[0, 1, 1, 2] == last[0, 1, 2, 1] == 16
    assert last.ravel().tolist() == list(range(18))


def test_sixteen_bits_are_kept(tmp_path: Path) -> None:
    tensor = only(read_inputs(picture(tmp_path, "I;16", 4, 4), [spec(-1, 16)]))
    assert tensor.ravel().tolist() == [n * 257 for n in range(16)]


def test_a_photo_taken_sideways_is_turned(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (8, 4)).save(tmp_path / "p.jpg", exif=exif)
    assert only(read_inputs(tmp_path / "p.jpg", [spec(-1, 3, -1, -1)])).shape == (1, 3, 8, 4)


@pytest.mark.parametrize(
    ("shape", "datatype", "says"),
    [
        ((-1, 64), "FP32", "picture of 9 × 9 pixels"),
        ((-1, -1), "FP32", "picture of 9 × 9 pixels"),
        ((-1, 2, 9, 9), "FP32", "picture of 9 × 9 pixels"),
        ((-1, 9, 9), "INT8", "values from 100 to 250"),
        ((-1, 9, 9), "BYTES", "is a picture"),
    ],
)
def test_a_picture_that_does_not_fit(
    tmp_path: Path, shape: tuple[int, ...], datatype: str, says: str
) -> None:
    values = np.linspace(100, 250, 81).astype(np.uint8).reshape(9, 9)
    Image.fromarray(values).save(tmp_path / "p.png")
    with pytest.raises(Invalid) as caught:
        read_inputs(tmp_path / "p.png", [spec(*shape, datatype=datatype)])
    assert says in str(caught.value)
    assert f'Input "X" takes {datatype} [' in caught.value.hint
    assert "p.png" in caught.value.message


def test_files_that_are_no_input(tmp_path: Path) -> None:
    whole = picture(tmp_path, "RGB", 90, 90).read_bytes()
    (tmp_path / "half.png").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "notes.txt").write_text("hello")
    (tmp_path / "empty").write_bytes(b"")
    for name in ("half.png", "notes.txt", "empty"):
        with pytest.raises(Invalid, match=name):
            read_inputs(tmp_path / name, [spec(-1, 3, -1, -1)])
    with pytest.raises(NotFound, match="does not exist"):
        read_inputs(tmp_path / "nothing", [spec(-1)])
    with pytest.raises(NotFound, match="is a folder"):
        read_inputs(tmp_path, [spec(-1)])
    with pytest.raises(Invalid, match="the model has 2: a, b"):
        read_inputs(tmp_path / "p.png", [spec(-1, name="a"), spec(-1, name="b")])


# --- JSON


@pytest.mark.parametrize(
    ("text", "shape", "result"),
    [
        ("[1, 2, 3]", (-1, 3), [[1, 2, 3]]),
        ("[[1, 2, 3], [4, 5, 6]]", (-1, 3), [[1, 2, 3], [4, 5, 6]]),
        ("[1, 2, 3, 4]", (-1, 2, 2), [[[1, 2], [3, 4]]]),
        ("[[1, 2], [3, 4]]", (-1, 4), [[1, 2, 3, 4]]),
        ("5", (-1, 1), [[5]]),
        ("5", (-1,), [5]),
        ("5", (), 5),
        ("[1, 2, 3]", (-1, 1), [[1], [2], [3]]),
        ('{"X": [1, 2]}', (-1, 2), [[1, 2]]),
        ('[{"X": 1}, {"X": 2}]', (-1, 1), [[1], [2]]),
        (
            '{"inputs": [{"name": "X", "shape": [1, 2], "datatype": "FP32", "data": [1, 2]}]}',
            (-1, 2),
            [[1, 2]],
        ),
    ],
)
def test_json(text: str, shape: tuple[int, ...], result: object) -> None:
    tensor = only(from_json(text.encode(), [spec(*shape)], "x.json"))
    assert tensor.tolist() == result
    assert tensor.dtype == np.float32


def test_json_for_several_inputs() -> None:
    specs = [spec(-1, 1, name="age", datatype="INT64"), spec(-1, 1, name="city", datatype="BYTES")]
    rows = [{"age": 3, "city": "Köln"}, {"age": 4, "city": "Bonn"}]
    for value, count in ((rows[0], 1), (rows, 2)):
        tensors = from_json(json.dumps(value).encode(), specs, "x.json")
        assert tensors["age"].tolist() == [[3], [4]][:count]
        assert tensors["city"].tolist() == [["Köln"], ["Bonn"]][:count]


@pytest.mark.parametrize(
    ("text", "datatype", "says"),
    [
        ("[1, 2", "FP32", "x.json is not valid JSON"),
        ("[1, 2]", "FP32", "x.json has shape [2]"),
        ("[[1, 2, 3], [4]]", "FP32", "rows of equal length"),
        ('["a", "b", "c"]', "FP32", "x.json has text"),
        ('[1, "b", 3]', "FP32", "x.json has text"),
        ("[1, 2, 3]", "BYTES", "x.json has whole numbers"),
        ("[1.5, 2, 3]", "INT64", "x.json has numbers"),
        ("[1, 2, 300]", "UINT8", "values from 1 to 300"),
        ("[1, 2, 1e39]", "FP32", "numbers too large"),
        ("[null, 2, 3]", "FP32", "x.json has text"),
        ('{"Y": [1, 2, 3]}', "FP32", "x.json has the fields Y. The model's inputs are X."),
        ("[" * 9000 + "]" * 9000, "FP32", "x.json"),
    ],
)
def test_json_that_does_not_fit(text: str, datatype: str, says: str) -> None:
    with pytest.raises(Invalid) as caught:
        from_json(text.encode(), [spec(-1, 3, datatype=datatype)], "x.json")
    assert says in str(caught.value)


# --- CSV


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ("1,2,3\n", [[1, 2, 3]]),
        ("a,b,c\n1,2,3\n4,5,6\n", [[1, 2, 3], [4, 5, 6]]),
        ("file,a,b,c,label\np.png,1,2.5,3,rose\n", [[1, 2.5, 3]]),
        ("\ufeffa,b,c\r\n1,2,3\r\n\r\n", [[1, 2, 3]]),
    ],
)
def test_csv_has_the_numeric_columns_in_order(text: str, result: object) -> None:
    assert only(from_csv(text.encode(), [spec(-1, 3)], "x.csv")).tolist() == result


def test_csv_for_several_inputs_goes_by_name() -> None:
    specs = [spec(-1, 1, name="age", datatype="INT64"), spec(-1, name="city", datatype="BYTES")]
    tensors = from_csv("city,age,x\nKöln,3,1\n50667,4,1\n".encode(), specs, "x.csv")
    assert tensors["age"].tolist() == [[3], [4]]
    assert tensors["city"].tolist() == ["Köln", "50667"]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "has no rows"),
        ("a,b,c\n", "header but no rows"),
        ("1,2\n3\n", "rows of equal length"),
        ("a,b,c,id\n1,2,3,4\n", "x.csv with 4 numeric columns (a, b, c, id) has shape [1,4]."),
        ("name\nx\n", "no column of numbers"),
        ("a\0\n", "x.csv"),
        ("1,2,3\n4,5,\n", "with 2 numeric columns"),
    ],
)
def test_csv_that_does_not_fit(text: str, says: str) -> None:
    with pytest.raises(Invalid) as caught:
        from_csv(text.encode(), [spec(-1, 3)], "x.csv")
    assert says in str(caught.value)


def test_csv_without_the_names_of_the_inputs() -> None:
    specs = [spec(-1, 1, name="a"), spec(-1, 1, name="b")]
    for text in ("a,c\n1,2\n", "1,2\n"):
        with pytest.raises(Invalid, match="must name the inputs: a, b"):
            from_csv(text.encode(), specs, "x.csv")


# --- NumPy


def save(path: Path, array: object) -> Path:
    np.save(path, array)  # type: ignore[arg-type]
    return path


def test_numpy(tmp_path: Path) -> None:
    for shape, result in (((64,), 1), ((8, 8), 1), ((5, 64), 5), ((5, 8, 8), 5)):
        path = save(tmp_path / "x.npy", np.ones(shape))
        tensor = only(read_inputs(path, [spec(-1, 64)]))
        assert (tensor.shape, tensor.dtype) == ((result, 64), np.float32)


def test_numpy_by_name(tmp_path: Path) -> None:
    specs = [spec(-1, 2, name="a"), spec(-1, name="b", datatype="INT32")]
    np.savez(tmp_path / "x.npz", a=np.ones((3, 2)), b=np.arange(3), c=np.arange(9))
    tensors = read_inputs(tmp_path / "x.npz", specs)
    assert {name: t.shape for name, t in tensors.items()} == {"a": (3, 2), "b": (3,)}
    with pytest.raises(Invalid, match='has no array "d"; it has a, b, c'):
        read_inputs(tmp_path / "x.npz", [*specs, spec(-1, name="d")])


def test_rows_never_run_into_each_other(tmp_path: Path) -> None:
    with pytest.raises(Invalid, match=r"shape \[64,10\]"):
        read_inputs(save(tmp_path / "x.npy", np.ones((64, 10))), [spec(-1, 64)])


def test_numpy_that_would_run_code_or_is_damaged(tmp_path: Path) -> None:
    evil = save(tmp_path / "evil.npy", np.array([object()], dtype=object))
    whole = save(tmp_path / "whole.npy", np.ones(64)).read_bytes()
    (tmp_path / "half.npy").write_bytes(whole[:200])
    (tmp_path / "empty.npz").write_bytes(b"")
    (tmp_path / "pickle.npy").write_bytes(b"\x80\x04K\x01.")
    names = ("half.npy", "empty.npz", "pickle.npy")
    for path in (evil, *(tmp_path / name for name in names)):
        with pytest.raises(Invalid, match=path.name):
            read_inputs(path, [spec(-1, 64)])


# --- anything


@given(
    st.sampled_from([".json", ".csv", ".npy", ".npz", ".png"]),
    st.binary(max_size=60) | st.text(max_size=60).map(str.encode),
    st.sampled_from(list(DTYPES)),
    st.lists(st.sampled_from([-1, 0, 1, 3, 8, 64]), max_size=4),
)
def test_anything_is_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, kind: str, data: bytes, datatype: str, shape: list[int]
) -> None:
    path = tmp_path_factory.getbasetemp() / f"anything{kind}"
    path.write_bytes(data)
    wanted = spec(*shape, datatype=datatype)
    try:
        tensor = only(read_inputs(path, [wanted]))
    except (Invalid, NotFound):
        return
    assert wanted.fits(tensor.shape)
    assert tensor.dtype == DTYPES[datatype]
