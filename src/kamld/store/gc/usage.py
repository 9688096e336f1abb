"""What takes the space in a hub: for each dataset what its versions would take as files, and what they
do take; how much of that it shares with others, and how much only its older versions need.

The rule: every commit and every page of a list of files is read once for each dataset that has it, no
file's content ever. Memory is ten bytes for each kept object, and a few pages. Sizes are of what is in
packs, compressed and once; what is there twice, in two packs, counts twice, for it takes room twice. What
a collection has marked and somebody brought again is the dataset's once, and garbage once.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from kamld.records.history import Commit, Dataset
from kamld.records.names import MAIN
from kamld.store import packs
from kamld.store.commits import ancestry
from kamld.store.index import Segment, as_ids, distinct
from kamld.store.leases import condemned
from kamld.store.repository import Repository
from kamld.store.trees import decode_tree, page_ids

_SHARED = np.uint32(2**32 - 1)
_LOCAL = "local"
_PAGES_AT_ONCE = 64  # of about 1,024 files each
_FILES_AT_ONCE = 65_536
_FEW = 2  # ids, for which other ways are faster than for many
Ids = NDArray[np.void]


@dataclass(frozen=True, slots=True)
class Used:
    """One dataset or model. `stored`: bytes that its versions take in the hub; `alone`: of these, what no
    other dataset needs; `history`: what its newest version does not need."""

    dataset: Dataset
    newest: int  # bytes of the newest version, as files
    versions: int
    as_files: int  # bytes of all versions, as files
    stored: int
    alone: int
    history: int


@dataclass(frozen=True, slots=True)
class Usage:
    """Bytes of all that is in the hub. `shared`: what several datasets need, once. `other`: what is needed
    by none of them as it is now: code and output of runs, what was removed or taken back, what nothing
    needs any more. `lists`: the index, and what packs say about themselves. `local`: databases and caches
    of this machine."""

    datasets: list[Used]
    shared: int
    other: int
    lists: int
    records: int
    local: int
    total: int


@dataclass(slots=True)
class _Sizes:
    """Of the dataset that is looked at: bytes of the files of each list, so that none is read twice."""

    of: dict[bytes, int] = field(default_factory=dict)
    versions: int = 0
    as_files: int = 0


def measure(repository: Repository) -> Usage:
    """Raises SystemFault where a commit or a list of files cannot be read."""
    listed = {blob.key: blob.size for blob in repository.blobs.list("")}
    room = Counter[str]()
    for key, size in listed.items():
        room[key.partition("/")[0]] += size
    rows = _Rows(repository, {name for key in listed if (name := packs.name_of(key))})
    found = [_measured(repository, rows, dataset, n + 1) for n, dataset in enumerate(_datasets(repository))]
    alone, shared, everything = rows.totals(len(found))
    lists = room["index"] + room["packs"] - everything
    return Usage(
        [replace(used, alone=size) for used, size in zip(found, alone, strict=True)],
        shared, everything - sum(alone) - shared, lists,
        room.total() - everything - lists - room[_LOCAL], room[_LOCAL], room.total(),
    )  # fmt: skip


def _datasets(repository: Repository) -> Iterator[Dataset]:
    return (dataset for dataset in repository.names.all() if repository.refs.all(dataset))


def _measured(repository: Repository, rows: "_Rows", dataset: Dataset, number: int) -> Used:
    rows.begin()
    sizes = _Sizes()
    starts = {ref.commit for ref in repository.refs.all(dataset) if ref.commit}
    starts |= set(repository.refs.versions(dataset).values())
    main = repository.refs.find(dataset, MAIN)
    newest = 0
    if main and main.commit:
        commit = repository.commit(main.commit)
        _keep_version(repository, rows, sizes, main.commit, commit)
        newest = sizes.of.get(bytes.fromhex(commit.tree), 0)
    first = rows.seen_bytes()
    there = sorted(start for start in starts if repository.objects.has(bytes.fromhex(start)))
    for commit_id, commit in ancestry(repository.objects, *there):
        _keep_version(repository, rows, sizes, commit_id, commit)
        sizes.versions += 1
        sizes.as_files += sizes.of.get(bytes.fromhex(commit.tree), 0)
    stored = rows.seen_bytes()
    rows.end(number)
    return Used(dataset, newest, sizes.versions, sizes.as_files, stored, 0, stored - first)


def _keep_version(
    repository: Repository, rows: "_Rows", sizes: _Sizes, commit_id: str, commit: Commit
) -> None:
    """Mark what it needs. Of a checkpoint whose time was over, what is still there."""
    tree, objects = bytes.fromhex(commit.tree), repository.objects
    rows.see([bytes.fromhex(commit_id), tree])
    if tree in sizes.of or (commit.checkpoint and not objects.has(tree)):
        return
    pages = decode_tree(objects.read(tree))
    sizes.of[tree] = sum(page.size for page in pages)
    new = rows.see([page.id for page in pages])
    if commit.checkpoint:
        new = [page for page, held in zip(new, objects.held(new), strict=True) if held]
    for start in range(0, len(new), _PAGES_AT_ONCE):
        read = objects.read_many(new[start : start + _PAGES_AT_ONCE])
        for _, pieces in read:
            rows.see_files(page_ids(b"".join(pieces)))


class _Rows:
    """What the index lists, a row each, and who needs it."""

    def __init__(self, repository: Repository, there: set[bytes]) -> None:
        repository.index.refresh()
        self._objects = repository.objects
        self._segments = repository.index.segments()
        self._owner = [np.zeros(segment.count, np.uint32) for segment in self._segments]
        self._seen = [np.zeros(segment.count, np.bool_) for segment in self._segments]
        self._there = [np.array([name in there for name in s.packs], np.bool_) for s in self._segments]
        self._again = [_again(segment) for segment in self._segments]
        self._marked = condemned(repository.blobs)[0].unusable  # packs that a collection deletes
        self._stays = [segment.usable(self._marked) for segment in self._segments]
        self._files: list[bytes] = []  # ids that are still to be marked
        self._waiting = 0

    def begin(self) -> None:
        for seen in self._seen:
            seen[:] = False

    def see(self, identifiers: Sequence[bytes]) -> list[bytes]:
        """Mark these; those that were not marked before."""
        if not identifiers:
            return []
        new = self.see_all(as_ids(identifiers))
        return [identifiers[at] for at in np.flatnonzero(new).tolist()]

    def see_all(self, ids: Ids) -> NDArray[np.bool_]:
        """Mark these, and what large ones, and files that were left elsewhere, are made of."""
        new, has_parts = self._mark(ids)
        if parts := self._objects.parts([one.tobytes() for one in ids[new & has_parts]]):
            self._mark(as_ids(parts))
        return new

    def see_files(self, ids: NDArray[np.uint8]) -> None:
        """Mark these at the latest when it is asked what was seen: versions that follow each other list
        mostly the same, which is looked up once."""
        self._files.append(ids.tobytes())
        self._waiting += len(ids)
        if self._waiting >= _FILES_AT_ONCE:
            self._see_files()

    def _see_files(self) -> None:
        files, self._files, self._waiting = b"".join(self._files), [], 0
        if files:
            self.see_all(distinct(as_ids([files])))

    def seen_bytes(self) -> int:
        self._see_files()
        total = 0
        for at, (sizes, seen) in enumerate(zip(self._sizes(), self._seen, strict=True)):
            stays, packs_of, last, is_seen = self._stays[at], self._segments[at].columns["pack"], -1, False
            for row in self._again[at]:  # what is in a second pack too takes room there
                is_seen = bool(seen[row - 1]) or (is_seen and last == row - 1)
                if is_seen and (stays is None or stays[packs_of[row]]):
                    seen[row] = True
                last = row
            total += int(sizes[seen].sum())
        return total

    def end(self, number: int) -> None:
        for owner, seen in zip(self._owner, self._seen, strict=True):
            owner[seen & (owner != 0)] = _SHARED
            owner[seen & (owner == 0)] = number

    def totals(self, count: int) -> tuple[list[int], int, int]:
        """(bytes that only each of `count` owners needs, that several need, of all that is listed)."""
        alone, shared, everything = np.zeros(count + 1), 0, 0
        for sizes, owner in zip(self._sizes(), self._owner, strict=True):
            everything += int(sizes.sum())
            several = owner == _SHARED
            shared += int(sizes[several].sum())
            alone += np.bincount(owner[~several], sizes[~several], count + 1)
        return [int(size) for size in alone[1:]], shared, everything

    def _mark(self, ids: Ids) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Of each id, whether it was not marked before, and whether it is kept as parts."""
        new, has_parts = np.ones(len(ids), np.bool_), np.ones(len(ids), np.bool_)
        if len(ids) <= _FEW:
            for position, identifier in enumerate(ids):
                new[position], has_parts[position] = self._mark_one(identifier.tobytes())
            return new, has_parts
        there = np.zeros(len(ids), np.bool_)
        for without in (self._marked, frozenset[bytes]()):  # where else there is none, what is marked counts
            left = np.flatnonzero(~there)
            for segment, seen in zip(self._segments, self._seen, strict=True) if len(left) else ():
                rows = segment.find(ids[left], without)
                at, rows = left[rows >= 0], rows[rows >= 0]
                new[at[seen[rows]]] = False
                has_parts[at] = segment.columns["codec"][rows] & packs.RECIPE != 0
                seen[rows], there[at] = True, True
        return new, has_parts

    def _mark_one(self, identifier: bytes) -> tuple[bool, bool]:
        for without in (self._marked, frozenset[bytes]()):
            new, has_parts = True, None
            for segment, seen in zip(self._segments, self._seen, strict=True):
                if (row := segment.row_of(identifier, without)) >= 0:
                    new = new and not seen[row]
                    has_parts = bool(segment.columns["codec"][row] & packs.RECIPE)
                    seen[row] = True
            if has_parts is not None:
                return new, has_parts
        return True, True

    def _sizes(self) -> Iterator[NDArray[np.uint32]]:
        """Bytes of each row in its pack; none where that is gone."""
        for segment, there in zip(self._segments, self._there, strict=True):
            stored = segment.columns["stored"]
            yield stored if there.all() else np.where(there[segment.columns["pack"]], stored, np.uint32(0))


def _again(segment: Segment) -> list[int]:
    """Rows of an object that has one in the row before too, for it is in several packs."""
    prefix, rest = segment.columns["prefix"], segment.columns["rest"]
    same = np.flatnonzero(prefix[1:] == prefix[:-1]) + 1
    rows: list[int] = same[rest[same] == rest[same - 1]].tolist()
    return rows
