"""Writing a blob's bytes to a new file: all of them, durable.

A large blob that nobody is about to read is written past the system's cache of files. The bytes are
spared a copy, and memory keeps what a person reads: the files in the folder, not those of the hub too.
"""

import errno
import fcntl
import mmap
import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from kamld.blobs.interface import Buffer

_PARTS_AT_ONCE = 512  # buffers handed to one writev; the kernel takes at most 1024
_ROOM = 4 * 1024 * 1024  # bytes written past the cache at once
_ALIGNED = 4096  # bytes; disks take these past the cache in multiples
_PAST_CACHE = getattr(os, "O_DIRECT", 0)  # not all systems have it


def write_synced(path: Path, parts: Sequence[Buffer], *, cache: bool = True) -> None:
    """Raises OSError, having made the file or not."""
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
    try:
        views = [memoryview(part).cast("B") for part in parts if len(part)]
        if cache or not _set_past_cache(file, on=True):
            _write(file, views)
        else:
            _write_past_cache(file, views)
        os.fsync(file)
    finally:
        os.close(file)


def _set_past_cache(file: int, *, on: bool) -> bool:
    """Whether writing goes past the cache from here on: file systems may refuse it."""
    flags = fcntl.fcntl(file, fcntl.F_GETFL) & ~_PAST_CACHE
    with suppress(OSError):
        fcntl.fcntl(file, fcntl.F_SETFL, flags | _PAST_CACHE if on else flags)
    return bool(fcntl.fcntl(file, fcntl.F_GETFL) & _PAST_CACHE)


def _write(file: int, views: Sequence[memoryview]) -> None:
    waiting = list(views)
    while waiting:
        batch = waiting[:_PARTS_AT_ONCE]
        written = os.writev(file, batch)
        done = 0
        while done < len(batch) and written >= len(batch[done]):
            written -= len(batch[done])
            done += 1
        waiting = waiting[done:]
        if written:
            waiting[0] = waiting[0][written:]


def _write_past_cache(file: int, views: Sequence[memoryview]) -> None:
    """The disk takes them from memory that begins where a page does, and whole blocks of them; the rest
    goes the usual way."""
    room = mmap.mmap(-1, _ROOM)  # closed with the last view of it, which an error may keep for a while
    view, past = memoryview(room), True
    for filled in _fillings(room, views):
        done, whole = 0, filled - filled % _ALIGNED
        while past and done < whole:
            try:
                done += os.write(file, view[done:whole])
            except OSError as error:
                if error.errno != errno.EINVAL:
                    raise
                past = False  # not in such pieces, after all
            past = past and done % _ALIGNED == 0
        if done < filled:
            past = _set_past_cache(file, on=False)
            _write(file, [view[done:filled]])


def _fillings(room: mmap.mmap, views: Sequence[memoryview]) -> Iterator[int]:
    """Put all bytes into the room, one after the other; how many it has, each time that it is full, and
    at the end."""
    filled = 0
    for view in views:
        at = 0
        while at < len(view):
            count = min(len(room) - filled, len(view) - at)
            room[filled : filled + count] = view[at : at + count]
            filled, at = filled + count, at + count
            if filled == len(room):
                yield filled
                filled = 0
    if filled:
        yield filled
