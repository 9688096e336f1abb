"""Packs: many objects in one immutable blob, with a footer that says what is where.

A pack is a header, the stored bytes of its objects one after the other, a footer of columns, and a
trailer (docs/format.md, "Packs"). Its name is the BLAKE3 of its footer. The index repeats footers
for speed; packs alone are enough to rebuild it.
"""

import re
import secrets
import struct
from array import array
from collections.abc import Iterator, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from itertools import accumulate
from typing import Self

import numpy as np
from blake3 import blake3
from numpy.typing import NDArray

from kamld.errors import SystemFault

TARGET = 32 * 1024 * 1024  # bytes; a pack is closed once it has as many
RECIPE = 0x80  # flag beside the codec: the object is a list of others, see kamld.store.objects

HEADER = b"KMLDPAK1"
_KEY = re.compile(r"packs/[0-9a-f]{2}/([0-9a-f]{64})\.pack")
_TRAILER = struct.Struct("<Q32s8s")  # footer's length, its BLAKE3, magic
_TRAILER_MAGIC = b"KMLDPEND"
_ROW = 32 + 4 + 4 + 8 + 1


@dataclass(frozen=True, slots=True)
class Footer:
    """What a pack has, in the order in which it was added. All columns have one row an object."""

    ids: NDArray[np.uint8]  # (n, 32)
    offsets: NDArray[np.uint32]  # of the stored bytes, from the start of the pack
    stored: NDArray[np.uint32]  # length of the stored bytes
    raw: NDArray[np.uint64]  # length of the object
    codecs: NDArray[np.uint8]  # codec, plus RECIPE

    def encode(self) -> bytes:
        count = struct.pack("<Q", len(self.codecs))
        columns = (self.raw, self.ids, self.offsets, self.stored, self.codecs)
        return count + b"".join(column.tobytes() for column in columns)


def decode_footer(data: memoryview, where: str) -> Footer:
    """Raises SystemFault (damaged_pack)."""
    count = struct.unpack_from("<Q", data)[0] if len(data) >= 8 else -1
    if len(data) != 8 + count * _ROW:
        raise SystemFault("damaged_pack", f"The footer of {where} has a wrong length.")
    at = 8
    columns: dict[str, NDArray[np.generic]] = {}
    for name, kind, width in (
        ("raw", "<u8", 1), ("ids", "u1", 32), ("offsets", "<u4", 1), ("stored", "<u4", 1),
        ("codecs", "u1", 1),
    ):  # fmt: skip
        column = np.frombuffer(data, kind, count * width, at)
        columns[name] = column.reshape(count, 32) if width == 32 else column
        at += column.nbytes
    return Footer(**columns)  # type: ignore[arg-type]


def read_footer(pack: memoryview, where: str) -> Footer:
    """The footer of a whole pack, verified. Raises SystemFault (damaged_pack)."""
    if len(pack) >= len(HEADER) + _TRAILER.size and pack[: len(HEADER)] == HEADER:
        length, digest, magic = _TRAILER.unpack_from(pack, len(pack) - _TRAILER.size)
        start = max(len(HEADER), len(pack) - _TRAILER.size - length)
        footer = bytes(pack[start : len(pack) - _TRAILER.size])  # so that the pack can be closed
        if magic == _TRAILER_MAGIC and len(footer) == length and blake3(footer).digest() == digest:
            return decode_footer(memoryview(footer), where)
    raise SystemFault("damaged_pack", f"{where} is damaged or cut off.")


def key(name: bytes) -> str:
    return f"packs/{name[:1].hex()}/{name.hex()}.pack"


def name_of(key: str) -> bytes | None:
    """The name in a pack's key; None for a key that is no pack's."""
    match = _KEY.fullmatch(key)
    return bytes.fromhex(match[1]) if match else None


@dataclass(frozen=True, slots=True)
class Rows:
    """Objects as they are kept in packs, in columns: one row an object."""

    ids: Sequence[bytes]
    codecs: bytes
    stored: Sequence[bytes | memoryview]
    raw: Sequence[int]  # length of the object

    @classmethod
    def one(cls, identifier: bytes, codec: int, stored: bytes | memoryview, raw_length: int) -> Self:
        return cls([identifier], bytes([codec]), [stored], [raw_length])

    def each(self) -> Iterator[tuple[bytes, int, bytes | memoryview, int]]:
        return zip(self.ids, self.codecs, self.stored, self.raw, strict=True)

    def at(self, chosen: Sequence[int]) -> "Rows":
        return Rows(
            [self.ids[row] for row in chosen],
            bytes(self.codecs[row] for row in chosen),
            [self.stored[row] for row in chosen],
            [self.raw[row] for row in chosen],
        )


class PackBuilder:
    """A pack in the making, in memory, in as few pieces as can be: a pack may have half a million objects.
    Not safe among threads: its owner has a lock."""

    def __init__(self) -> None:
        self.ids = bytearray()
        self._data = bytearray(HEADER)
        self._offsets = array("I")
        self._stored = array("I")
        self._raw = array("Q")
        self._codecs = bytearray()

    def __len__(self) -> int:
        return len(self._codecs)

    @property
    def size(self) -> int:
        """Bytes so far."""
        return len(self._data)

    def add(self, identifier: bytes, codec: int, stored: bytes | memoryview, raw_length: int) -> None:
        self.ids += identifier
        self._offsets.append(len(self._data))
        self._stored.append(len(stored))
        self._raw.append(raw_length)
        self._codecs.append(codec)
        self._data += stored

    def extend(self, rows: Rows) -> None:
        lengths = array("I", map(len, rows.stored))
        *starts, _ = accumulate(lengths, initial=len(self._data))
        self.ids += b"".join(rows.ids)
        self._offsets.extend(starts)
        self._stored += lengths
        self._raw.extend(rows.raw)
        self._codecs += rows.codecs
        for stored in rows.stored:
            self._data += stored

    def seal(self) -> tuple[bytes, list[bytes | bytearray], Footer]:
        """(name, the pack's bytes in parts, footer)."""
        columns = self._codecs, self._offsets, self._stored, self._raw
        if {*map(len, columns), len(self.ids) // 32} != {len(self)}:
            raise ValueError("a pack's columns are not of one length")  # better than a pack that is wrong
        footer = Footer(
            ids=np.array(np.frombuffer(self.ids, np.uint8)).reshape(-1, 32),
            offsets=np.array(self._offsets, "<u4"),
            stored=np.array(self._stored, "<u4"),
            raw=np.array(self._raw, "<u8"),
            codecs=np.array(np.frombuffer(self._codecs, np.uint8)),
        )
        encoded = footer.encode()
        name = blake3(encoded).digest()
        trailer = _TRAILER.pack(len(encoded), name, _TRAILER_MAGIC)
        return name, [self._data, encoded, trailer], footer


def sealed(builder: PackBuilder, avoid: AbstractSet[bytes]) -> tuple[bytes, list[bytes | bytearray], Footer]:
    """What `seal` gives, under a name that is none of these: they belong to packs that are deleted, or
    will be. A few random bytes make it another."""
    name, parts, footer = builder.seal()
    while name in avoid:
        nonce = secrets.token_bytes(32)
        builder.add(blake3(nonce).digest(), 0, nonce, len(nonce))
        name, parts, footer = builder.seal()
    return name, parts, footer
