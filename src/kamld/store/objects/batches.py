"""Small files read many at once, and by two processes where there are many of them.

Two threads of one process would take turns: opening, reading and closing a small file is little work in
many calls. So a copy of the process reads and compresses every second batch, and tells what came of it;
what goes into packs is for the first one to decide.
"""

import os
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import accumulate, pairwise
from typing import IO

import msgspec
import numpy as np
from numpy.typing import NDArray

from kamld.processes import Copy, Turns, tell
from kamld.store.objects import files, recipes
from kamld.store.objects.files import Source
from kamld.store.packs import Rows

FILES = 256
BYTES = 4 * 1024 * 1024  # together; a larger file comes alone
WORTH_A_PROCESS = 4096  # files
_FILES_SHARED = 128  # so that who listens is soon back


@dataclass(frozen=True, slots=True)
class Files:
    """Files below a folder, each known by its number, as they were seen. `paths` begin after `top`;
    `states` have size, mtime, ctime and inode; `before` is asked only of large ones."""

    top: bytes
    paths: Sequence[bytes]
    states: NDArray[np.int64]  # (n, 4)
    before: Callable[[int], bytes | None] = lambda _: None

    def source(self, number: int) -> Source:
        path, size = os.fsdecode(self.top + self.paths[number]), int(self.states[number, 0])
        before = self.before(number) if size > BYTES else None
        return Source(path, size, before, self.paths[number], number)


@dataclass(frozen=True, slots=True)
class Read:
    """What was read of some files, in columns. `names`: what people know them by."""

    names: Sequence[bytes | str]
    ids: list[bytes]
    data: list[bytes]
    states: NDArray[np.int64]  # (n, 5), see files.State


@dataclass(frozen=True, slots=True)
class Kept:
    """Files that were kept, in columns."""

    numbers: Sequence[int]
    ids: bytes  # 32 each
    states: NDArray[np.int64]  # (n, 5), see files.State; of the files as they were read


def batches(sources: Iterable[Source]) -> Iterator[list[Source]]:
    """Small files together, large ones alone."""
    batch: list[Source] = []
    size = 0
    for source in sources:
        if source.size > BYTES:
            yield [source]
            continue
        batch.append(source)
        size += source.size
        if len(batch) >= FILES or size >= BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def read(sources: Sequence[Source]) -> Read:
    """Raises SystemFault (unreadable_file, changing_file)."""
    paths = [os.fsencode(source.path) for source in sources]
    data, states = files.read_many(b"", paths, [source.size for source in sources])
    return Read([source.shown for source in sources], list(map(recipes.object_id, data)), data, states)


class _Told(msgspec.Struct, array_like=True):
    """What came of a batch: its files, and the rows for packs, whose bytes follow."""

    batch: int
    ids: bytes
    states: bytes
    objects: bytes  # ids of the rows
    codecs: bytes
    stored: bytes  # 8 bytes a row, as are
    raw: bytes


@dataclass(frozen=True, slots=True)
class Sharing:
    """`keep` puts what was read into packs, or, in the copy, into `aside` once that was called; `add` puts
    rows into packs."""

    listed: Files
    keep: Callable[[Read], None]
    add: Callable[[Rows], None]
    aside: Callable[[], list[Rows]]

    def all(self, numbers: Sequence[int]) -> Iterator[Kept]:
        """All these files, which are small, in no particular order. What the copy fails at is done here,
        so that an error is found and told here."""
        sizes = self.listed.states[np.asarray(numbers), 0].tolist()
        parts = [numbers[start:stop] for start, stop in pairwise(_cut(sizes))]
        done: set[int] = set()
        with Turns(len(parts)) as turns:
            copy = turns.begin(partial(self._tell_all, parts, turns))
            if copy:
                with copy:
                    for number in turns:
                        done.add(number)
                        yield self._kept(parts[number])
                        yield from self._heard(copy, parts, done, wait=False)
                    yield from self._heard(copy, parts, done, wait=True)
        for number in range(len(parts)):
            if number not in done:
                yield self._kept(parts[number])

    def _kept(self, part: Sequence[int]) -> Kept:
        paths, seen = [self.listed.paths[number] for number in part], self.listed.states[np.asarray(part)]
        data, states = files.read_many(self.listed.top, paths, seen[:, 0].tolist(), seen)
        ids = list(map(recipes.object_id, data))
        self.keep(Read(paths, ids, data, states))
        return Kept(part, b"".join(ids), states)

    def _heard(
        self, copy: Copy, parts: Sequence[Sequence[int]], done: set[int], *, wait: bool
    ) -> Iterator[Kept]:
        for message in copy.told(wait=wait):
            about = int.from_bytes(message[:4], "little")
            told = msgspec.msgpack.decode(message[4 : 4 + about], type=_Told)
            self.add(_rows(told, message[4 + about :]))
            done.add(told.batch)
            yield Kept(parts[told.batch], told.ids, np.frombuffer(told.states, np.int64).reshape(-1, 5))

    def _tell_all(self, parts: Sequence[Sequence[int]], turns: Turns, answer: IO[bytes]) -> None:
        """In the copy."""
        aside = self.aside()
        for number in turns:
            kept = self._kept(parts[number])
            stored = [one for rows in aside for one in rows.stored]
            about = msgspec.msgpack.encode(
                _Told(
                    number,
                    kept.ids,
                    kept.states.tobytes(),
                    b"".join(identifier for rows in aside for identifier in rows.ids),
                    b"".join(rows.codecs for rows in aside),
                    array("q", map(len, stored)).tobytes(),
                    array("Q", [length for rows in aside for length in rows.raw]).tobytes(),
                )
            )
            tell(answer, len(about).to_bytes(4, "little"), about, *stored)
            aside.clear()


def _rows(told: _Told, stored: memoryview) -> Rows:
    ends = accumulate(array("q", told.stored), initial=0)
    return Rows(
        [told.objects[at : at + 32] for at in range(0, len(told.objects), 32)],
        told.codecs,
        [stored[start:end] for start, end in pairwise(ends)],
        array("Q", told.raw),
    )


def _cut(sizes: Sequence[int]) -> list[int]:
    """Where batches begin and end."""
    cuts, size = [0], 0
    for at, more in enumerate(sizes):
        size += more
        if size >= BYTES or at + 1 - cuts[-1] >= _FILES_SHARED:
            cuts.append(at + 1)
            size = 0
    return cuts if cuts[-1] == len(sizes) else [*cuts, len(sizes)]
