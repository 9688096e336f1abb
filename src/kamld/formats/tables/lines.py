"""Files whose rows are lines, read in blocks: where each row begins and ends.

A row's line end, and blank lines after it, belong to nobody: they lie between its end and the next
row's beginning.
"""

from codecs import getincrementaldecoder
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from kamld.errors import Invalid

BLOCK = 4 * 1024 * 1024
_ROW_MAX = 64 * 1024 * 1024
_PAD = 8
_LF, _CR = 10, 13


@dataclass(frozen=True, slots=True)
class Block:
    """Whole rows. `data` is their bytes and 8 more; `starts` and `ends` are positions in it."""

    offset: int  # of data[0] in the file
    data: NDArray[np.uint8]
    starts: NDArray[np.int64]
    ends: NDArray[np.int64]
    outside: NDArray[np.bool_] | None  # which bytes stand outside of quotes, where there are any


def read_blocks(file: BinaryIO, offset: int, quote: int | None, size: int = BLOCK) -> Iterator[Block]:
    """All rows from `offset` on. Raises Invalid (damaged_table) for a row without an end."""
    file.seek(offset)
    rest = b""
    while True:
        more = min(max(size, len(rest)), _ROW_MAX + size - len(rest))  # a long row is not gone through often
        piece = file.read(max(more, 1))
        data = rest + piece
        if not data:
            return
        if len(data) > _ROW_MAX + size:
            raise Invalid("damaged_table", "A row is longer than 64 MB; a quote may be missing its partner.")
        block, used = _cut(data, offset, quote, last=not piece)
        if block is not None:
            yield block
        offset += used
        rest = data[used:]
        if not piece:
            return


def encoding(file: BinaryIO) -> str:
    """ "UTF-8", "" where ASCII is all there is, "another" where it is something else."""
    file.seek(0)
    decoder, found = getincrementaldecoder("utf-8")(), ""
    try:
        while piece := file.read(BLOCK):
            if found or not piece.isascii():
                found = "UTF-8"
                decoder.decode(piece)
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return "another"
    return found


def _cut(data: bytes, offset: int, quote: int | None, *, last: bool) -> tuple[Block | None, int]:
    array = np.frombuffer(data + bytes(_PAD), np.uint8)
    content = array[: len(data)]
    outside = None
    breaks = content == _LF
    if quote is not None and (quoted := content == quote).any():
        outside = (np.cumsum(quoted, dtype=np.uint8) & 1) == 0
        breaks &= outside
    ends = np.flatnonzero(breaks)
    used = int(ends[-1]) + 1 if len(ends) else 0
    if last and used < len(data):
        ends, used = np.append(ends, len(data)), len(data)
    if not used:
        return None, 0
    starts = np.empty_like(ends)
    starts[0], starts[1:] = 0, ends[:-1] + 1
    before = array[np.maximum(ends - 1, 0)]
    ends = np.where((before == _CR) & (ends > starts), ends - 1, ends)
    some = ends > starts
    if not some.any():
        return None, used
    return Block(offset, array, starts[some], ends[some], outside), used
