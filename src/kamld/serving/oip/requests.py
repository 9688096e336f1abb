"""Inference requests: JSON, optionally followed by tensors as bytes, or the bytes of one tensor.

What the model does not expect is refused here, so that a model only ever sees its own types and
shapes.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from kamld.errors import Invalid
from kamld.serving.interface import TensorSpec, shape_text
from kamld.serving.oip.tensors import (
    DTYPES,
    Array,
    datatype_of,
    from_binary,
    from_json,
    to_binary,
)

LENGTH_HEADER = "inference-header-content-length"
_ELEMENTS_MAX = 1 << 40


@dataclass(frozen=True, slots=True)
class InferRequest:
    id: str
    tensors: dict[str, Array]
    outputs: tuple[TensorSpec, ...]  # those to answer, in the order asked for
    binary: frozenset[str]  # names of outputs to answer as bytes


_ABSENT = msgspec.Raw(b"")


class _Input(msgspec.Struct):
    name: str
    datatype: str
    shape: list[int]
    data: msgspec.Raw = _ABSENT
    parameters: dict[str, Any] = {}


class _Output(msgspec.Struct):
    name: str
    parameters: dict[str, Any] = {}


class _Request(msgspec.Struct):
    inputs: list[_Input]
    id: str = ""
    parameters: dict[str, Any] = {}
    outputs: list[_Output] = []


_decoder = msgspec.json.Decoder(_Request)


def decode_request(
    body: bytes,
    header_length: str | None,
    inputs: Sequence[TensorSpec],
    outputs: Sequence[TensorSpec],
) -> InferRequest:
    """The request in `body`, which fits `inputs` and `outputs`.

    `header_length` is the header's value: how many bytes of JSON come first. Raises Invalid.
    """
    length = _header_length(header_length, len(body))
    if length == 0:
        return _raw_request(body, inputs, outputs)
    try:
        request = _decoder.decode(memoryview(body)[:length])
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise Invalid("bad_request", f"The request is not an inference request: {error}.") from None
    tensors = _tensors(request.inputs, memoryview(body)[length:], {spec.name: spec for spec in inputs})
    wanted, binary = _wanted(request, outputs)
    return InferRequest(request.id, tensors, wanted, binary)


def _header_length(value: str | None, size: int) -> int:
    if value is None:
        if size == 0:
            raise Invalid("bad_request", "The request has no body.")
        return size
    if not (value.isascii() and value.isdigit()) or len(value) > 18 or int(value) > size:
        raise Invalid(
            "bad_header",
            f"Inference-Header-Content-Length is {value[:40]!r}, but the body has {size} bytes.",
            "It is the length of the JSON before the binary data.",
        )
    return int(value)


def _tensors(given: list[_Input], rest: memoryview, specs: Mapping[str, TensorSpec]) -> dict[str, Array]:
    tensors: dict[str, Array] = {}
    for item in given:
        spec = specs.get(item.name)
        if spec is None or item.name in tensors:
            what = "is given twice" if spec else "is not an input of this model"
            raise Invalid("unknown_input", f'Input "{item.name}" {what}.', _expected(specs.values()))
        _check(item, spec)
        where = f'Input "{item.name}"'
        size = item.parameters.get("binary_data_size")
        if size is None:
            if item.data is _ABSENT:
                raise Invalid("no_data", f"{where} has neither data nor binary_data_size.")
            tensors[item.name] = from_json(item.data, spec.datatype, item.shape, where)
            continue
        if item.data is not _ABSENT:
            raise Invalid("bad_request", f"{where} has both data and binary_data_size.")
        if type(size) is not int or not 0 <= size <= len(rest):
            raise Invalid(
                "wrong_size",
                f"{where} has binary_data_size {size!r}; {len(rest)} bytes are left in the body.",
            )
        tensors[item.name] = from_binary(rest[:size], spec.datatype, item.shape, where)
        rest = rest[size:]
    _check_complete(tensors, rest, specs)
    return tensors


def _check(item: _Input, spec: TensorSpec) -> None:
    if item.datatype != spec.datatype:
        raise Invalid(
            "wrong_type",
            f'Input "{spec.name}" has type {item.datatype[:20]}; expected {spec.datatype} '
            f"{shape_text(spec.shape)}.",
        )
    if not spec.fits(item.shape) or not _can_be(item.shape):
        raise Invalid(
            "wrong_shape",
            f'Input "{spec.name}" has shape {shape_text(item.shape)[:200]}; expected '
            f"{shape_text(spec.shape)} {spec.datatype}.",
        )


def _can_be(shape: list[int]) -> bool:
    """Whether an array can have this shape: numpy counts its elements with zeros taken as ones."""
    room = 1
    for size in shape:
        if size < 0:
            return False
        room *= size or 1
    return room <= _ELEMENTS_MAX


def _check_complete(tensors: Mapping[str, Array], rest: memoryview, specs: Mapping[str, TensorSpec]) -> None:
    missing = [spec for name, spec in specs.items() if name not in tensors]
    if missing:
        raise Invalid("missing_input", f'Input "{missing[0].name}" is missing.', _expected(missing))
    if len(rest):
        raise Invalid("wrong_size", f"{len(rest)} bytes follow the last tensor of the request.")


def _expected(specs: Any) -> str:
    listed = ", ".join(f"{s.name} ({s.datatype} {shape_text(s.shape)})" for s in specs)
    return f"Expected: {listed}."


def _wanted(
    request: _Request, outputs: Sequence[TensorSpec]
) -> tuple[tuple[TensorSpec, ...], frozenset[str]]:
    all_binary = _flag(request.parameters, "binary_data_output", False)
    if not request.outputs:
        return tuple(outputs), frozenset(s.name for s in outputs) if all_binary else frozenset()
    by_name = {spec.name: spec for spec in outputs}
    wanted: dict[str, TensorSpec] = {}
    binary = set()
    for item in request.outputs:
        if item.name not in by_name or item.name in wanted:
            what = "is asked for twice" if item.name in wanted else "is not an output of this model"
            raise Invalid(
                "unknown_output",
                f'Output "{item.name}" {what}.',
                f"It has: {', '.join(by_name)}.",
            )
        wanted[item.name] = by_name[item.name]
        if _flag(item.parameters, "binary_data", all_binary):
            binary.add(item.name)
    return tuple(wanted.values()), frozenset(binary)


def _flag(parameters: Mapping[str, Any], name: str, default: bool) -> bool:
    value = parameters.get(name, default)
    if type(value) is not bool:
        raise Invalid("bad_request", f"Parameter {name} is {value!r}; it must be true or false.")
    return value


def _raw_request(body: bytes, inputs: Sequence[TensorSpec], outputs: Sequence[TensorSpec]) -> InferRequest:
    """The whole body is the model's only input; its one free dimension follows from the size."""
    if len(inputs) != 1:
        raise Invalid(
            "bad_request",
            f"A raw request needs a model with one input; this one has {len(inputs)}.",
            "Put JSON first and its length into Inference-Header-Content-Length.",
        )
    spec = inputs[0]
    where = f'Input "{spec.name}"'
    if spec.datatype == "BYTES":
        tensor = from_binary(
            memoryview(len(body).to_bytes(4, "little") + body),
            "BYTES",
            [1] * len(spec.shape),
            where,
        )
    else:
        tensor = from_binary(memoryview(body), spec.datatype, _raw_shape(spec, len(body)), where)
    return InferRequest("", {spec.name: tensor}, tuple(outputs), frozenset(output.name for output in outputs))


