"""What roots need, as some bits for each row of the index: ten million objects are ten megabytes.

Rows are those of the segments at the moment when a `Marking` is made, and of them only those in packs
that are there. Everything is read in batches, and nothing but the rows is kept of what was seen. What
came since, or was moved, is in none of them: it is followed all the same, and there is nothing to mark.
"""

from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kamld.blobs import Missing
from kamld.errors import SystemFault
from kamld.store import packs
from kamld.store.commits import read_commit
from kamld.store.gc.history import History
from kamld.store.gc.roots import Root
from kamld.store.gc.unlisted import Found
from kamld.store.index import Segment, as_ids, distinct, split_ids
from kamld.store.objects import places, recipes
from kamld.store.objects.holes import Holes
from kamld.store.repository import Repository
from kamld.store.trees import EMPTY_ID, listed_pages, page_ids

LIVE, COMMIT, TREE, PAGE, FILE, COPIED = 1, 2, 4, 8, 16, 32  # a file may be equal to a page
_TREES_AT_ONCE, _PAGES_AT_ONCE, _IDS_AT_ONCE = 256, 256, 50_000
_LISTED_AT_ONCE = 2 * 1024 * 1024  # bytes of lists of ids that are joined, so that what repeats is met once
Ids = NDArray[np.void]
Progress = Callable[[int, int], None]  # objects that were reached, bytes they have, since the last call


def unheard(_objects: int, _bytes: int) -> None:
    pass


