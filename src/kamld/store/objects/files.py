"""Reading a person's files to keep them: as they are at one moment, or not at all."""

import errno
import mmap
import os
import stat
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import repeat
from operator import attrgetter
from pathlib import Path

import msgspec
import numpy as np
from blake3 import blake3
from numpy.typing import NDArray

from kamld.errors import SystemFault
from kamld.scan.marks import INODE_MAX

WINDOW = 8 * 1024 * 1024  # bytes of a large file that are cut and hashed together
_TICK_NS = 20_000_000  # clocks of file systems tick at most this slowly (4 to 10 ms is usual)
TRIES = 3  # readings of a file that changes meanwhile
# Without waiting: what was a file when it was scanned may be a pipe by now.
_READING = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
_FOLDER = os.O_RDONLY | os.O_CLOEXEC | os.O_DIRECTORY
_STAMPS = attrgetter("st_size", "st_mtime_ns", "st_ctime_ns", "st_ino", "st_mode")
_TYPE = stat.S_IFMT(0xFFFF)


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


class Window:
    """A part of what is to be cut, with room in front of it for what was left of the part before."""

    __slots__ = ("_end", "_room", "_start")

    def __init__(self, room: bytes | mmap.mmap, start: int, end: int) -> None:
        self._room, self._start, self._end = room, start, end

    def __len__(self) -> int:
        return self._end - self._start

    def after(self, rest: bytes) -> memoryview:
        """What was left, and this."""
        if len(rest) > self._start or isinstance(self._room, bytes):
            return memoryview(rest + self._room[self._start : self._end])
        start = self._start - len(rest)
        self._room[start : self._start] = rest
        return memoryview(self._room)[start : self._end]


NOTHING = Window(b"", 0, 0)


def windows(file: int, size: int, digest: blake3, rooms: Iterator[mmap.mmap]) -> Iterator[Window]:
    """No more than `size` bytes, lest a file that grows be read for ever. Each window is read into one of
    the `rooms`, at its end: memory that was used before costs less than new."""
    while size:
        room = next(rooms)
        start = len(room) - WINDOW
        view = memoryview(room)[start : start + min(size, WINDOW)]
        count = os.readv(file, [view])
        if not count:
            return
        digest.update(view[:count])
        size -= count
        yield Window(room, start, start + count)


def in_windows(pieces: Iterable[bytes], digest: blake3) -> Iterator[Window]:
    parts: list[bytes] = []
    size = 0
    for piece in pieces:
        parts.append(piece)
        size += len(piece)
        if size >= WINDOW:
            yield _window(parts, digest)
            parts, size = [], 0
    if parts:
        yield _window(parts, digest)


def _window(parts: list[bytes], digest: blake3) -> Window:
    window = b"".join(parts)
    digest.update(window)
    return Window(window, 0, len(window))


def with_last(windows: Iterator[Window]) -> Iterator[tuple[Window, bool]]:
    present = next(windows, NOTHING)
    for following in windows:
        yield present, False
        present = following
    yield present, True


def read_many(
    top: bytes, paths: Sequence[bytes], sizes: Sequence[int], seen: NDArray[np.int64] | None = None
) -> tuple[list[bytes], NDArray[np.int64]]:
    """The content of each file below `top`, and their states, one row each as in `State`: what
    `read_settled` gives. `sizes` as in `Source`; `seen`: their states at an earlier look, without modes,
    which spares a look before the reading. Raises SystemFault (unreadable_file, changing_file).

    Files of one folder, one after the other, are opened from that folder: the system then need not follow
    its path anew for each.
    """
    began = time.time_ns()
    data: list[bytes] = []
    before: list[os.stat_result] = []
    after: list[os.stat_result] = []
    folder, place = -1, b"/"  # which is above no file
    try:
        for path, size in zip(paths, sizes, strict=True):
            above, _, name = path.rpartition(b"/")
            try:
                if above != place:
                    if folder >= 0:
                        os.close(folder)
                        folder = -1
                    folder, place = os.open(top + above or b"/", _FOLDER), above
                file = os.open(name, _READING, dir_fd=folder)
                try:
                    if seen is None:
                        before.append(os.fstat(file))
                    data.append(os.read(file, size + 1))
                    after.append(os.fstat(file))
                finally:
                    os.close(file)
            except OSError as error:
                raise _unreadable(os.fsdecode(top + path), error) from None
    finally:
        if folder >= 0:
            os.close(folder)
    states = columns(after)
    settled = (states[:, :4] == (columns(before) if seen is None else seen)[:, :4]).all(axis=1)
    settled &= states[:, 2] + _TICK_NS < began  # else a change in the same tick would not show
    settled &= states[:, 4] & _TYPE == stat.S_IFREG
    settled &= states[:, 0] == np.fromiter(map(len, data), np.int64, len(data))
    for at in np.flatnonzero(~settled).tolist():
        data[at], state = read_settled(os.fsdecode(top + paths[at]))
        states[at] = columns([state])[0]
    return data, states


def columns(found: Sequence[os.stat_result]) -> NDArray[np.int64]:
    """States as in `State`, one row each."""
    try:
        return np.array(list(map(_STAMPS, found)), np.int64).reshape(-1, 5)
    except OverflowError:
        rows = [(*_STAMPS(one)[:3], one.st_ino & INODE_MAX, one.st_mode) for one in found]
        return np.array(rows, np.int64).reshape(-1, 5)


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
    for _ in windows(file, size, digest, repeat(mmap.mmap(-1, WINDOW))):
        pass
    os.lseek(file, 0, os.SEEK_SET)
    return digest.digest()


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
