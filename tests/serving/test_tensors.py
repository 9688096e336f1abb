import json
import math
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from kamld.errors import Invalid
from kamld.serving.oip.tensors import (
    DTYPES,
    Array,
    datatype_of,
    from_binary,
    from_json,
    to_binary,
    to_json,
)

NUMERIC = [name for name in DTYPES if name != "BYTES"]
SHAPES = hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4)


@st.composite
def tensors(draw: st.DrawFn, json_only: bool = False) -> tuple[str, Array]:
    names = [name for name in DTYPES if not (json_only and name == "FP16")]
    datatype = draw(st.sampled_from(names))
    shape = draw(SHAPES)
    if datatype == "BYTES":
        texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
        return datatype, draw(hnp.arrays(object, shape, elements=texts))
    return datatype, draw(hnp.arrays(DTYPES[datatype], shape))


def same(one: Array, other: Array) -> bool:
    return (
        one.dtype == other.dtype
        and np.array_equal(one, other, equal_nan=one.dtype.kind == "f")
        and one.shape == other.shape
    )


@given(tensors())
def test_binary_round_trip(tensor: tuple[str, Array]) -> None:
    datatype, array = tensor
    assert datatype_of(array) == datatype
    data = b"x" + to_binary(array, datatype)  # at an odd address
    assert same(from_binary(memoryview(data)[1:], datatype, array.shape, "it"), array)


@given(tensors(json_only=True), st.booleans())
def test_json_round_trip(tensor: tuple[str, Array], nested: bool) -> None:
    datatype, array = tensor
    flat = to_json(array, datatype, "it")
    encoded = msgspec.json.encode(flat)
    assert json.loads(encoded, parse_constant=lambda _: pytest.fail("not JSON")) == flat
    if nested and array.ndim and array.size:
        encoded = msgspec.json.encode(np.array(flat, dtype=object).reshape(array.shape).tolist())
    assert same(from_json(msgspec.Raw(encoded), datatype, array.shape, "it"), array)


@given(st.binary(max_size=40), st.sampled_from(list(DTYPES)), SHAPES)
def test_any_bytes_are_a_tensor_or_refused(data: bytes, datatype: str, shape: Any) -> None:
    try:
        array = from_binary(memoryview(data), datatype, shape, "it")
    except Invalid:
        return
    assert array.shape == tuple(shape)
    assert to_binary(array, datatype) == data


@pytest.mark.parametrize(
    ("datatype", "shape", "data"),
    [
        ("INT8", [1], "[128]"),
        ("UINT8", [1], "[-1]"),
        ("UINT64", [1], "[18446744073709551616]"),
        ("INT32", [1], "[1.5]"),
        ("INT32", [1], "[true]"),
        ("FP32", [1], "[1e39]"),
        ("FP64", [1], "[1e999]"),
        ("FP32", [1], "[null]"),
        ("FP32", [1], '["1"]'),
        ("FP32", [1], "[true]"),
        ("FP32", [2], '["NaN", true]'),
        ("BOOL", [1], "[1]"),
        ("BYTES", [1], "[1]"),
        ("FP32", [2, 2], "[[1, 2], [3]]"),
        ("FP32", [2, 2], "[[1, 2, 3, 4]]"),
        ("FP32", [2, 2], "[1, 2, 3]"),
        ("FP32", [1], "{}"),
        ("FP32", [1], '"a"'),
        ("FP32", [1], "[" * 5000 + "]" * 5000),
        ("FP16", [1], "[1.0]"),
    ],
)
def test_what_does_not_fit_is_refused(datatype: str, shape: list[int], data: str) -> None:
    with pytest.raises(Invalid, match="it "):
        from_json(msgspec.Raw(data.encode()), datatype, shape, "it")


def test_numbers_that_json_has_no_word_for_are_texts() -> None:
    array = np.array([1.0, math.nan, math.inf, -math.inf], np.float32)
    assert to_json(array, "FP32", "it") == [1.0, "NaN", "Infinity", "-Infinity"]


def test_a_bool_byte_is_0_or_1() -> None:
    with pytest.raises(Invalid, match="other than 0 and 1"):
        from_binary(memoryview(b"\2"), "BOOL", [1], "it")


def test_half_precision_has_no_json() -> None:
    with pytest.raises(Invalid, match="binary") as caught:
        to_json(np.zeros(1, np.float16), "FP16", "it")
    assert caught.value.code == "no_json_form"


def test_types_without_a_name_are_refused() -> None:
    with pytest.raises(Invalid, match="complex"):
        datatype_of(np.zeros(1, complex))
