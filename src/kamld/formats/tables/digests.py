"""16 bytes that stand for a value, for many values at once.

Keyed with numbers that are drawn for each Hasher, so digests are compared only with those of the
same one, and nobody can prepare values that collide. Long arrays of them are made piece by piece: in
memory up to a budget, in a temporary file beyond it.
"""

import secrets
import tempfile
from collections.abc import Sequence
from hashlib import blake2b
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

Digests = NDArray[np.uint64]  # (n, 2)
_LONG = 512  # bytes; what is longer is hashed alone


class Hasher:
    def __init__(self) -> None:
        self._key = secrets.token_bytes(32)
        drawn = np.frombuffer(secrets.token_bytes(48), np.uint64)
        self._seeds = drawn[:2]
        self._odd = drawn[2:4] | np.uint64(1)
        self._end = drawn[4:] | np.uint64(1)

    def one(self, data: bytes) -> bytes:
        return blake2b(data, digest_size=16, key=self._key).digest()

    def many(self, values: Sequence[bytes]) -> Digests:
        joined = b"".join([blake2b(value, digest_size=16, key=self._key).digest() for value in values])
        return np.frombuffer(joined, np.uint64).reshape(-1, 2)

    def numbers(self, values: NDArray[np.uint64]) -> Digests:
        """Of values of 64 bits."""
        out = np.empty((len(values), 2), np.uint64)
        for lane in (0, 1):
            out[:, lane] = self._ended(self._step(self._seeds[lane] ^ values, lane), lane)
        return out

    def spans(self, data: NDArray[np.uint8], starts: NDArray[np.int64], ends: NDArray[np.int64]) -> Digests:
        """Of data[start:end] each. `data` has at least 8 bytes more than the last end."""
        lengths = ends - starts
        short = lengths <= _LONG
        if short.all():
            return self._short(data, starts, lengths)
        out = np.empty((len(starts), 2), np.uint64)
        out[short] = self._short(data, starts[short], lengths[short])
        alone = np.flatnonzero(~short)
        out[alone] = self.many([data[starts[i] : ends[i]].tobytes() for i in alone.tolist()])
        return out

    def joined(self, parts: Sequence[Digests]) -> Digests:
        """Of several values in this order."""
        out = parts[0]
        for part in parts[1:]:
            mixed = np.empty_like(part)
            for lane in (0, 1):
                mixed[:, lane] = self._ended(self._step(out[:, lane] ^ self._seeds[1 - lane], lane), lane)
                mixed[:, lane] = self._step(mixed[:, lane] ^ part[:, lane], lane)
            out = mixed
        return out

    def _short(
        self, data: NDArray[np.uint8], starts: NDArray[np.int64], lengths: NDArray[np.int64]
    ) -> Digests:
        words: NDArray[np.uint64] = np.ndarray((len(data) - 7,), "<u8", data, strides=(1,))
        state = [self._seeds[lane] ^ lengths.astype(np.uint64) for lane in (0, 1)]
        for at in range(0, int(lengths.max(initial=0)), 8):
            active = np.flatnonzero(lengths > at)
            left = lengths[active] - at
            word = words[starts[active] + at]
            unused = np.clip(8 - left, 0, 7).astype(np.uint64) * np.uint64(8)
            word = (word << unused) >> unused
            for lane in (0, 1):
                state[lane][active] = self._step(state[lane][active] ^ word, lane)
        return np.stack([self._ended(state[lane], lane) for lane in (0, 1)], axis=1)

    def _step(self, value: NDArray[np.uint64], lane: int) -> NDArray[np.uint64]:
        value = value * self._odd[lane]
        value ^= value >> np.uint64(32)
        return value

    def _ended(self, value: NDArray[np.uint64], lane: int) -> NDArray[np.uint64]:
        value = value * self._end[lane]
        value ^= value >> np.uint64(29)
        value = value * self._odd[1 - lane]
        value ^= value >> np.uint64(32)
        return value


class Spill:
    """Append pieces, then take the whole once. What is in a file is mapped, so that the system may
    drop it from memory; the file goes with the array."""

    def __init__(self, dtype: Any, width: int, budget: int) -> None:
        self._dtype, self._width, self._budget = np.dtype(dtype), width, budget
        self._pieces: list[NDArray[Any]] = []
        self._held = 0
        self._rows = 0
        self._file: IO[bytes] | None = None

    def append(self, piece: NDArray[Any]) -> None:
        piece = np.ascontiguousarray(piece, self._dtype)
        self._rows += len(piece)
        self._pieces.append(piece)
        self._held += piece.nbytes
        if self._held > self._budget:
            self._file = self._file or tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the array
            for held in self._pieces:
                self._file.write(held.data)
            self._pieces, self._held = [], 0

    def take(self) -> NDArray[Any]:
        """(rows, width), or (rows,) where the width is 1."""
        shape = (self._rows, self._width) if self._width > 1 else (self._rows,)
        if self._file is None:
            whole = np.concatenate(self._pieces) if self._pieces else np.empty(0, self._dtype)
            self._pieces = []
            return whole.reshape(shape)
        for held in self._pieces:
            self._file.write(held.data)
        self._pieces = []
        self._file.flush()
        with self._file as file:  # the mapping keeps it
            return np.memmap(file, self._dtype, "r", shape=shape)


def filled(count: int, value: int, dtype: Any, budget: int) -> NDArray[Any]:
    """A writable array of `count`; one larger than the budget lives in a temporary file."""
    if count * np.dtype(dtype).itemsize <= budget:
        return np.full(count, value, dtype)
    with tempfile.TemporaryFile() as file:  # the mapping keeps it
        array = np.memmap(file, dtype, "w+", shape=(count,))
        array[:] = value
        return array