class Marking:
    def __init__(self, repository: Repository, found: Found, progress: Progress = unheard) -> None:
        self._progress = progress
        self._objects, self._index, self._blobs = repository.objects, repository.index, repository.blobs
        self.segments, self.there = found.segments, found.there
        self.marks = [np.zeros(segment.count, np.uint8) for segment in self.segments]
        self._sound = [np.array([name in found.there for name in s.packs], np.bool_) for s in self.segments]
        self._elsewhere: set[tuple[int, bytes]] = set()  # marks of what is in no row
        self._begun = False
        self._purged = Holes(repository.blobs).listed()
        self.missing = 0  # files, or parts of files, that the hub does not have

    def mark(self, roots: Iterable[Root]) -> None:
        """Raises SystemFault (missing_object) where what must be there is not: then nothing may be
        deleted, for nobody knows what it needs."""
        ordered = sorted(roots, key=lambda root: root.id)
        commits = [root for root in ordered if root.kind == "commit"]
        named = {root.id.hex() for root in commits if root.lives}
        history = self._read_commits((root.id for root in commits if root.sure), sure=True)
        certain = len(history)
        self._read_commits((root.id for root in commits if not root.sure), history, sure=False)
        self._trees(history.trees(0, certain), sure=True)
        self._trees(history.trees(certain, len(history)), sure=False)
        first, self._begun = not self._begun, True
        if first:
            for at, tree, may_be_gone in history.checkpoints(named):
                self._trees([tree], sure=at < certain and not may_be_gone)
        else:  # what somebody named since, who looked whether it is whole
            self._trees((tree for _, tree, _ in history.checkpoints(set())), sure=False)
            self._trees(self._trees_of(named), sure=False)
        self._trees((root.id for root in ordered if root.kind == "tree"), sure=False)
        if objects := [root.id for root in ordered if root.kind == "object"]:
            self._files(as_ids(objects))

    def _read_commits(
        self, starts: Iterable[bytes], history: History | None = None, *, sure: bool
    ) -> History:  # fmt: skip
        """Those that were not read before, and all that came before them. Where they are not `sure`, what
        is gone is passed over: it was collected before somebody's old move could say that it was needed."""
        history = History() if history is None else history
        for start in starts:
            waiting = [start]
            while waiting:
                identifier = waiting.pop()
                if self._follow(as_ids([identifier]), COMMIT, sure=sure)[0]:
                    commit = read_commit(self._objects, identifier.hex())
                    history.add(identifier, commit)
                    waiting += [bytes.fromhex(parent) for parent in commit.parents]
        return history

    def _trees_of(self, commits: Iterable[str]) -> Iterator[bytes]:
        for commit in commits:
            if self._has(bytes.fromhex(commit)):
                yield bytes.fromhex(read_commit(self._objects, commit).tree)

    def _trees(self, trees: Iterable[bytes], *, sure: bool) -> None:
        """Follow them; where they are not `sure`, what is gone of them is passed over. Versions that
        follow each other have most in common: of many at once, each page and file is looked up once."""
        for pages in _together(self._lists_of_pages(trees, sure=sure)):
            for files in _together(self._lists_of_files(pages, sure=sure)):
                self._files(files)

    def _lists_of_pages(self, trees: Iterable[bytes], *, sure: bool) -> Iterator[NDArray[np.uint8]]:
        rest = iter(trees)
        while some := list(islice(rest, _TREES_AT_ONCE)):
            new = self._new(distinct(as_ids(some)), TREE, sure=sure)
            if new:
                yield from map(listed_pages, map(self._objects.together(new), range(len(new))))

    def _lists_of_files(self, pages: Ids, *, sure: bool) -> Iterator[NDArray[np.uint8]]:
        new = self._new(pages, PAGE, sure=sure)
        for start in range(0, len(new), _PAGES_AT_ONCE):
            for _, pieces in self._objects.read_many(new[start : start + _PAGES_AT_ONCE]):
                yield page_ids(b"".join(pieces))

    def _files(self, ids: Ids) -> None:
        """Mark files, and what they are made of."""
        for start in range(0, len(ids), _IDS_AT_ONCE):
            some = ids[start : start + _IDS_AT_ONCE]
            found, new = self._set(some, FILE)
            self._progress(int(new.sum()), 0)
            for at in np.flatnonzero(~found).tolist():
                self._file_elsewhere(some[at].tobytes())

    def _new(self, ids: Ids, role: int, *, sure: bool) -> list[bytes]:
        return [identifier.tobytes() for identifier in ids[self._follow(ids, role, sure=sure)]]

    def _follow(self, ids: Ids, role: int, *, sure: bool) -> NDArray[np.bool_]:
        """Mark them; which were not marked so before and are to be followed: all, or where they are not
        `sure` those that are there."""
        found, new = self._set(ids, role)
        for at in np.flatnonzero(~found).tolist():
            identifier = ids[at].tobytes()
            if (role, identifier) not in self._elsewhere and (sure or self._has(identifier)):
                self._elsewhere.add((role, identifier))
                new[at] = True  # who follows it finds it, or that it is lost
        self._progress(int(new.sum()), 0)
        return new

    def _file_elsewhere(self, identifier: bytes) -> None:
        """A file whose content is in no row: the places where it was left are kept instead."""
        keys = places.left(self._index, [identifier])[0]
        there = bool(keys) and bool(self._set(as_ids(keys), LIVE)[0].all())
        purged = identifier in self._purged  # and whoever lists it knows
        if not there and identifier != EMPTY_ID and not purged and not self._has(identifier):
            self.missing += 1

    def _has(self, identifier: bytes) -> bool:
        """Whether an object is to be had: in one of the rows, or in the hub as it is now."""
        for segment, sound in zip(self.segments, self._sound, strict=True):
            if any(sound[segment.columns["pack"][row]] for row in segment.rows_of(identifier)):
                return True
        try:
            self._objects.stored(identifier)
        except SystemFault as fault:
            if fault.code not in ("missing_object", "missing_pack", "damaged_index"):
                raise
            return False
        return True

    def _set(self, ids: Ids, role: int) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Mark every row of each id, and what rows that are recipes list; (which ids have a row, which
        had not this mark)."""
        if len(ids) == 1:
            return self._set_one(ids[0].tobytes(), role)
        order = np.argsort(split_ids(ids)[0], kind="stable")  # so that neighbours are looked up together
        found, seen = np.zeros(len(ids), np.bool_), np.zeros(len(ids), np.bool_)
        ids = ids[order]
        for segment, marks, sound in zip(self.segments, self.marks, self._sound, strict=True):
            at, rows = all_rows(segment, ids)
            usable = sound[segment.columns["pack"][rows]]
            at, rows = order[at[usable]], rows[usable]
            found[at] = True
            seen[at[marks[rows] & role != 0]] = True
            lists = rows[(segment.columns["codec"][rows] & packs.RECIPE != 0) & (marks[rows] & LIVE == 0)]
            marks[rows] |= role | LIVE
            for row in np.unique(lists).tolist() if len(lists) else ():
                self._chunks(segment, row)
        return found, found & ~seen

    def _set_one(self, identifier: bytes, role: int) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        found = seen = False
        for segment, marks, sound in zip(self.segments, self.marks, self._sound, strict=True):
            columns = segment.columns
            for row in segment.rows_of(identifier):
                if sound[columns["pack"][row]]:
                    before = int(marks[row])
                    found, seen = True, seen or before & role != 0
                    marks[row] = before | role | LIVE
                    if columns["codec"][row] & packs.RECIPE and not before & LIVE:
                        self._chunks(segment, row)
        return np.array([found]), np.array([found and not seen])

    def _chunks(self, segment: Segment, row: int) -> None:
        """Of this very list: another of the same file, in another pack, may have been cut otherwise."""
        columns = segment.columns
        name, start = segment.packs[int(columns["pack"][row])], int(columns["offset"][row])
        identifier = id_at(columns, row)
        try:
            stored = self._blobs.view(packs.key(name))[start : start + int(columns["stored"][row])]
        except Missing:  # joined with others since
            stored = memoryview(self._objects.stored(identifier)[1])
        chunks = recipes.chunk_ids(stored, int(columns["raw"][row]), identifier)
        for at in range(0, len(chunks), _IDS_AT_ONCE):
            some = chunks[at : at + _IDS_AT_ONCE]
            found, _ = self._set(some, LIVE)
            self.missing += sum(not self._has(chunk.tobytes()) for chunk in some[~found])


def _together(lists: Iterable[NDArray[np.uint8]]) -> Iterator[Ids]:
    """The ids of several lists, many at once, each of these once."""
    waiting, size = [], 0
    for one in lists:
        waiting.append(one.tobytes())
        size += one.nbytes
        if size >= _LISTED_AT_ONCE:
            yield distinct(as_ids(waiting))
            waiting, size = [], 0
    if size:
        yield distinct(as_ids(waiting))


def id_at(columns: dict[str, Any], row: int) -> bytes:
    rest: bytes = columns["rest"][row].tobytes()
    return int(columns["prefix"][row]).to_bytes(8, "big") + rest


def all_rows(segment: Segment, ids: Ids) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """(position in `ids`, row) of every row that has one of the ids; several where several packs do."""
    prefixes, rests = split_ids(ids)
    rows = segment.find(ids)
    at = np.flatnonzero(rows >= 0)
    rows = rows[at]
    found_at, found_rows = [at], [rows]
    while len(at):
        rows = rows + 1
        inside = rows < segment.count
        at, rows = at[inside], rows[inside]
        same = (segment.columns["prefix"][rows] == prefixes[at]) & (
            segment.columns["rest"][rows] == rests[at]
        )
        at, rows = at[same], rows[same]
        found_at.append(at)
        found_rows.append(rows)
    return np.concatenate(found_at), np.concatenate(found_rows)
