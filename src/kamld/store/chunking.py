"""Cutting large files where their content says so (FastCDC), so that an edit changes few chunks.

Where the cuts fall is not part of anything's identity: a file's id is the hash of its content, and
a hub may change these parameters whenever it likes.
"""

from collections.abc import Iterator
from functools import lru_cache
from typing import Any

import msgspec

WHOLE_MAX = 64 * 1024  # bytes; a file up to this size is one object


class Chunking(msgspec.Struct, frozen=True, kw_only=True):
    """Sizes in bytes."""

    smallest: int = 16 * 1024
    average: int = 64 * 1024
    largest: int = 256 * 1024


@lru_cache
def _cutter(chunking: Chunking) -> Any:
    from pyfastcdc import FastCDC  # 10 ms that only large files are worth

    return FastCDC(avg_size=chunking.average, min_size=chunking.smallest, max_size=chunking.largest)


def cut(data: memoryview, chunking: Chunking, *, last: bool) -> Iterator[tuple[int, int]]:
    """(offset, length) of the chunks at the front of `data`, in order.

    Unless these are the `last` bytes of the file, the final chunk is left out, for more bytes could
    make it longer: the caller puts it in front of what follows. Gives none when `data` is too short.
    """
    if not last and len(data) <= chunking.largest:
        return
    for chunk in _cutter(chunking).cut_buf(data):
        end = chunk.offset + chunk.length
        if end == len(data) and not last:
            return
        yield chunk.offset, chunk.length
