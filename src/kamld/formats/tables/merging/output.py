"""Rows as bytes on their way out: joined from pieces of what was read, many at once."""

from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

Bytes = NDArray[np.uint8]
Numbers = NDArray[np.int64]
_LONG = 200  # bytes of a piece on average, from which on pieces are copied one by one


class Sink:
    """Rows with line ends between them. Without a file it only takes them."""

    def __init__(self, out: BinaryIO | None, newline: bytes) -> None:
        self._out, self._newline = out, newline
        self._gap: bytes | None = None  # what follows the row that was written last

    @property
    def wanted(self) -> bool:
        return self._out is not None

    def head(self, data: bytes) -> None:
        self.raw(data)
        self._gap = b"" if not data or data.endswith(b"\n") or data == b"\xef\xbb\xbf" else self._newline

    def raw(self, data: bytes) -> None:
        if self._out is not None:
            self._out.write(data)

    def begin(self, gap: bytes) -> None:
        """Rows follow, after which comes `gap`."""
        if self._gap is not None:
            self.raw(self._gap)
        self._gap = gap or self._newline

    def end(self, *, closed: bool) -> None:
        if closed and self._gap:
            self.raw(self._gap)


class Pieces:
    """Pieces of buffers, each belonging to a row: in the order of rows, and of adding within one."""

    def __init__(self) -> None:
        self._buffers: list[Bytes] = []
        self._size = 0
        self._rows: list[Numbers] = []
        self._starts: list[Numbers] = []
        self._lengths: list[Numbers] = []

    def buffer(self, data: Bytes | bytes) -> int:
        """Where it begins among all."""
        array = np.frombuffer(data, np.uint8) if isinstance(data, bytes) else data
        begins = self._size
        self._buffers.append(array)
        self._size += len(array)
        return begins

    def add(self, rows: Numbers, starts: Numbers, ends: Numbers) -> None:
        self._rows.append(rows)
        self._starts.append(starts)
        self._lengths.append(ends - starts)

    def joined(self) -> bytes:
        rows = np.concatenate(self._rows)
        order = np.argsort(rows, kind="stable")
        starts = np.concatenate(self._starts)[order]
        lengths = np.concatenate(self._lengths)[order]
        some = lengths > 0
        starts, lengths = starts[some], lengths[some]
        if not len(starts):
            return b""
        first = np.flatnonzero(np.append(True, starts[1:] != starts[:-1] + lengths[:-1]))
        starts, lengths = starts[first], np.add.reduceat(lengths, first)
        data = self._buffers[0] if len(self._buffers) == 1 else np.concatenate(self._buffers)
        return _gathered(data, starts, lengths)


def _gathered(data: Bytes, starts: Numbers, lengths: Numbers) -> bytes:
    total = int(lengths.sum())
    if total > _LONG * len(starts):
        view = memoryview(data)  # type: ignore[arg-type]
        ends = (starts + lengths).tolist()
        return b"".join([view[start:end] for start, end in zip(starts.tolist(), ends, strict=True)])
    kind = np.int32 if len(data) < 1 << 31 and total < 1 << 31 else np.int64
    shift = (starts - (np.cumsum(lengths) - lengths)).astype(kind)
    at = np.repeat(shift, lengths)
    at += np.arange(total, dtype=kind)
    return data[at].tobytes()
