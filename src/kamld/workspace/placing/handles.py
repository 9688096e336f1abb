"""Writing below a folder and nowhere else: every folder on the way is opened from the one above it, so
that a link which somebody puts in its place meanwhile is refused, not followed."""

import os
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import TracebackType
from typing import Self

_KEPT = 64  # folders that stay open
_OPENING = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_HOLE = 16 * 1024  # bytes of zeros that are not written
_ZEROS = bytes(256 * 1024)  # the longest piece that a large file is cut into


class Handles:
    """Open folders below a top one. For one thread; use as a context. All raise OSError."""

    def __init__(self, top: int) -> None:
        """`top` is an open folder, which stays open."""
        self._top = top
        self._open: OrderedDict[bytes, int] = OrderedDict()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: TracebackType | None) -> None:
        for handle in self._open.values():
            os.close(handle)
        self._open.clear()

    def of(self, folder: bytes) -> int:
        """The folder of this path, which is one, and no link; good until the next is asked for."""
        if not folder:
            return self._top
        if folder in self._open:
            self._open.move_to_end(folder)
            return self._open[folder]
        cut = folder.rfind(b"/")
        while cut > 0 and folder[:cut] not in self._open:
            cut = folder.rfind(b"/", 0, cut)
        handle = self._open[folder[:cut]] if cut > 0 else self._top
        while cut < len(folder):
            start = cut + 1 if cut > 0 else 0
            end = folder.find(b"/", start)
            cut = len(folder) if end < 0 else end
            handle = os.open(folder[start:cut], _OPENING, dir_fd=handle)
            self._open[folder[:cut]] = handle
            if len(self._open) > _KEPT:
                os.close(self._open.popitem(last=False)[1])
        return handle

    def make(self, folder: bytes) -> None:
        above, _, name = folder.rpartition(b"/")
        with _named(folder):
            os.mkdir(name, dir_fd=self.of(above))

    def link(self, path: bytes, target: bytes) -> None:
        above, _, name = path.rpartition(b"/")
        with _named(path):
            os.symlink(target, name, dir_fd=self.of(above))

    def remove(self, path: bytes) -> None:
        """A file, if it is there."""
        above, _, name = path.rpartition(b"/")
        with _named(path), suppress(FileNotFoundError):
            os.unlink(name, dir_fd=self.of(above))

    def write(self, path: bytes, pieces: Iterator[bytes | memoryview], mode: int) -> int:
        """A new file; its bytes."""
        above, _, name = path.rpartition(b"/")
        with _named(path):
            return write_file(name, pieces, mode, self.of(above))


@contextmanager
def _named(path: bytes) -> Iterator[None]:
    """The machine's refusals name the whole path, not only its last part."""
    try:
        yield
    except OSError as error:
        error.filename = os.fsdecode(path)
        raise


def write_file(
    path: bytes, pieces: Iterator[bytes | memoryview], mode: int, folder: int | None = None
) -> int:
    """A new file; long runs of zeros become holes. Its bytes. Raises OSError."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    file = os.open(path, flags, mode, dir_fd=folder)
    written, hole = 0, False
    try:
        for piece in pieces:
            hole = isinstance(piece, bytes) and len(piece) >= _HOLE and _ZEROS.startswith(piece)
            if hole:
                os.lseek(file, len(piece), os.SEEK_CUR)
                written += len(piece)
                continue
            done = os.write(file, piece)
            written += done
            rest = memoryview(piece)[done:]
            while len(rest):
                done = os.write(file, rest)
                written += done
                rest = rest[done:]
        if hole:
            os.ftruncate(file, written)
    finally:
        os.close(file)
    return written
