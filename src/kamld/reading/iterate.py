"""Examples one after the other, streamed from packs: shuffled, shared among readers, resumable.

Windows of examples are read ahead by threads, each in the order in which it lies on disk, and
delivered in the order of the epoch. All windows together stay within a budget of bytes.
"""

import operator
import os
from collections import deque
from collections.abc import Generator, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, NamedTuple

import msgspec

from kamld.errors import Invalid
from kamld.reading.files import Files
from kamld.reading.order import order, share, windows
from kamld.store.trees import tree_id

BUDGET = 64 * 1024 * 1024  # bytes read ahead
THREADS = 2


class Example(NamedTuple):
    path: str
    data: bytes


class State(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where a reader is; small, and JSON. `of` tells which examples these are."""

    of: str
    epoch: int
    position: int  # in this reader's share of the epoch
    seed: int | None
    shard: tuple[int, int]


class Reader(Iterator[Example]):
    """Iterate it, and ask `state()` at any moment: a reader that is given that goes on behind the
    example that was delivered last. One thread may use it at a time."""

    def __init__(
        self, files: Files, *, shuffle: int | None = None, shard: tuple[int, int] = (0, 1),
        resume: Mapping[str, Any] | None = None, epoch: int = 0, epochs: int | None = 1,
        budget: int = BUDGET, threads: int = THREADS,
    ) -> None:  # fmt: skip
        """Raises Invalid (bad_shard, bad_seed, other_examples, bad_state)."""
        seed = _seed(shuffle)
        index, of = shard
        if not 0 <= index < of:
            raise Invalid("bad_shard", f"There is no part {index} of {of}.", "Parts count from 0.")
        self._files = files
        self._budget, self._threads = max(budget, 1), max(threads, 1)
        fresh = State(_which(files), epoch, 0, seed, (index, of))
        self._state = _resumed(fresh, resume) if resume else fresh
        self._last = None if epochs is None else epoch + epochs  # the epoch that is not read any more
        self._examples = self._delivered()

    def __next__(self) -> Example:
        return next(self._examples)

    def state(self) -> dict[str, Any]:
        """To be kept beside a checkpoint, as JSON or however you like."""
        found: dict[str, Any] = msgspec.to_builtins(self._state)
        return found

    def close(self) -> None:
        """Stop reading ahead. Not needed after the last example."""
        self._examples.close()

    def __len__(self) -> int:
        """Examples in one epoch of this reader's share."""
        index, of = self._state.shard
        return len(range(index, len(self._files), of))

    def __repr__(self) -> str:
        index, of = self._state.shard
        share = f", part {index} of {of}" if of > 1 else ""
        seed = "" if self._state.seed is None else f", shuffled by {self._state.seed}"
        files = f"{len(self):,} file" + ("" if len(self) == 1 else "s")
        return f"<reader of {files}{share}{seed}: at {self._state.position:,} of epoch {self._state.epoch}>"

    def _delivered(self) -> Generator[Example]:
        with ThreadPoolExecutor(self._threads, "kamld-read") as pool:
            while (self._last is None or self._state.epoch < self._last) and len(self):
                yield from self._epoch(pool)
                state = self._state
                self._state = msgspec.structs.replace(state, epoch=state.epoch + 1, position=0)

    def _epoch(self, pool: ThreadPoolExecutor) -> Generator[Example]:
        state, entries = self._state, self._files.entries
        rows = share(order(len(entries), state.seed, state.epoch), *state.shard)
        ahead = self._threads + 1  # windows, besides the one that is delivered
        todo = iter(windows(entries.sizes[rows], state.position, self._budget // (ahead + 1)))
        reading: deque[Future[list[Example]]] = deque()
        position = state.position
        try:
            while True:
                while len(reading) < ahead and (window := next(todo, None)):
                    reading.append(pool.submit(self._read, rows[window[0] : window[1]].tolist()))
                if not reading:
                    return
                examples = reading.popleft().result()
                examples.reverse()
                while examples:  # each is let go as it is delivered
                    position += 1
                    self._state = msgspec.structs.replace(state, position=position)
                    yield examples.pop()
        finally:
            for future in reading:
                future.cancel()

    def _read(self, rows: list[int]) -> list[Example]:
        entries = self._files.entries
        names = [entries.ids[row].tobytes() for row in rows]
        contents: list[bytes | None] = [None] * len(rows)  # None: it was purged, and is left out
        for at, pieces in self._files.objects.read_many(names):
            contents[at] = b"".join(pieces)
        return [
            Example(os.fsdecode(entries.paths[row]), data)
            for row, data in zip(rows, contents, strict=True)
            if data is not None
        ]


def _seed(shuffle: object) -> int | None:
    """Raises Invalid (bad_seed)."""
    if shuffle is None:
        return None
    try:
        return operator.index(shuffle)  # type: ignore[arg-type]
    except TypeError:
        raise Invalid(
            "bad_seed", f"shuffle={shuffle!r} is no seed: it is a whole number.",
            "Write shuffle=1, or None for the order that the files have.",
        ) from None  # fmt: skip


def _which(files: Files) -> str:
    """Tells one choice of examples from any other: their paths and contents."""
    return tree_id(files.entries).hex()


def _resumed(fresh: State, kept: Mapping[str, Any]) -> State:
    try:
        state = msgspec.convert(dict(kept), State)
    except (msgspec.ValidationError, TypeError, ValueError) as error:
        raise Invalid(
            "bad_state", f"This is no state of a reader: {error}.", "Give what its state() gave."
        ) from None
    if state.of != fresh.of:
        raise Invalid(
            "other_examples",
            "The state to resume from belongs to other files.",
            "Read the same version with the same pattern, or begin anew without resume.",
        )
    if (state.seed, state.shard) != (fresh.seed, fresh.shard):
        raise Invalid(
            "other_order",
            f"The state to resume from has shuffle={state.seed} and shard={state.shard}.",
            "Give the same, or begin anew without resume.",
        )
    return state