def _raw_shape(spec: TensorSpec, size: int) -> list[int]:
    shape = list(spec.shape)
    if shape.count(-1) > 1 and shape[0] == -1:
        shape[0] = 1
    row = math.prod(d for d in shape if d != -1) * DTYPES[spec.datatype].itemsize
    if shape.count(-1) > 1 or (-1 in shape and (row == 0 or size % row)):
        raise Invalid(
            "wrong_size",
            f'{size} bytes do not tell the shape of input "{spec.name}"; expected {spec.datatype} '
            f"{shape_text(spec.shape)}.",
        )
    return [size // row if d == -1 else d for d in shape]


def encode_request(tensors: Mapping[str, Array], *, id: str = "") -> tuple[bytes, int]:
    """A request that carries every tensor as bytes and asks for such an answer.

    Returns the body and the length of its JSON, which belongs into LENGTH_HEADER.
    """
    inputs: list[dict[str, Any]] = []
    parts = []
    for name, array in tensors.items():
        datatype = datatype_of(array)
        parts.append(to_binary(array, datatype))
        inputs.append(
            {
                "name": name,
                "shape": array.shape,
                "datatype": datatype,
                "parameters": {"binary_data_size": len(parts[-1])},
            }
        )
    head: dict[str, Any] = {"inputs": inputs, "parameters": {"binary_data_output": True}}
    encoded = msgspec.json.encode({"id": id, **head} if id else head)
    return b"".join([encoded, *parts]), len(encoded)
