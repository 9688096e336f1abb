"""Segments: sorted immutable lists of which pack has an object and where in it; their encoding
(docs/format.md, "Index"), how several become one, and how ids are found in one.
"""

import secrets
import struct
from collections.abc import Callable, Iterable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Any

import numpy as np
from blake3 import blake3
from numpy.typing import NDArray

from kamld.errors import SystemFault
from kamld.store.packs import Footer

PREFIX = "index/"
FANOUT = 8  # segments of a level that are merged into one
_LEVEL_0 = 1024  # objects; more belong to level 1, 8 times more to level 2, …
_LEVEL_TOP = 2  # of those that are merged; the size of what is merged bounds a commit's work and memory
_REWRITTEN_AT_ONCE = 250_000  # rows
_MAGIC = b"KMLDIDX1"
_HEAD = struct.Struct("<8sQII40x")  # magic, objects, packs, replaced segments: 64 bytes
_COLUMNS = tuple(
    (name, np.dtype(kind))
    for name, kind in (
        ("prefix", "<u8"), ("raw", "<u8"), ("rest", "V24"), ("pack", "<u4"), ("offset", "<u4"),
        ("stored", "<u4"), ("codec", "u1"),
    )
)  # fmt: skip
_ROW = sum(kind.itemsize for _, kind in _COLUMNS)


@dataclass(frozen=True, slots=True, eq=False)
class Segment:
    name: bytes
    packs: list[bytes]
    replaces: list[bytes]
    columns: dict[str, NDArray[Any]]
    data: memoryview  # the whole segment

    @property
    def count(self) -> int:
        return len(self.columns["prefix"])

    @property
    def level(self) -> int:
        level, limit = 0, _LEVEL_0
        while self.count > limit:
            level, limit = level + 1, limit * FANOUT
        return level

    def find(self, ids: NDArray[np.void], without: AbstractSet[bytes] = frozenset()) -> NDArray[np.int64]:
        """Row of each id, -1 where it is not here or only in packs `without`. Ids are V32."""
        usable = self.usable(without)
        prefixes, rests = split_ids(ids)
        mine = self.columns["prefix"]
        rows = np.searchsorted(mine, prefixes)
        result = np.full(len(ids), -1, np.int64)
        waiting = np.arange(len(ids))
        while len(waiting):  # more than once only where prefixes collide or several packs have an object
            inside = rows[waiting] < self.count
            waiting = waiting[inside]
            waiting = waiting[mine[rows[waiting]] == prefixes[waiting]]
            same = self.columns["rest"][rows[waiting]] == rests[waiting]
            if usable is not None:
                same &= usable[self.columns["pack"][rows[waiting]]]
            result[waiting[same]] = rows[waiting[same]]
            waiting = waiting[~same]
            rows[waiting] += 1
        return result

    def row_of(self, identifier: bytes, without: AbstractSet[bytes] = frozenset()) -> int:
        """What `find` gives for one id, ten times as fast."""
        return next((row for row in self.rows_of(identifier) if self.pack_of(row) not in without), -1)

    def rows_of(self, identifier: bytes) -> Iterator[int]:
        """Every row that has this id: several where several packs do."""
        prefix, rest = int.from_bytes(identifier[:8], "big"), identifier[8:]
        mine = self.columns["prefix"]
        row = int(mine.searchsorted(np.uint64(prefix)))
        while row < len(mine) and int(mine[row]) == prefix:
            if self.columns["rest"][row].tobytes() == rest:
                yield row
            row += 1

    def pack_of(self, row: int) -> bytes:
        """b"" where the segment is damaged: who reads from it tells."""
        number = int(self.columns["pack"][row])
        return self.packs[number] if number < len(self.packs) else b""

    def ids_in(self, number: int) -> NDArray[np.void]:
        """Of all objects that it says are in that one of its packs."""
        rows = np.flatnonzero(self.columns["pack"] == number)
        ids = np.empty((len(rows), 32), np.uint8)
        ids[:, :8] = self.columns["prefix"][rows].astype(">u8").view(np.uint8).reshape(-1, 8)
        ids[:, 8:] = np.ascontiguousarray(self.columns["rest"][rows]).view(np.uint8).reshape(-1, 24)
        return ids.view("V32").reshape(-1)

    def usable(self, without: AbstractSet[bytes]) -> NDArray[np.bool_] | None:
        """For each of its packs, whether it is none of these; None where all are."""
        if not without or without.isdisjoint(self.packs):
            return None
        return np.array([name not in without for name in self.packs])

    def between(self, low: int, high: int) -> list[bytes]:
        """Ids whose first 8 bytes, as a number, are in low … high."""
        prefix = self.columns["prefix"]
        first, last = (
            np.searchsorted(prefix, np.uint64(low)),
            np.searchsorted(prefix, np.uint64(high), "right"),
        )
        rests = self.columns["rest"]
        return [int(prefix[row]).to_bytes(8, "big") + rests[row].tobytes() for row in range(first, last)]


