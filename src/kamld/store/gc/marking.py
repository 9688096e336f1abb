"""What roots need, as one bit for each row of the index: some megabytes for ten million objects."""

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from kamld.store.commits import read_commit
from kamld.store.gc.roots import Root
from kamld.store.index import Segment, as_ids, split_ids
from kamld.store.repository import Repository
from kamld.store.trees import decode_page, decode_tree

_AT_ONCE = 100_000  # files that are looked up together


class Marking:
    """Of the segments that the index has when this is made; what is added later is not its business."""

    def __init__(self, repository: Repository) -> None:
        self._objects = repository.objects
        repository.index.refresh()
        self.segments = repository.index.segments()
        self.live = [np.zeros(segment.count, np.bool_) for segment in self.segments]
        self._commits: set[bytes] = set()
        self._trees: set[bytes] = set()

    def mark(self, roots: Iterable[Root]) -> None:
        """Raises SystemFault (missing_object) where what must be there is not: then nothing may be
        deleted, for nobody knows what it needs."""
        for root in sorted(roots, key=lambda root: root.id):
            if root.kind == "commit":
                if root.sure or self._objects.has(root.id):
                    self._commit(root.id)
            elif root.kind == "tree":
                self._tree(root.id)
            else:
                self._keep([root.id])

    def _commit(self, identifier: bytes) -> None:
        waiting = [identifier]
        while waiting:
            identifier = waiting.pop()
            if identifier in self._commits:
                continue
            self._commits.add(identifier)
            self._keep([identifier])
            commit = read_commit(self._objects, identifier.hex())
            self._tree(bytes.fromhex(commit.tree))
            waiting += [bytes.fromhex(parent) for parent in commit.parents]

    def _tree(self, identifier: bytes) -> None:
        if identifier in self._trees:
            return
        self._trees.add(identifier)
        self._keep([identifier])
        pages = [page.id for page in decode_tree(self._objects.read(identifier))]
        for page in self._keep(pages):
            ids = np.unique(decode_page(self._objects.read(page)).ids.reshape(-1, 32), axis=0)
            for start in range(0, len(ids), _AT_ONCE):
                some = ids[start : start + _AT_ONCE]
                self._keep([row.tobytes() for row in some])

    def _keep(self, identifiers: Sequence[bytes]) -> list[bytes]:
        """Mark objects and what they are made of; those that were not marked before."""
        new = self._mark(identifiers)
        self._mark(self._objects.parts(new))
        return new

    def _mark(self, identifiers: Sequence[bytes]) -> list[bytes]:
        if not identifiers:
            return []
        ids = as_ids(identifiers)
        new = np.ones(len(ids), np.bool_)
        for segment, live in zip(self.segments, self.live, strict=True):
            at, rows = all_rows(segment, ids)
            new[at[live[rows]]] = False
            live[rows] = True
        return [identifier for identifier, is_new in zip(identifiers, new.tolist(), strict=True) if is_new]


def all_rows(segment: Segment, ids: NDArray[np.void]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
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
