"""Canonical JSON of records: equal records have equal bytes, so that bytes can be hashed."""

import math
from typing import Any, TypeVar

import msgspec

from kamld.errors import Invalid, SystemFault

Record = TypeVar("Record", bound=msgspec.Struct)


def encode(record: msgspec.Struct) -> bytes:
    """Numbers that JSON lacks become "nan", "inf" and "-inf". Raises Invalid (not_text)."""
    try:
        data = msgspec.json.encode(record, order="sorted")
        if b"null" in data:  # absent fields are left out: this may be a number that JSON lacks
            data = msgspec.json.encode(_spelled(msgspec.to_builtins(record)), order="sorted")
        return data
    except UnicodeEncodeError as error:
        shown = error.object.encode("utf-8", "replace").decode()[:60]
        raise Invalid("not_text", f'"{shown}" has bytes that are not UTF-8.', "Write it anew.") from None


def decode(data: bytes | memoryview, kind: type[Record], where: str) -> Record:
    """The record in `data`; fields that a later version added are ignored.

    Raises SystemFault (damaged_record) naming `where` it was read from.
    """
    try:
        return msgspec.json.decode(data, type=kind)
    except msgspec.ValidationError:
        pass
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise damaged(where, kind, error) from None
    try:
        return msgspec.json.decode(data, type=kind, strict=False)  # reads "nan" as a number
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise damaged(where, kind, error) from None


def newer(field: str, value: str, where: str) -> SystemFault:
    """For who has to decide by a field whose value is none that this version knows."""
    said = f'{where} has the {field} "{value}", which this kamld does not know.'
    return SystemFault("newer_record", said, "Install a newer kamld.")


def damaged(where: str, kind: type, error: Exception | str) -> SystemFault:
    said = f"{where} is not a valid {kind.__name__} record: {error}."
    return SystemFault("damaged_record", said, "kamld fsck --repair --from COPY restores it from a copy.")


def _spelled(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, dict):
        return {key: _spelled(inner) for key, inner in value.items()}
    return [_spelled(inner) for inner in value] if isinstance(value, list | tuple) else value
