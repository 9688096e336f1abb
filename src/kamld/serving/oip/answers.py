"""Inference answers: JSON, followed by those tensors that were asked for as bytes."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from kamld.errors import SystemFault
from kamld.serving.interface import TensorSpec
from kamld.serving.oip.tensors import Array, from_binary, from_json, to_binary, to_json

PREDICTION_PARAMETER = "kamld_prediction_id"  # among the answer's parameters
PREDICTION_HEADER = "kamld-prediction-id"


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer as a client meets it."""

    model: str
    version: str
    prediction: str
    outputs: dict[str, Array]
    id: str = ""


@dataclass(frozen=True, slots=True)
class EncodedAnswer:
    body: bytes
    json_length: int | None  # None: the body is all JSON


class _Output(msgspec.Struct, omit_defaults=True):
    name: str
    datatype: str
    shape: tuple[int, ...]
    parameters: dict[str, Any] = {}
    data: Any = None


class _Answer(msgspec.Struct, omit_defaults=True):
    model_name: str
    model_version: str
    outputs: list[_Output]
    id: str = ""
    parameters: dict[str, str] = {}


_encoder = msgspec.json.Encoder()


def encode_answer(
    *,
    model: str,
    version: str,
    prediction: str,
    id: str,
    specs: Sequence[TensorSpec],
    arrays: Sequence[Array],
    binary: frozenset[str],
) -> EncodedAnswer:
    """Raises Invalid when an output that JSON cannot carry was not asked for as bytes."""
    outputs = []
    parts: list[bytes] = []
    for spec, array in zip(specs, arrays, strict=True):
        if spec.name in binary:
            parts.append(to_binary(array, spec.datatype))
            size = {"binary_data_size": len(parts[-1])}
            outputs.append(_Output(spec.name, spec.datatype, array.shape, size))
        else:
            data = to_json(array, spec.datatype, f'Output "{spec.name}"')
            outputs.append(_Output(spec.name, spec.datatype, array.shape, {}, data))
    head = _encoder.encode(_Answer(model, version, outputs, id, {PREDICTION_PARAMETER: prediction}))
    if not parts:
        return EncodedAnswer(head, None)
    return EncodedAnswer(b"".join([head, *parts]), len(head))


class _GivenOutput(msgspec.Struct):
    name: str
    datatype: str
    shape: list[int]
    parameters: dict[str, Any] = {}
    data: msgspec.Raw = msgspec.Raw(b"[]")


class _GivenAnswer(msgspec.Struct):
    model_name: str
    outputs: list[_GivenOutput]
    model_version: str = ""
    id: str = ""
    parameters: dict[str, Any] = {}


def decode_answer(body: bytes, header_length: str | None) -> Answer:
    """Raises SystemFault when it is no answer of an inference server, Invalid for a bad tensor."""
    length = int(header_length) if header_length else len(body)
    try:
        given = msgspec.json.decode(memoryview(body)[:length], type=_GivenAnswer)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise SystemFault("bad_answer", f"The server's answer is not understood: {error}.") from None
    rest = memoryview(body)[length:]
    outputs = {}
    for item in given.outputs:
        where = f'Output "{item.name}" of the answer'
        size = item.parameters.get("binary_data_size")
        if size is not None:
            outputs[item.name] = from_binary(rest[:size], item.datatype, item.shape, where)
            rest = rest[size:]
        else:
            outputs[item.name] = from_json(item.data, item.datatype, item.shape, where)
    prediction = str(given.parameters.get(PREDICTION_PARAMETER, ""))
    return Answer(given.model_name, given.model_version, prediction, outputs, given.id)