def split_ids(ids: NDArray[np.void]) -> tuple[NDArray[np.uint64], NDArray[np.void]]:
    """First 8 bytes as big-endian numbers, last 24 as they are."""
    table = np.ascontiguousarray(ids).view(np.uint8).reshape(-1, 32)
    prefixes = np.ascontiguousarray(table[:, :8]).view(">u8").reshape(-1).astype("<u8")
    rests = np.ascontiguousarray(table[:, 8:]).view("V24").reshape(-1)
    return prefixes, rests


@dataclass(frozen=True, slots=True)
class Repacked:
    """Small packs that became others: `made` is durable and has all that `retired` had, for as long as
    it is not `late`: then what was made may have been collected."""

    made: Sequence[tuple[bytes, Footer]] = ()
    retired: frozenset[bytes] = frozenset()
    late: Callable[[], bool] = lambda: False


def as_ids(identifiers: Sequence[bytes]) -> NDArray[np.void]:
    return np.frombuffer(b"".join(identifiers), "V32")


def distinct(ids: NDArray[np.void]) -> NDArray[np.void]:
    """Each id once, sorted by their first bytes; some of those that share these may be there again."""
    ids = ids[np.argsort(split_ids(ids)[0], kind="stable")]
    first = np.ones(len(ids), np.bool_)
    first[1:] = ids[1:] != ids[:-1]
    return ids[first]


def key(name: bytes) -> str:
    return f"{PREFIX}{name.hex()}.idx"


def due(segments: Iterable[Segment]) -> list[Segment]:
    """The segments to merge now: those of the lowest level that has enough; none otherwise."""
    levels: dict[int, list[Segment]] = {}
    for segment in segments:
        levels.setdefault(segment.level, []).append(segment)
    due = (group for level, group in sorted(levels.items()) if level <= _LEVEL_TOP and len(group) >= FANOUT)
    return next(due, [])


def build(packs: list[bytes], footers: list[Footer], replaces: list[bytes]) -> bytes:
    """The bytes of a segment of all that these packs have."""
    return _encode(packs, replaces, columns_of(footers))


def columns_of(footers: Sequence[Footer]) -> dict[str, NDArray[Any]]:
    """All that packs have, as rows; `pack` counts in the packs whose footers these are."""
    nothing = Footer(
        np.zeros((0, 32), np.uint8), *(np.zeros(0, kind) for kind in ("<u4", "<u4", "<u8", "u1"))
    )
    footers = footers or [nothing]
    ids = np.concatenate([footer.ids for footer in footers])
    numbers = np.repeat(np.arange(len(footers), dtype=np.uint32), [len(f.codecs) for f in footers])
    prefix, rest = split_ids(ids.reshape(-1).view("V32"))
    return {
        "prefix": prefix,
        "raw": np.concatenate([f.raw for f in footers]),
        "rest": rest,
        "pack": numbers,
        "offset": np.concatenate([f.offsets for f in footers]),
        "stored": np.concatenate([f.stored for f in footers]),
        "codec": np.concatenate([f.codecs for f in footers]),
    }


