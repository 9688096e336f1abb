"""Tensors between numpy and the two forms of the wire: JSON and little-endian bytes.

BYTES elements are held as `str`, because ONNX strings are UTF-8. Numbers that JSON has no word for
travel as the texts "NaN", "Infinity" and "-Infinity", as in protobuf's JSON; FP16 has no JSON form
at all (Triton and KServe refuse it too) and BF16 is not supported.
"""

import math
import struct
from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from kamld.errors import Invalid
from kamld.serving.interface import shape_text

Array = npt.NDArray[Any]

DTYPES: dict[str, np.dtype[Any]] = {
    "BOOL": np.dtype(np.bool_),
    "UINT8": np.dtype("<u1"),
    "UINT16": np.dtype("<u2"),
    "UINT32": np.dtype("<u4"),
    "UINT64": np.dtype("<u8"),
    "INT8": np.dtype("<i1"),
    "INT16": np.dtype("<i2"),
    "INT32": np.dtype("<i4"),
    "INT64": np.dtype("<i8"),
    "FP16": np.dtype("<f2"),
    "FP32": np.dtype("<f4"),
    "FP64": np.dtype("<f8"),
    "BYTES": np.dtype(object),
}
_NOT_FINITE = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}
_DEPTH_MAX = 16  # of nested lists in JSON
_LOOKED_AT = 200  # bytes
_LENGTH = struct.Struct("<I")


def datatype_of(array: Array) -> str:
    """Raises Invalid for a dtype that the protocol has no name for."""
    kind = {"b": "BOOL", "u": "UINT", "i": "INT", "f": "FP", "O": "BYTES", "U": "BYTES"}.get(
        array.dtype.kind, "?"
    )
    name = kind if kind in ("BOOL", "BYTES") else f"{kind}{array.dtype.itemsize * 8}"
    if name not in DTYPES:
        raise Invalid("unsupported_type", f"Values of type {array.dtype} cannot be sent.")
    return name


def from_json(data: msgspec.Raw, datatype: str, shape: Sequence[int], where: str) -> Array:
    """The tensor in `data`, nested like `shape` or flat.

    Raises Invalid naming `where` for a wrong type, a value out of range or a wrong count.
    """
    if datatype == "FP16":
        raise Invalid(
            "no_json_form",
            f"{where} is FP16, which JSON cannot carry.",
            "Send it as binary data (parameters.binary_data_size).",
        )
    depth = _depth(memoryview(data)[:_LOOKED_AT])
    try:
        values = _decoder(datatype, depth).decode(data)
        with np.errstate(over="raise"):
            array = np.array(values, dtype=DTYPES[datatype])
    except msgspec.ValidationError as error:
        array = _with_texts(data, datatype, where, error)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Invalid("bad_json", f"{where} is not valid JSON: {error}.") from None
    except (OverflowError, FloatingPointError) as error:
        raise _bad_value(where, datatype, error) from None
    except ValueError:
        raise Invalid("ragged_data", f"{where} has lists of unequal length in its data.") from None
    return _shaped(array, datatype, shape, where)


def _depth(start: memoryview) -> int:
    """How deep the lists are nested at the start of the data."""
    depth = 0
    for byte in start:
        if byte == 0x5B:  # [
            depth += 1
        elif byte not in b" \t\r\n":
            break
    return min(max(depth, 1), _DEPTH_MAX)


_decoders: dict[tuple[str, int], msgspec.json.Decoder[Any]] = {}


def _decoder(datatype: str, depth: int) -> msgspec.json.Decoder[Any]:
    found = _decoders.get((datatype, depth))
    if found is None:
        element: Any = {"BOOL": bool, "BYTES": str, "FP32": float, "FP64": float}.get(datatype, int)
        found = _decoders[datatype, depth] = msgspec.json.Decoder(_nested(element, depth))
    return found


def _nested(element: Any, depth: int) -> Any:
    for _ in range(depth):
        element = list[element]
    return element


