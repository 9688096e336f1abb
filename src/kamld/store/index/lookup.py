"""The index: which pack has an object, for any number of objects at once.

Sorted immutable segments, mapped into memory. Each flush of a writer adds one; when eight segments
are of one level they become one of the next (a level holds eight times as many objects), so each
object is copied once a level and a hub of ten thousand commits has a few dozen segments; those above
level 2 stay, so that no commit merges more than half a million rows. A segment
names those it replaces; they are deleted at once, and a reader that finds one gone lists again.
Processes of one machine take turns at merging: who finds another at it leaves it to the next commit. Who
reads a few objects opens as many segments as it takes (`glance`), however many there are.

An object that several packs have is there once for each, for a pack may go. A row may name a pack that
is gone already, where two machines merged at once, or where this process has not looked for long: `miss`
makes it pass over such rows, and who writes relies only on packs that were found to be there.
"""

import re
import secrets
from collections.abc import Callable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Lock

import numpy as np
from numpy.typing import NDArray

from kamld.blobs import Blobs, Missing
from kamld.errors import SystemFault
from kamld.store import packs as pack_files
from kamld.store.index.segments import (
    PREFIX,
    Repacked,
    Segment,
    build,
    damaged,
    decode,
    due,
    key,
    merge,
    rewritten,
)
from kamld.store.packs import Footer, name_of

_KEY = re.compile(r"index/([0-9a-f]{64})\.idx")
_TRIES = 100
_SAME = 2  # lists, one after the other, in which there is nothing new
_TURN, _TURN_S = "index", 60.0  # what is not done by two at once, and how long one waits for another


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


Repack = Callable[[Sequence[Segment], AbstractSet[bytes]], Repacked]
"""Of the packs of segments that are about to be merged, joins small ones; never those that other
segments, whose packs are given, name as well."""


