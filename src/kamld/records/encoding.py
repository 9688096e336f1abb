"""Canonical JSON of records: equal records have equal bytes, so that bytes can be hashed."""

from typing import TypeVar

import msgspec

from kamld.errors import SystemFault

Record = TypeVar("Record", bound=msgspec.Struct)


def encode(record: msgspec.Struct) -> bytes:
    return msgspec.json.encode(record, order="sorted")


def decode(data: bytes | memoryview, kind: type[Record], where: str) -> Record:
    """The record in `data`; fields that a later version added are ignored.

    Raises SystemFault (damaged_record) naming `where` it was read from.
    """
    try:
        return msgspec.json.decode(data, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise SystemFault(
            "damaged_record", f"{where} is not a valid {kind.__name__} record: {error}."
        ) from None
