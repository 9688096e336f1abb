"""The index: which pack has an object, for any number of objects at once.

Sorted immutable segments, mapped into memory. Each flush of a writer adds one; when eight segments
are of one level they become one of the next (a level holds eight times as many objects), so each
object is copied once a level and a hub of ten thousand commits has a few dozen segments; those above
level 2 stay, so that no commit merges more than half a million rows. A segment
names those it replaces; they are deleted at once, and a reader that finds one gone lists again.

An object that several packs have is there once for each, for a pack may go. A row may name a pack that
is gone already, where two processes merged at once; `miss` makes this process pass over such rows.
"""

import re
import secrets
import struct
from collections.abc import Callable, Iterable, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from threading import Lock
from typing import Any

import numpy as np
from blake3 import blake3
from numpy.typing import NDArray

from kamld.blobs import Blobs, Missing
from kamld.errors import SystemFault
from kamld.store import packs as pack_files
from kamld.store.packs import Footer, name_of

PREFIX = "index/"
_KEY = re.compile(r"index/([0-9a-f]{64})\.idx")
_TRIES = 100
FANOUT = 8  # segments of a level that are merged into one
_LEVEL_0 = 1024  # objects; more belong to level 1, 8 times more to level 2, …
_LEVEL_TOP = 2  # of those that are merged; the size of what is merged bounds a commit's work and memory
_MAGIC = b"KMLDIDX1"
_HEAD = struct.Struct("<8sQII40x")  # magic, objects, packs, replaced segments: 64 bytes
_COLUMNS = (
    ("prefix", "<u8"), ("raw", "<u8"), ("rest", "V24"), ("pack", "<u4"), ("offset", "<u4"),
    ("stored", "<u4"), ("codec", "u1"),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Places:
    """Where objects are: parallel to the ids that were asked for."""

    found: NDArray[np.bool_]
    packs: list[bytes]  # names that `pack` counts in
    pack: NDArray[np.int64]
    offset: NDArray[np.int64]
    stored: NDArray[np.int64]
    raw: NDArray[np.int64]
    codec: NDArray[np.uint8]


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
    """Small packs that became others: `made` is durable and has all that `retired` had."""

    made: Sequence[tuple[bytes, Footer]] = ()
    retired: frozenset[bytes] = frozenset()


Repack = Callable[[Sequence[Segment], AbstractSet[bytes]], Repacked]
"""Of the packs of segments that are about to be merged, joins small ones; never those that other
segments, whose packs are given, name as well."""


def as_ids(identifiers: Sequence[bytes]) -> NDArray[np.void]:
    return np.frombuffer(b"".join(identifiers), "V32")


class Index:
    def __init__(self, blobs: Blobs) -> None:
        self._blobs = blobs
        self._segments: list[Segment] | None = None
        self._gone: frozenset[bytes] = frozenset()  # packs that somebody missed
        self._lock = Lock()  # among adders; readers take whatever list there is

    def find(self, ids: NDArray[np.void]) -> Places:
        """Places of the objects; where some are missing, looks whether others added segments."""
        places = self._find(ids)
        tries = _TRIES  # a list that was made during a merge may lack both the old and the new
        while not places.found.all() and tries and self.refresh():
            places, tries = self._find(ids), tries - 1
        if not places.found.all() and self._gone:  # a pack may have come back under its old name
            self._gone = frozenset()
            places = self._find(ids)
        return places

    def has(self, ids: NDArray[np.void], without: AbstractSet[bytes] = frozenset()) -> NDArray[np.bool_]:
        """Which of the ids are known, by the segments loaded before, in another pack than `without`.

        A writer may repeat an object."""
        found = np.zeros(len(ids), np.bool_)
        for segment in self._loaded():
            rest = np.flatnonzero(~found)
            if not len(rest):
                break
            found[rest] = segment.find(ids[rest], without) >= 0
        return found

    def miss(self, pack: bytes) -> None:
        """This pack is gone: look elsewhere from here on."""
        self._gone |= {pack}
        self.refresh()

    def add(self, packs: Sequence[tuple[bytes, Footer]], repack: Repack = lambda *_: Repacked()) -> None:
        """Record new packs, which are durable already; durable itself when it returns.

        Where segments are merged then, so are small packs among theirs, if there is a `repack`.
        """
        with self._lock:
            present = [*self._loaded(), self.write(packs)]
            while group := _due(present):
                others = {name for s in present if s not in group for name in s.packs}
                repacked = repack(group, others)
                merged = self._write(merge(group, repacked))
                present = [s for s in present if s not in group] + [merged]
                for old in group:
                    self._blobs.delete(_key(old.name))
                for name in repacked.retired:
                    self._blobs.delete(pack_files.key(name))
            self._segments = present

    def write(self, packs: Sequence[tuple[bytes, Footer]]) -> Segment:
        """A new segment for these packs, durable; unlike any before, lest one replaced it."""
        unique = [secrets.token_bytes(32)]
        return self._write(build([name for name, _ in packs], [footer for _, footer in packs], unique))

    def without(self, gone: AbstractSet[bytes]) -> None:
        """Drop the rows that name these packs, of which nothing is needed any more."""
        with self._lock:
            self._segments = self._load()
            old = [s for s in self._segments if s.usable(gone) is not None]
            for segment in old:  # one by one: they need not be in memory together
                self._write(merge([segment], Repacked(retired=frozenset(gone))))
                self._blobs.delete(_key(segment.name))
            self._segments = self._load()

    def names(self) -> list[bytes]:
        """Of all segments there are, those that others replace too."""
        keys = [_KEY.fullmatch(listed.key) for listed in self._blobs.list(PREFIX)]
        return [bytes.fromhex(key[1]) for key in keys if key]

    def rebuild(self, packs: Sequence[tuple[bytes, Footer]], replaced: Sequence[bytes]) -> None:
        """One segment, made from the packs themselves, in the place of `replaced`.

        Ask for the names before listing the packs: what others add meanwhile keeps its segment.
        """
        old = list(replaced)
        segment = build([name for name, _ in packs], [footer for _, footer in packs], old)
        made = self._write(segment)
        for name in old:
            if name != made.name:
                self._blobs.delete(_key(name))
        self._segments = None

    def refresh(self) -> bool:
        """See what other processes did to the index; whether that was anything."""
        before = {segment.name for segment in self._loaded()}
        if set(self.names()) == before:
            return False
        self._segments = self._load()
        return True

    def lacking(self) -> int:
        """How many packs there are that no segment knows: what a writer is about to add, or was when it
        was killed, or what an index that is not whole has lost."""
        known = {name for segment in self._loaded() for name in segment.packs}
        there = (name_of(listed.key) for listed in self._blobs.list("packs/"))
        return sum(name is not None and name not in known for name in there)

    def segments(self) -> list[Segment]:
        return list(self._loaded())

    def _write(self, encoded: bytes) -> Segment:
        segment = decode(memoryview(encoded), "a new segment")
        batch = self._blobs.batch()
        batch.put(_key(segment.name), [encoded])
        batch.flush()
        return segment

    def _loaded(self) -> list[Segment]:
        if self._segments is None:
            self._segments = self._load()
        return self._segments

    def _load(self) -> list[Segment]:
        known = {s.name: s for s in self._segments or ()}
        for _ in range(_TRIES):
            try:
                return self._live([known.get(name) or self._open(name) for name in self.names()])
            except Missing:  # merged and deleted since it was listed
                continue
        raise SystemFault("busy_index", "The hub's index keeps changing.", "Try again.")

    def _open(self, name: bytes) -> Segment:
        segment = decode(self._blobs.view(_key(name)), _key(name))
        if segment.name != name:
            raise _damaged(_key(name))
        return segment

    @staticmethod
    def _live(segments: list[Segment]) -> list[Segment]:
        replaced = {name for s in segments for name in s.replaces}
        return [s for s in segments if s.name not in replaced]

    def _find(self, ids: NDArray[np.void]) -> Places:
        total = len(ids)
        pack, offset, stored, raw = (np.zeros(total, np.int64) for _ in range(4))
        places = Places(np.zeros(total, np.bool_), [], pack, offset, stored, raw, np.zeros(total, np.uint8))
        for segment in self._loaded():
            wanted = np.flatnonzero(~places.found)
            if not len(wanted):
                break
            rows = segment.find(ids[wanted], self._gone)
            here, rows = wanted[rows >= 0], rows[rows >= 0]
            columns = segment.columns
            places.found[here] = True
            places.pack[here] = columns["pack"][rows].astype(np.int64) + len(places.packs)
            places.offset[here] = columns["offset"][rows]
            places.stored[here] = columns["stored"][rows]
            places.raw[here] = columns["raw"][rows]
            places.codec[here] = columns["codec"][rows]
            places.packs.extend(segment.packs)
        return places


def _key(name: bytes) -> str:
    return f"{PREFIX}{name.hex()}.idx"


def _due(segments: Iterable[Segment]) -> list[Segment]:
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


def merge(segments: list[Segment], repacked: Repacked = Repacked()) -> bytes:
    """The bytes of one segment with all that these have, but what packs that are retired had, and with
    what those have that were made of them.

    Raises SystemFault (damaged_index): damage must not be copied under a fresh hash.
    """
    parts = []
    for segment in segments:
        if blake3(segment.data[:-32]).digest() != segment.name:
            raise _damaged(_key(segment.name))
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
    return _encode(packs, [s.name for s in segments], columns)


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
        raise _damaged(where)
    magic, count, packs, replaces = _HEAD.unpack_from(data)
    width = sum(np.dtype(kind).itemsize for _, kind in _COLUMNS)
    if magic != _MAGIC or len(data) != _HEAD.size + 32 * (packs + replaces) + count * width + 32:
        raise _damaged(where)
    names = [bytes(data[at : at + 32]) for at in range(_HEAD.size, _HEAD.size + 32 * (packs + replaces), 32)]
    at = _HEAD.size + 32 * (packs + replaces)
    columns: dict[str, NDArray[Any]] = {}
    for name, kind in _COLUMNS:
        columns[name] = np.frombuffer(data, kind, count, at)
        at += columns[name].nbytes
    return Segment(bytes(data[-32:]), names[replaces:], names[:replaces], columns, data)


def _damaged(where: str) -> SystemFault:
    hint = "kamld rebuild makes it anew from the packs."
    return SystemFault("damaged_index", f"{where} is damaged or cut off.", hint)