class Index:
    def __init__(self, blobs: Blobs) -> None:
        self._blobs = blobs
        self._segments: list[Segment] | None = None
        self._glanced: dict[bytes, Segment | None] = {}  # until all are loaded; None: not opened yet
        self._gone: frozenset[bytes] = frozenset()  # packs that somebody missed
        self._lock = Lock()  # among adders; readers take whatever list there is

    def find(self, ids: NDArray[np.void]) -> Places:
        """Places of the objects; where some are missing, looks whether others added segments."""
        places = self._find(ids)
        tries, same = _TRIES, 0  # a list that was made during a merge may lack both the old and the new, and
        while not places.found.all() and tries and same < _SAME:  # then it may look like what we know
            same = 0 if self.refresh() else same + 1
            places, tries = self._find(ids), tries - 1
        if not places.found.all() and self._gone:  # a pack may have come back under its old name
            self._gone = frozenset()
            places = self._find(ids)
        return places

    def glance(self, identifier: bytes) -> Places | None:
        """Where an object is, for who reads it and comes back to `find` where it is not; None: ask `find`.

        While not all segments were opened, only as many are as it takes. Small ones first: they are the
        newest, and have what is asked for first. What others replaced may be among them.
        """
        if self._segments is not None or self._gone:
            return None
        glanced = self._glanced  # other threads may do the same, or load all
        if not glanced:
            listed = sorted(self._blobs.list(PREFIX), key=lambda one: one.size)
            glanced = {bytes.fromhex(key[1]): None for one in listed if (key := _KEY.fullmatch(one.key))}
            self._glanced = glanced
        for name, opened in list(glanced.items()):
            try:
                segment = glanced[name] = opened or self._open(name)
            except Missing:  # merged with others since
                return None
            if (row := segment.row_of(identifier)) >= 0:
                return _place(segment, row)
        return None

    def has(
        self, ids: NDArray[np.void], without: AbstractSet[bytes] = frozenset(),
        there: set[bytes] | None = None,
    ) -> NDArray[np.bool_]:  # fmt: skip
        """Which of the ids are known, by the segments loaded before, in another pack than `without`.

        `there`: packs that are known to exist; only in these, or in others that are looked for, found,
        and added to them. A writer may repeat an object."""
        found = np.zeros(len(ids), np.bool_)
        for segment in self._loaded():
            rest = np.flatnonzero(~found)
            if not len(rest):
                break
            found[rest] = self._rows(segment, ids[rest], without, there) >= 0
        return found

    def usable(self, ids: NDArray[np.void], without: AbstractSet[bytes], there: set[bytes]) -> Places:
        """Where they are, of what `has` says that it is known."""
        return self._find(ids, without, there)

    def _rows(
        self, segment: Segment, ids: NDArray[np.void], without: AbstractSet[bytes], there: set[bytes] | None
    ) -> NDArray[np.int64]:
        if len(ids) == 1:  # a commit, a tree, a page: the commonest question
            return np.array([self._row(segment, ids[0].tobytes(), without, there)])
        rows = segment.find(ids, without)
        while there is not None and (lost := self._lost(_packs_of(segment, rows), there)):
            without = without | lost
            rows = segment.find(ids, without)
        return rows

    def _row(
        self, segment: Segment, identifier: bytes, without: AbstractSet[bytes], there: set[bytes] | None
    ) -> int:
        row = segment.row_of(identifier, without)
        while there is not None and row >= 0 and (lost := self._lost({segment.pack_of(row)}, there)):
            without = without | lost
            row = segment.row_of(identifier, without)
        return row

    def _lost(self, names: AbstractSet[bytes], there: set[bytes]) -> set[bytes]:
        """Which of these packs are gone."""
        lost = set()
        for name in sorted(names - there):
            try:
                self._blobs.part(pack_files.key(name), 0, 1)
                there.add(name)
            except Missing:
                lost.add(name)
        return lost

    def miss(self, pack: bytes) -> None:
        """This pack is gone: look elsewhere from here on, also for what was in others that are gone."""
        self.refresh()
        self._gone |= {pack, *(self._named() - self._packs())}

    def add(self, packs: Sequence[tuple[bytes, Footer]], repack: Repack = lambda *_: Repacked()) -> None:
        """Record new packs, which are durable already; durable itself when it returns.

        Where segments are merged then, so are small packs among theirs, if there is a `repack`.
        """
        with self._lock:
            self._segments = [*self._loaded(), self.write(packs)]
            if due(self._segments):
                self._merge(repack)

    def _merge(self, repack: Repack) -> None:
        with self._blobs.turn(_TURN, 0) as alone:
            if not alone:
                return
            self._sweep()
            present = self._load()  # others may have merged these a moment ago
            while group := due(present):
                others = {name for s in present if s not in group for name in s.packs}
                repacked = repack(group, others)
                merged = self._write(merge(group, repacked))
                if repacked.late():  # others may go by it already, or be about to delete the small packs
                    both = Repacked(repacked.made)
                    self._write(merge(group, both, replaces=[merged.name]))
                    self._blobs.delete(key(merged.name))
                    self._segments = self._load()
                    return
                present = [s for s in present if s not in group] + [merged]
                gone = [key(s.name) for s in group] + [pack_files.key(p) for p in sorted(repacked.retired)]
                for one in gone:
                    if not repacked.late():  # else they are left, and go with the garbage
                        self._blobs.delete(one)
            self._segments = present

    def write(self, packs: Sequence[tuple[bytes, Footer]]) -> Segment:
        """A new segment for these packs, durable; unlike any before, lest one replaced it."""
        unique = [secrets.token_bytes(32)]
        return self._write(build([name for name, _ in packs], [footer for _, footer in packs], unique))

    def without(
        self, gone: AbstractSet[bytes], known: Sequence[Segment] = (),
        there: AbstractSet[bytes] = frozenset(),
    ) -> None:  # fmt: skip
        """Drop the rows that name packs that are `gone`, of which nothing is needed any more; of the
        segments that are `known`, also those that name none of the packs that were `there` afterwards.

        What was merged into others, and should have been deleted then, is.
        """
        earlier = {segment.name for segment in known}
        with self._lock, self.alone():
            self._sweep()
            self._segments = self._load()
            for segment in self._segments:
                named = frozenset(segment.packs)
                dead = named & gone | (named - there if segment.name in earlier else frozenset())
                if dead:
                    for encoded in rewritten(segment, dead):
                        self._write(encoded)
                    self._blobs.delete(key(segment.name))
            self._sweep()
            self._segments = self._load()

    def _sweep(self) -> None:
        """Delete what others have replaced and a kill has left, each before the one that says so goes: it
        would count again, and name packs that are gone."""
        there = {segment.name: segment for segment in self._all()}
        dead = {name for segment in there.values() for name in segment.replaces if name in there}
        while dead:
            first = [name for name in sorted(dead) if not dead.intersection(there[name].replaces)]
            for name in first or sorted(dead):
                self._blobs.delete(key(name))
                dead.remove(name)

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Nobody on this machine merges segments or joins packs meanwhile, unless one was stopped at it."""
        with self._blobs.turn(_TURN, _TURN_S):
            yield

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
                self._blobs.delete(key(name))
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
        return len(self._packs() - self._named())

    def missing(self) -> list[bytes]:
        """Packs that are named and not there, with objects that no other pack has. Reads names alone, as long
        as nothing is missing."""
        there = self._packs()
        if not self._named() - there:
            return []
        self.refresh()  # a collection may have been faster than we
        found = set[bytes]()
        for segment in self._loaded():
            for number, name in enumerate(segment.packs):
                if name not in there and not self.has(segment.ids_in(number), there=there).all():
                    found.add(name)
        return sorted(found)

    def segments(self) -> list[Segment]:
        return list(self._loaded())

    def _named(self) -> set[bytes]:
        return {name for segment in self._loaded() for name in segment.packs}

    def _packs(self) -> set[bytes]:
        return {name for listed in self._blobs.list("packs/") if (name := name_of(listed.key))}

    def _write(self, encoded: bytes) -> Segment:
        segment = decode(memoryview(encoded), "a new segment")
        batch = self._blobs.batch()
        batch.put(key(segment.name), [encoded])
        batch.flush()
        return segment

    def _loaded(self) -> list[Segment]:
        if self._segments is None:
            self._segments = self._load()
        return self._segments

    def _load(self) -> list[Segment]:
        return self._live(self._all())

    def _all(self) -> list[Segment]:
        """Those that others replace, too."""
        known = {s.name: s for s in (*(self._segments or ()), *self._glanced.values()) if s}
        self._glanced = {}
        for _ in range(_TRIES):
            try:
                return [known.get(name) or self._open(name) for name in self.names()]
            except Missing:  # merged and deleted since it was listed
                continue
        raise SystemFault("busy_index", "The hub's index keeps changing.", "Try again.")

    def _open(self, name: bytes) -> Segment:
        segment = decode(self._blobs.view(key(name)), key(name))
        if segment.name != name:
            raise damaged(key(name))
        return segment

    @staticmethod
    def _live(segments: list[Segment]) -> list[Segment]:
        replaced = {name for s in segments for name in s.replaces}
        return [s for s in segments if s.name not in replaced]

    def _find(
        self, ids: NDArray[np.void], without: AbstractSet[bytes] = frozenset(),
        there: set[bytes] | None = None,
    ) -> Places:  # fmt: skip
        without = self._gone if there is None else without
        total = len(ids)
        if total == 1:
            return self._find_one(ids[0].tobytes(), without, there)
        pack, offset, stored, raw = (np.zeros(total, np.int64) for _ in range(4))
        places = Places(np.zeros(total, np.bool_), [], pack, offset, stored, raw, np.zeros(total, np.uint8))
        for segment in self._loaded():
            wanted = np.flatnonzero(~places.found)
            if not len(wanted):
                break
            rows = self._rows(segment, ids[wanted], without, there)
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

    def _find_one(self, identifier: bytes, without: AbstractSet[bytes], there: set[bytes] | None) -> Places:
        for segment in self._loaded():
            at = self._row(segment, identifier, without, there)
            if at >= 0:
                return _place(segment, at)
        nothing = np.zeros(1, np.int64)
        return Places(
            np.zeros(1, np.bool_), [], nothing, nothing, nothing, nothing, np.zeros(1, np.uint8)
        )  # fmt: skip


def _place(segment: Segment, row: int) -> Places:
    at, columns = slice(row, row + 1), segment.columns
    pack, offset, stored, raw = (
        columns[name][at].astype(np.int64) for name in ("pack", "offset", "stored", "raw")
    )
    return Places(np.ones(1, np.bool_), segment.packs, pack, offset, stored, raw, columns["codec"][at])


def _packs_of(segment: Segment, rows: NDArray[np.int64]) -> set[bytes]:
    return {segment.packs[number] for number in np.unique(segment.columns["pack"][rows[rows >= 0]]).tolist()}
