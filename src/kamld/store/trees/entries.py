"""Entries: the files of a version, or of some, as columns; and what differs between two of them."""

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, overload

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Entries:
    """Rows of a tree, sorted by path. `ids` is (n, 32) bytes; a symlink's object is its target."""

    paths: list[bytes]  # raw bytes as the file system has them, folders joined by /
    kinds: NDArray[np.uint8]
    sizes: NDArray[np.uint64]
    ids: NDArray[np.uint8]

    def __len__(self) -> int:
        return len(self.paths)

    def rows(self) -> Iterator["Entry"]:
        blob = self.ids.tobytes()
        for at, (path, kind, size) in enumerate(
            zip(self.paths, self.kinds.tolist(), self.sizes.tolist(), strict=True)
        ):
            yield Entry(path, kind, size, blob[32 * at : 32 * at + 32])

    def take(self, rows: Sequence[int]) -> "Entries":
        """The rows at these positions, which are in rising order."""
        at = np.array(rows, np.int64)
        return Entries([self.paths[i] for i in rows], self.kinds[at], self.sizes[at], self.ids[at])

    def part(self, start: int, stop: int) -> "Entries":
        some = slice(start, stop)
        return Entries(self.paths[some], self.kinds[some], self.sizes[some], self.ids[some])

    def row(self, at: int) -> "Entry":
        return Entry(self.paths[at], int(self.kinds[at]), int(self.sizes[at]), self.ids[at].tobytes())


@dataclass(frozen=True, slots=True)
class Entry:
    path: bytes
    kind: int
    size: int
    id: bytes


@dataclass(frozen=True, slots=True)
class Change:
    """One path that differs between two trees; `old` or `new` is None where it is not there."""

    path: bytes
    old: Entry | None
    new: Entry | None

    @property
    def sort(self) -> Literal["added", "removed", "changed"]:
        if self.old is None:
            return "added"
        return "removed" if self.new is None else "changed"


def entries_of(rows: Sequence[Entry]) -> Entries:
    """Rows that are sorted by path, as columns."""
    return Entries(
        [row.path for row in rows],
        np.array([row.kind for row in rows], np.uint8),
        np.array([row.size for row in rows], np.uint64),
        np.frombuffer(b"".join(row.id for row in rows), np.uint8).reshape(-1, 32),
    )


class Beside:
    """Where each of some paths, sorted as well, is among a version's entries."""

    def __init__(self, entries: Entries, paths: list[bytes]) -> None:
        self._entries = entries
        if paths == entries.paths:
            self._at = np.arange(len(paths))
        else:
            place = {path: row for row, path in enumerate(entries.paths)}
            self._at = np.fromiter((place.get(path, -1) for path in paths), np.int64, len(paths))

    def alike(self, kinds: NDArray[np.uint8], ids: NDArray[np.uint8]) -> NDArray[np.bool_]:
        """Which of these, one for each path, are as the version has them."""
        same = self._at >= 0
        rows = self._at[same]
        same[same] = (self._entries.kinds[rows] == kinds[same]) & (
            (self._entries.ids[rows] == ids[same]).all(axis=1)
        )
        return same

    def entry(self, row: int) -> Entry | None:
        """What the version has at the path of this row."""
        return self._entries.row(int(self._at[row])) if self._at[row] >= 0 else None

    def gone(self) -> Iterator[Entry]:
        """What the version has, and those paths have not."""
        there = np.zeros(len(self._entries), np.bool_)
        there[self._at[self._at >= 0]] = True
        return (self._entries.row(at) for at in np.flatnonzero(~there).tolist())


def in_step(olds: Iterable[Entries], news: Iterable[Entries]) -> Iterator[tuple[Entries, Entries]]:
    """Two tables, each given in parts, in pieces of both that reach to the same path."""
    nothing = entries_of([])
    older, newer = iter(olds), iter(news)
    old, new = next(older, nothing), next(newer, nothing)
    at, now = 0, 0  # where each of them goes on
    while at < len(old) and now < len(new):
        end = min(old.paths[-1], new.paths[-1])
        of_old, of_new = bisect_right(old.paths, end, at), bisect_right(new.paths, end, now)
        yield old.part(at, of_old), new.part(now, of_new)
        old, at = (old, of_old) if of_old < len(old) else (next(older, nothing), 0)
        new, now = (new, of_new) if of_new < len(new) else (next(newer, nothing), 0)
    yield from ((one, nothing) for one in (old.part(at, len(old)), *older) if len(one))
    yield from ((nothing, one) for one in (new.part(now, len(new)), *newer) if len(one))


class Added(Sequence[Change]):
    """All that a first version has, each made when it is asked for: there may be millions."""

    def __init__(self, entries: Entries) -> None:
        self._entries = entries

    @property
    def paths(self) -> list[bytes]:
        return self._entries.paths

    def __len__(self) -> int:
        return len(self._entries)

    @overload
    def __getitem__(self, at: int) -> Change: ...
    @overload
    def __getitem__(self, at: slice) -> list[Change]: ...
    def __getitem__(self, at: int | slice) -> Change | list[Change]:
        if isinstance(at, slice):
            return [self[row] for row in range(*at.indices(len(self)))]
        entry = self._entries.row(at)
        return Change(entry.path, None, entry)

    def __iter__(self) -> Iterator[Change]:
        return (Change(entry.path, None, entry) for entry in self._entries.rows())


def renamed(changes: Iterable[Change]) -> list[tuple[bytes, bytes]]:
    """Old and new paths of files that are only in another place."""
    return sorted((old.path, new.path) for old, new in renames(changes))


def renames(changes: Iterable[Change]) -> Iterator[tuple[Entry, Entry]]:
    """Each removed file and the added one that has its content; those with one name in other folders
    first. Empty files are all alike."""
    changes = list(changes)
    come = [change.new for change in changes if change.new and not change.old]
    gone = [change.old for change in changes if change.old and not change.new and change.old.size]
    for same_name in (True, False):
        waiting: dict[tuple[bytes, int, bytes], list[Entry]] = {}
        for old in reversed(gone):
            waiting.setdefault(_likeness(old, same_name=same_name), []).append(old)
        taken, rest = set(), []
        for new in come:
            if olds := waiting.get(_likeness(new, same_name=same_name)):
                old = olds.pop()
                taken.add(old.path)
                yield old, new
            else:
                rest.append(new)
        come, gone = rest, [old for old in gone if old.path not in taken]


def _likeness(entry: Entry, *, same_name: bool) -> tuple[bytes, int, bytes]:
    return entry.id, entry.kind, entry.path.rpartition(b"/")[2] if same_name else b""
