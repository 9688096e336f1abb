"""Reading a person's files to keep them: as they are at one moment, or not at all."""

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from blake3 import blake3

from kamld.errors import SystemFault

WINDOW = 8 * 1024 * 1024  # bytes of a large file that are cut and hashed together
TRIES = 3  # readings of a file that changes meanwhile


@contextmanager
def opened(path: str) -> Iterator[tuple[int, os.stat_result]]:
    """(descriptor, state); every refusal of the machine inside becomes a SystemFault."""
    file = -1
    try:  # without waiting: what was a file when it was scanned may be a pipe by now
        file = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
        state = os.fstat(file)
        if not stat.S_ISREG(state.st_mode):
            raise OSError(errno.EINVAL, "it is no longer a file")
        yield file, state
    except OSError as error:
        raise _unreadable(path, error) from None
    finally:
        if file >= 0:
            os.close(file)


def windows(file: int, size: int, digest: blake3) -> Iterator[bytes]:
    """No more than `size` bytes, lest a file that grows be read for ever."""
    while size and (window := os.read(file, min(size, WINDOW))):
        digest.update(window)
        size -= len(window)
        yield window


def read_settled(path: str) -> tuple[bytes, os.stat_result]:
    """A file's bytes and its state, which did not change while it was read."""
    for _ in range(TRIES):
        with opened(path) as (file, before):
            data = os.read(file, before.st_size + 1)
            while len(data) < before.st_size and (more := os.read(file, WINDOW)):
                data += more
            if len(data) == before.st_size and same(before, os.fstat(file)):
                return data, before
    raise changing(path)


def same(before: os.stat_result, after: os.stat_result) -> bool:
    return (before.st_size, before.st_mtime_ns, before.st_ctime_ns) == (
        after.st_size, after.st_mtime_ns, after.st_ctime_ns,
    )  # fmt: skip


def _unreadable(path: str, error: OSError) -> SystemFault:
    return SystemFault(
        "unreadable_file",
        f"Cannot read {Path(path)}: {error.strerror}. Nothing was changed.",
        "Correct its permissions, or name it in .kamldignore.",
    )


def changing(path: str) -> SystemFault:
    return SystemFault(
        "changing_file",
        f"{Path(path)} changes while it is read. Nothing was changed.",
        "Commit again when whoever writes it has finished, or name it in .kamldignore.",
    )
