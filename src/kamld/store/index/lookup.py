"""The index: which pack has an object, for any number of objects at once.

Sorted immutable segments, mapped into memory. Each flush of a writer adds one; when eight segments
are of one level they become one of the next (a level holds eight times as many objects), so each
object is copied once a level and a hub of ten thousand commits has a few dozen segments; those above
level 2 stay, so that no commit merges more than half a million rows. A segment
names those it replaces; they are deleted at once, and a reader that finds one gone lists again.
Processes of one machine take turns at merging: who finds another at it leaves it to the next commit.

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
        rows = _rows_of(segment, ids, without)
        while there is not None and (lost := self._lost(segment, rows, there)):
            without = without | lost
            rows = _rows_of(segment, ids, without)
        return rows

    def _lost(self, segment: Segment, rows: NDArray[np.int64], there: set[bytes]) -> set[bytes]:
        """The packs of these rows that are gone."""
        numbers = np.unique(segment.columns["pack"][rows[rows >= 0]]).tolist()
        lost = set()
        for name in sorted({segment.packs[number] for number in numbers} - there):
            try:
                self._blobs.part(pack_files.key(name), 0, 1)
                there.add(name)
            except Missing:
                lost.add(name)
        return lost

    def miss(self, pack: bytes) -> None:
        """This pack is gone: look elsewhere from here on, also for what was in others that are gone."""
        self.refresh()
        named = {name for segment in self._loaded() for name in segment.packs}
        self._gone |= {pack, *(named - self._packs())}

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
            self._segments = self._load()
            for segment in self._segments:
                named = frozenset(segment.packs)
                dead = named & gone | (named - there if segment.name in earlier else frozenset())
                if dead:
                    for encoded in rewritten(segment, dead):
                        self._write(encoded)
                    self._blobs.delete(key(segment.name))
            self._segments = self._load()
            replaced = {name for segment in self._segments for name in segment.replaces}
            for name in sorted(replaced.intersection(self.names())):
                self._blobs.delete(key(name))

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
        known = {name for segment in self._loaded() for name in segment.packs}
        return len(self._packs() - known)

    def segments(self) -> list[Segment]:
        return list(self._loaded())

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
        known = {s.name: s for s in self._segments or ()}
        for _ in range(_TRIES):
            try:
                return self._live([known.get(name) or self._open(name) for name in self.names()])
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
        pack, offset, stored, raw = (np.zeros(total, np.int64) for _ in range(4))
        places = Places(np.zeros(total, np.bool_), [], pack, offset, stored, raw, np.zeros(total, np.uint8))
        for segment in self._loaded():
            wanted = np.flatnonzero(~places.found)
            if not len(wanted):
                break
            rows = self._rows(segment, ids[wanted], without, there)
            if total == 1 and rows[0] < 0:
                continue
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


def _rows_of(segment: Segment, ids: NDArray[np.void], without: AbstractSet[bytes]) -> NDArray[np.int64]:
    if len(ids) == 1:  # a commit, a tree, a page: the commonest question
        return np.array([segment.row_of(ids[0].tobytes(), without)])
    return segment.find(ids, without)