def _with_texts(data: msgspec.Raw, datatype: str, where: str, error: msgspec.ValidationError) -> Array:
    """Floats some of which are written as texts; `error` is why plain numbers did not do."""
    wrong = _bad_value(where, datatype, error)
    if datatype not in ("FP32", "FP64") or b'"' not in bytes(data):
        raise wrong from None
    try:
        values = _numbers(msgspec.json.decode(data))
        with np.errstate(over="raise"):
            return np.array(values, dtype=DTYPES[datatype])
    except (FloatingPointError, ValueError, TypeError, KeyError, OverflowError, RecursionError):
        raise wrong from None


def _numbers(values: Any) -> Any:
    if isinstance(values, list):
        return [_numbers(value) for value in values]
    if isinstance(values, str):
        return _NOT_FINITE[values]
    if isinstance(values, bool) or not isinstance(values, int | float):
        raise TypeError
    return values


def _bad_value(where: str, datatype: str, why: object) -> Invalid:
    return Invalid("wrong_value", f"{where} has data that is not {datatype}: {why}.")


def _shaped(array: Array, datatype: str, shape: Sequence[int], where: str) -> Array:
    if array.shape == tuple(shape):
        return array
    wanted = math.prod(shape)
    if array.size != wanted or (array.ndim > 1 and array.size):
        given = shape_text(array.shape) if array.ndim > 1 else f"{array.size} elements"
        raise Invalid(
            "wrong_count",
            f"{where} has data of {given}, but its shape {shape_text(shape)} holds {wanted} "
            f"{datatype} elements.",
        )
    return array.reshape(shape)


def from_binary(data: memoryview, datatype: str, shape: Sequence[int], where: str) -> Array:
    """The tensor in exactly `data`. Raises Invalid naming `where`. The array may share `data`."""
    if datatype == "BYTES":
        return _texts(data, math.prod(shape), where).reshape(shape)
    dtype = DTYPES[datatype]
    wanted = math.prod(shape) * dtype.itemsize
    if len(data) != wanted:
        raise Invalid(
            "wrong_size",
            f"{where} has {len(data)} bytes of data; {datatype} {shape_text(shape)} is {wanted}.",
        )
    if datatype == "BOOL" and any(byte > 1 for byte in set(bytes(data))):
        raise Invalid("wrong_value", f"{where} has BOOL bytes other than 0 and 1.")
    array: Array = np.frombuffer(data, dtype=dtype).reshape(shape)
    return array if array.flags.aligned else array.copy()


def _texts(data: memoryview, count: int, where: str) -> Array:
    texts: list[str] = []
    position = 0
    while position < len(data):
        start = position + _LENGTH.size
        if start > len(data):
            raise _torn(where)
        position = start + _LENGTH.unpack_from(data, position)[0]
        if position > len(data):
            raise _torn(where)
        try:
            texts.append(str(data[start:position], "utf-8"))
        except UnicodeDecodeError:
            raise Invalid("wrong_value", f"{where} has a BYTES element that is not UTF-8.") from None
    if len(texts) != count:
        raise Invalid("wrong_size", f"{where} has {len(texts)} BYTES elements; its shape holds {count}.")
    array = np.empty(count, dtype=object)
    array[:] = texts
    return array


def _torn(where: str) -> Invalid:
    return Invalid(
        "wrong_size",
        f"{where} ends within a BYTES element.",
        "Each element is its length as 4 bytes, little-endian, then that many bytes.",
    )


def to_json(array: Array, datatype: str, where: str) -> list[Any]:
    """The elements in row-major order. Raises Invalid for FP16."""
    if datatype == "FP16":
        raise Invalid(
            "no_json_form",
            f"{where} is FP16, which JSON cannot carry.",
            "Ask for it as binary data (parameters.binary_data).",
        )
    values: list[Any] = array.ravel().tolist()
    if array.dtype.kind == "f" and not math.isfinite(sum(values)):
        return [_json_number(value) for value in values]
    return values


def _json_number(value: float) -> float | str:
    if math.isfinite(value):
        return value
    if math.isnan(value):
        return "NaN"
    return "Infinity" if value > 0 else "-Infinity"


def to_binary(array: Array, datatype: str) -> bytes:
    if datatype != "BYTES":
        return np.ascontiguousarray(array, dtype=DTYPES[datatype]).tobytes()
    parts = []
    for element in array.ravel().tolist():
        encoded = element if isinstance(element, bytes) else str(element).encode()
        parts += [_LENGTH.pack(len(encoded)), encoded]
    return b"".join(parts)
