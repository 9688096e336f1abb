"""What is garbage, by pack: all that marking did not reach.

A pack is written anew without its garbage once that is a quarter of it, or has the list of a large
file's chunks in it: such a list must not outlive the chunks.
"""

from collections import defaultdict
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from datetime import timedelta

import numpy as np

from kamld.store import packs
from kamld.store.gc.marking import LIVE, Marking, Progress, unheard
from kamld.store.gc.roots import Root, find_roots, since
from kamld.store.gc.unlisted import Found, whole_index
from kamld.store.leases import condemned
from kamld.store.repository import Repository

AGE = timedelta(days=1)  # between the two phases
SHORTEST = timedelta(hours=1)  # that people may ask for: who works at the moment must be able to end
_SPARSE = 0.25  # share of a pack's bytes that is garbage; with less it stays as it is
_ROWS_AT_ONCE = 1_000_000


@dataclass(slots=True)
class Pack:
    stored: int = 0  # bytes of its objects
    garbage: int = 0
    objects: int = 0  # that are garbage
    lists: int = 0  # of them, of chunks

    @property
    def is_sparse(self) -> bool:
        return self.lists > 0 or (self.objects > 0 and self.garbage >= _SPARSE * self.stored)


@dataclass(slots=True)
class Garbage:
    """What nothing leads to, by pack. `missing`: files that something leads to and that are not there."""

    packs: dict[bytes, Pack] = field(default_factory=dict)
    live: int = 0  # objects
    missing: int = 0

    @property
    def sparse(self) -> set[bytes]:
        return {name for name, pack in self.packs.items() if pack.is_sparse}

    @property
    def bytes(self) -> int:
        """That a collection would give back."""
        return sum(self.packs[name].garbage for name in self.sparse)

    @property
    def objects(self) -> int:
        return sum(self.packs[name].objects for name in self.sparse)

    @property
    def left(self) -> int:
        """Bytes of garbage that stay, for they are too few in their packs."""
        return sum(pack.garbage for pack in self.packs.values() if not pack.is_sparse)


def look(
    repository: Repository, keep_days: int, age: timedelta = AGE, drafts: AbstractSet[Root] = frozenset(),
    progress: Progress = unheard,
) -> Garbage:  # fmt: skip
    """What is garbage; changes nothing, but makes an index whole that is not.

    Raises SystemFault (damaged_pack, missing_object): then nothing may be deleted.
    """
    found = whole_index(repository, condemned(repository.blobs)[0].unusable)
    marking = Marking(repository, found, progress)
    marking.mark(find_roots(repository, since(keep_days, age), drafts))
    return _garbage(marking, found)


def _garbage(marking: Marking, found: Found) -> Garbage:
    by_pack: defaultdict[bytes, Pack] = defaultdict(Pack)
    total = Garbage(missing=marking.missing)
    for segment, marks in zip(marking.segments, marking.marks, strict=True):
        count = len(segment.packs)
        sums = np.zeros((4, count))
        for start in range(0, segment.count, _ROWS_AT_ONCE):
            rows = slice(start, start + _ROWS_AT_ONCE)
            number, stored = segment.columns["pack"][rows], segment.columns["stored"][rows]
            dead = marks[rows] & LIVE == 0
            lists = dead & (segment.columns["codec"][rows] & packs.RECIPE != 0)
            sums[0] += np.bincount(number, stored, count)
            sums[1] += np.bincount(number[dead], stored[dead], count)
            sums[2] += np.bincount(number[dead], minlength=count)
            sums[3] += np.bincount(number[lists], minlength=count)
            total.live += int(len(dead) - dead.sum())
        for name, (stored_, garbage, objects, lists_) in zip(
            segment.packs, sums.T.astype(np.int64).tolist(), strict=True
        ):
            if name in found.there and name not in by_pack:  # several segments may list it, each all of it
                by_pack[name] = Pack(stored_, garbage, objects, lists_)
    for name in found.redundant:
        size = found.there[name]
        by_pack[name] = Pack(size, size, 1)
    total.packs = dict(by_pack)
    return total
