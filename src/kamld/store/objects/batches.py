"""Small files read many at once, and by two processes where there are many of them.

Two threads of one process would take turns: opening, reading and closing a small file is little work in
many calls. So a copy of the process reads and compresses every second batch, and tells what came of it;
what goes into packs is for the first one to decide.
"""

from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import accumulate, pairwise
from typing import IO

import msgspec

from kamld.processes import Copy, Turns, tell
from kamld.store.objects import files, recipes
from kamld.store.objects.files import Source, State, Written
from kamld.store.objects.packing import Row

FILES = 256
BYTES = 4 * 1024 * 1024  # together; a larger file comes alone
WORTH_A_PROCESS = 4096  # files
_FILES_SHARED = 128  # so that who listens is soon back
Read = tuple[Source, bytes, bytes, State]  # source, id, content, state


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


def read(batch: Sequence[Source]) -> list[Read]:
    """Raises SystemFault (unreadable_file, changing_file)."""
    found = files.read_many(source.path for source in batch)
    return [
        (source, recipes.object_id(data), data, files.state_of(state))
        for source, (data, state) in zip(batch, found, strict=True)
    ]


class _Told(msgspec.Struct, array_like=True):
    """What came of a batch: its files, and the rows for packs, whose bytes follow."""

    batch: int
    ids: bytes
    states: list[State]
    objects: bytes  # ids of the rows
    codecs: bytes
    stored: bytes  # 8 bytes a row, as are
    raw: bytes


@dataclass(frozen=True, slots=True)
class Sharing:
    """`source` of a number gives a small file. `keep` puts what was read into packs, or, in the copy, into
    `aside` once that was called; `add` puts rows into packs."""

    source: Callable[[int], Source]
    keep: Callable[[list[Read]], list[Written]]
    add: Callable[[Sequence[Row]], None]
    aside: Callable[[], list[Row]]

    def all(self, numbers: Sequence[int], sizes: Sequence[int]) -> Iterator[list[Written]]:
        """Everything that `source` gives for these, in no particular order. What the copy fails at is
        done here, so that an error is found and told here."""
        parts = [numbers[start:stop] for start, stop in pairwise(_cut(numbers, sizes))]
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

    def _kept(self, part: Sequence[int]) -> list[Written]:
        return self.keep(read([self.source(number) for number in part]))

    def _heard(
        self, copy: Copy, parts: Sequence[Sequence[int]], done: set[int], *, wait: bool
    ) -> Iterator[list[Written]]:
        for message in copy.told(wait=wait):
            about = int.from_bytes(message[:4], "little")
            told = msgspec.msgpack.decode(message[4 : 4 + about], type=_Told)
            self.add(_rows(told, message[4 + about :]))
            done.add(told.batch)
            yield [
                Written(self.source(number), told.ids[32 * at : 32 * at + 32], state)
                for at, (number, state) in enumerate(zip(parts[told.batch], told.states, strict=True))
            ]

    def _tell_all(self, parts: Sequence[Sequence[int]], turns: Turns, answer: IO[bytes]) -> None:
        """In the copy."""
        rows = self.aside()
        for number in turns:
            written = self._kept(parts[number])
            about = msgspec.msgpack.encode(
                _Told(
                    number,
                    b"".join(one.id for one in written),
                    [one.state for one in written],
                    b"".join(row[0] for row in rows),
                    bytes(row[1] for row in rows),
                    array("q", [len(row[2]) for row in rows]).tobytes(),
                    array("q", [row[3] for row in rows]).tobytes(),
                )
            )
            tell(answer, len(about).to_bytes(4, "little"), about, *[row[2] for row in rows])
            rows.clear()


def _rows(told: _Told, stored: memoryview) -> list[Row]:
    lengths = array("q", told.stored)
    ends = list(accumulate(lengths, initial=0))
    return [
        (told.objects[32 * at : 32 * at + 32], codec, stored[ends[at] : ends[at + 1]], raw)
        for at, (codec, raw) in enumerate(zip(told.codecs, array("q", told.raw), strict=True))
    ]


def _cut(numbers: Sequence[int], sizes: Sequence[int]) -> list[int]:
    """Where batches begin and end."""
    cuts, size = [0], 0
    for at, number in enumerate(numbers):
        size += sizes[number]
        if size >= BYTES or at + 1 - cuts[-1] >= _FILES_SHARED:
            cuts.append(at + 1)
            size = 0
    return cuts if cuts[-1] == len(numbers) else [*cuts, len(numbers)]
