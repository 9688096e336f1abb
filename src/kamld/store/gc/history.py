"""The commits that a collection has read, some hundred bytes each: there may be a million of them."""

from array import array
from collections.abc import Collection, Iterator

import numpy as np

from kamld import clock
from kamld.records.history import Commit
from kamld.store.refs.expiry import Link, standings


class History:
    def __init__(self) -> None:
        self._ids, self._trees, self._parents = bytearray(), bytearray(), bytearray()
        self._times, self._keep_last, self._ends = array("q"), array("q"), array("q", [0])

    def __len__(self) -> int:
        return len(self._times)

    def add(self, identifier: bytes, commit: Commit) -> None:
        self._ids += identifier
        self._trees += bytes.fromhex(commit.tree)
        self._parents += bytes.fromhex("".join(commit.parents))
        self._times.append(round(clock.moment(commit.time).timestamp() * 1e6))
        self._keep_last.append(-1 if commit.checkpoint is None else commit.checkpoint.keep_last)
        self._ends.append(len(self._parents))

    def trees(self, start: int, end: int) -> Iterator[bytes]:
        """Of those that are no checkpoints, in the order in which they were added."""
        return (self._tree(at) for at in range(start, end) if self._keep_last[at] < 0)

    def checkpoints(self, named: Collection[str]) -> Iterator[tuple[int, bytes, bool]]:
        """(position, tree, whether it may be gone) of those that have not expired. `named` as in
        `standings`."""
        if any(keep_last >= 0 for keep_last in self._keep_last):
            order = np.argsort(-np.array(self._times), kind="stable").tolist()
            rows = {standing.commit_id: standing for standing in standings(map(self._link, order), named)}
            for at, keep_last in enumerate(self._keep_last):
                standing = rows[self._id(at)] if keep_last >= 0 else None
                if standing and not standing.expired:
                    yield at, self._tree(at), standing.may_be_gone

    def _link(self, at: int) -> Link:
        parents = self._parents[self._ends[at] : self._ends[at + 1]].hex()
        keep_last = self._keep_last[at]
        names = tuple(parents[start : start + 64] for start in range(0, len(parents), 64))
        return self._id(at), names, None if keep_last < 0 else keep_last

    def _id(self, at: int) -> str:
        return self._ids[32 * at : 32 * at + 32].hex()

    def _tree(self, at: int) -> bytes:
        return bytes(self._trees[32 * at : 32 * at + 32])
