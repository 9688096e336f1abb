"""Reading a person's files to keep them: as they are at one moment, or not at all."""

import errno
import os
import stat
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import msgspec
from blake3 import blake3

from kamld.errors import SystemFault

WINDOW = 8 * 1024 * 1024  # bytes of a large file that are cut and hashed together
_TICK_NS = 20_000_000  # clocks of file systems tick at most this slowly (4 to 10 ms is usual)
TRIES = 3  # readings of a file that changes meanwhile
# Without waiting: what was a file when it was scanned may be a pipe by now.
_READING = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK


@dataclass(frozen=True, slots=True)
class Source:
    """A file to keep. `size` is a guess that decides only how it is scheduled; `before`, the id of what
    the file was, saves time where it is large. `named`: what people know it by, if not by its path.
    `number`: what its caller knows it by."""

    path: str
    size: int
    before: bytes | None = None
    named: bytes = b""
    number: int = 0

    @property
    def shown(self) -> bytes | str:
        return self.named or self.path


class State(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What tells a file from what it was before. Times in nanoseconds."""

    size: int
    mtime: int
    ctime: int
    inode: int
    mode: int


@dataclass(frozen=True, slots=True)
class Written:
    source: Source
    id: bytes
    state: State  # of the file as it was read


@contextmanager
def opened(path: str) -> Iterator[tuple[int, os.stat_result]]:
    """(descriptor, state); every refusal of the machine inside becomes a SystemFault."""
    file = -1
    try:
        file = os.open(path, _READING)
        state = os.fstat(file)
        if not stat.S_ISREG(state.st_mode):
            raise OSError(errno.EINVAL, "it is no longer a file")
        if (rest := _unrested(state)) > 0:
            time.sleep(rest / 1e9)
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


def read_many(paths: Iterable[str]) -> Iterator[tuple[bytes, os.stat_result]]:
    """What `read_settled` gives for each. Files of one folder, one after the other, are opened from that
    folder: the system then need not follow its path anew for each."""
    folder, place = -1, ""
    try:
        for path in paths:
            above, _, name = path.rpartition("/")
            try:
                if folder < 0 or above != place:
                    if folder >= 0:
                        os.close(folder)
                        folder = -1
                    folder = os.open(above or "/", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
                    place = above
                found = _read_once(name, folder)
            except OSError as error:
                raise _unreadable(path, error) from None
            yield found or read_settled(path)
    finally:
        if folder >= 0:
            os.close(folder)


def _read_once(name: str, folder: int) -> tuple[bytes, os.stat_result] | None:
    """A file's bytes and state; None where it changed, or is no file. Raises OSError."""
    file = os.open(name, _READING, dir_fd=folder)
    try:
        before = os.fstat(file)
        if not stat.S_ISREG(before.st_mode) or _unrested(before) > 0:
            return None
        data = os.read(file, before.st_size + 1)
        settled = len(data) == before.st_size and same(before, os.fstat(file))
        return (data, before) if settled else None
    finally:
        os.close(file)


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


def hashed(file: int, size: int) -> bytes:
    """The id of an open file's content, which is at its beginning again afterwards."""
    digest = blake3()
    for _ in windows(file, size, digest):
        pass
    os.lseek(file, 0, os.SEEK_SET)
    return digest.digest()


def state_of(found: os.stat_result) -> State:
    return State(found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino, found.st_mode)


def same(before: os.stat_result, after: os.stat_result) -> bool:
    return (before.st_size, before.st_mtime_ns, before.st_ctime_ns) == (
        after.st_size, after.st_mtime_ns, after.st_ctime_ns,
    )  # fmt: skip


def _unrested(state: os.stat_result) -> int:
    """Nanoseconds until any change of the file shows in its stamps: a write within the same tick of the
    file system's clock would not, and what is read around it would be a mixture."""
    rest = state.st_ctime_ns + _TICK_NS - time.time_ns()
    return rest if rest <= _TICK_NS else 0  # else the stamp is from the future, and says nothing


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