def merge(
    segments: list[Segment], repacked: Repacked = Repacked(), replaces: Sequence[bytes] = ()
) -> bytes:  # fmt: skip
    """The bytes of one segment with all that these have, but what packs that are retired had, and with
    what those have that were made of them. `replaces` segments besides these.

    Raises SystemFault (damaged_index): damage must not be copied under a fresh hash.
    """
    parts = []
    for segment in segments:
        if blake3(segment.data[:-32]).digest() != segment.name:
            raise damaged(key(segment.name))
        usable = segment.usable(repacked.retired)
        rows = slice(None) if usable is None else np.flatnonzero(usable[segment.columns["pack"]])
        parts.append((segment.packs, {name: column[rows] for name, column in segment.columns.items()}))
    parts.append(([name for name, _ in repacked.made], columns_of([footer for _, footer in repacked.made])))
    starts = np.cumsum([0, *(len(packs) for packs, _ in parts)])
    columns = {name: np.concatenate([rows[name] for _, rows in parts]) for name, _ in _COLUMNS}
    columns["pack"] = np.concatenate(
        [rows["pack"] + np.uint32(start) for (_, rows), start in zip(parts, starts, strict=False)]
    )
    packs = [name for names, _ in parts for name in names]
    return _encode(packs, [*(s.name for s in segments), *replaces], columns)


def rewritten(segment: Segment, dead: AbstractSet[bytes]) -> Iterator[bytes]:
    """A segment without the rows of these packs, as one or several: however large it is, some hundred
    thousand rows are in memory at once. Only the last one says that it replaces the old one, so write
    them in this order; none where no row stays.

    Raises SystemFault (damaged_index), as `merge`.
    """
    if blake3(segment.data[:-32]).digest() != segment.name:
        raise damaged(key(segment.name))
    stays = np.array([name not in dead for name in segment.packs], np.bool_)
    kept = 0
    for start in range(0, segment.count, _REWRITTEN_AT_ONCE):
        kept += int(stays[segment.columns["pack"][start : start + _REWRITTEN_AT_ONCE]].sum())
    for start in range(0, segment.count, _REWRITTEN_AT_ONCE):
        rows = np.flatnonzero(stays[segment.columns["pack"][start : start + _REWRITTEN_AT_ONCE]]) + start
        kept -= len(rows)
        if len(rows):
            columns = {name: column[rows] for name, column in segment.columns.items()}
            yield _encode(segment.packs, [secrets.token_bytes(32) if kept else segment.name], columns)


def _encode(packs: list[bytes], replaces: list[bytes], columns: dict[str, NDArray[Any]]) -> bytes:
    present = sorted(set(columns["pack"].tolist()))
    names = list(dict.fromkeys(packs[at] for at in present))
    place = {name: position for position, name in enumerate(names)}
    renumber = np.array([place.get(name, 0) for name in packs] or [0], np.uint32)
    columns = columns | {"pack": renumber[columns["pack"].astype(np.int64)]}
    tail = np.ascontiguousarray(columns["rest"]).view(np.uint8).reshape(-1, 24)
    second = np.ascontiguousarray(tail[:, :8]).view(">u8").reshape(-1)
    order = np.lexsort((columns["pack"], second, columns["prefix"]))
    prefix, rest, pack = columns["prefix"][order], columns["rest"][order], columns["pack"][order]
    repeated = np.zeros(len(order), np.bool_)
    repeated[1:] = (prefix[1:] == prefix[:-1]) & (rest[1:] == rest[:-1]) & (pack[1:] == pack[:-1])
    order = order[~repeated]
    head = _HEAD.pack(_MAGIC, len(order), len(names), len(replaces))
    body = [columns[name][order].astype(kind, copy=False).tobytes() for name, kind in _COLUMNS]
    encoded = b"".join([head, *replaces, *names, *body])
    return encoded + blake3(encoded).digest()


def decode(data: memoryview, where: str) -> Segment:
    """A segment, its columns still in the mapped bytes. Raises SystemFault (damaged_index)."""
    if len(data) < _HEAD.size + 32:
        raise damaged(where)
    magic, count, packs, replaces = _HEAD.unpack_from(data)
    if magic != _MAGIC or len(data) != _HEAD.size + 32 * (packs + replaces) + count * _ROW + 32:
        raise damaged(where)
    names = [bytes(data[at : at + 32]) for at in range(_HEAD.size, _HEAD.size + 32 * (packs + replaces), 32)]
    at = _HEAD.size + 32 * (packs + replaces)
    columns: dict[str, NDArray[Any]] = {}
    for name, kind in _COLUMNS:
        columns[name] = np.frombuffer(data, kind, count, at)
        at += count * kind.itemsize
    return Segment(bytes(data[-32:]), names[replaces:], names[:replaces], columns, data)


def damaged(where: str) -> SystemFault:
    hint = "kamld rebuild makes it anew from the packs."
    return SystemFault("damaged_index", f"{where} is damaged or cut off.", hint)
