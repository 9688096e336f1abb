"""The kernel's side of a mount, through libfuse: what it asks, in its own structures.

Of mfusepy this takes the structures and the loop. Its wrappers are not used: they drop what a rename is
asked to do, read directories without what is in their entries, and copy every byte once more.

A version never changes, and a layer only through this very mount, so that the kernel may keep all that it
was told: names, attributes, listings, pages.
"""

import ctypes
import errno
import itertools
import logging
import os
import stat
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from threading import Lock, get_ident
from types import SimpleNamespace
from typing import Any, Protocol

import mfusepy

from kamld.errors import KamldError
from kamld.mount.names import Node
from kamld.records.kinds import SYMLINK
from kamld.scan.marks import OWN

_OWN = b"/" + OWN.encode()
_FOR_LONG_S = 86_400.0
_THREADS = 10  # of libfuse, all of which stay
_PAGE = 4096
_PLUS, _FILL_PLUS = 1, 2  # the kernel wants attributes with a listing; it gets them
_LARGEST_WRITE = 1024 * 1024
_UTIME_NOW, _UTIME_OMIT = (1 << 30) - 1, (1 << 30) - 2
_READING = ("getattr", "readlink", "open", "read", "statfs", "opendir", "readdir", "releasedir", "destroy")
_WRITING = (
    "create", "mknod", "mkdir", "unlink", "rmdir", "symlink", "rename", "link", "chmod", "chown",
    "truncate", "write", "fsync", "fsyncdir", "utimens",
)  # fmt: skip

log = logging.getLogger("kamld.mount")


class View(Protocol):
    """What is shown. Paths are without a slash at the beginning; "" is the top."""

    def find(self, path: bytes) -> Node:
        """Raises FileNotFoundError."""

    def children(self, path: bytes) -> Iterator[tuple[bytes, Node]]: ...
    def link(self, path: bytes) -> bytes: ...
    def read_into(self, path: bytes, offset: int, target: memoryview) -> int: ...
    def room(self) -> os.statvfs_result: ...


class Changeable(View, Protocol):
    def create(self, path: bytes, mode: int) -> None: ...
    def mkdir(self, path: bytes, mode: int) -> None: ...
    def symlink(self, path: bytes, target: bytes) -> None: ...
    def unlink(self, path: bytes) -> None: ...
    def rmdir(self, path: bytes) -> None: ...
    def rename(self, old: bytes, new: bytes, flags: int) -> None: ...
    def chmod(self, path: bytes, mode: int) -> None: ...
    def utime(self, path: bytes, mtime: int) -> None: ...
    def truncate(self, path: bytes, size: int) -> None: ...
    def write(self, path: bytes, offset: int, data: memoryview) -> None: ...
    def sync(self, path: bytes) -> None: ...


class _Listing:
    """Where somebody is in a listing. What did not fit is told first the next time."""

    def __init__(self, start: Callable[[], Iterator[tuple[bytes, Node]]]) -> None:
        self._start = start
        self._at = 0
        self._rest: Iterator[tuple[bytes, Node]] = iter(())
        self._again: tuple[bytes, Node] | None = None

    def from_offset(self, offset: int) -> Iterator[tuple[int, bytes, Node]]:
        if offset == 0 or offset != self._at:
            self._rest, self._at, self._again = self._start(), 0, None
            for _ in itertools.islice(self._rest, offset):
                self._at += 1
        while (entry := self._again or next(self._rest, None)) is not None:
            self._again = entry
            yield self._at + 1, *entry
            self._again, self._at = None, self._at + 1


class Kernel(mfusepy.FUSE):  # type: ignore[misc]  # it ships no types
    """Making one mounts, and returns when it is unmounted."""

    def __init__(
        self, view: View, changes: Changeable | None, folder: str, name: str, own: Path,
        ready: Callable[["Kernel"], None],
    ) -> None:  # fmt: skip
        """`own` is what `.kamld` leads to, which no listing shows. `ready` is called when the mount is
        there. Raises RuntimeError where it could not be made."""
        self._view = view
        self._own = Node(SYMLINK, 0o777, 0, 2, len(os.fsencode(own)), target=os.fsencode(own))
        self._changes = changes
        self._ready = ready
        self._owner = os.getuid(), os.getgid()
        self._listings: dict[int, _Listing] = {}
        self._numbers = itertools.count(1)
        self._lock = Lock()
        self._folder = folder
        self._to_drop = frozenset[bytes]()
        self._threads: set[int] = set()  # of libfuse's, whose Python state stays
        operations = SimpleNamespace(use_ns=True)
        for operation in _READING + (_WRITING if changes else ()):
            setattr(operations, operation, True)
        super().__init__(
            operations, folder, foreground=True, fsname=name, subtype="kamld", ro=not changes,
            default_permissions=True, max_idle_threads=_THREADS, max_threads=_THREADS,
        )  # fmt: skip

    def init_fuse_3(self, connection: Any, config: Any) -> None:
        settings = config.contents
        settings.use_ino = 1
        settings.kernel_cache = 1
        settings.entry_timeout = settings.attr_timeout = settings.negative_timeout = _FOR_LONG_S
        connection.contents.max_write = max(connection.contents.max_write, _LARGEST_WRITE)
        connection.contents.max_readahead = _LARGEST_WRITE
        self._fuse = ctypes.c_void_p(mfusepy._libfuse.fuse_get_context().contents.fuse)
        self._ready(self)

    def destroy(self, _private: Any) -> None:
        """Nothing is left to do: all is on the disk."""

    def drop(self, paths: Iterable[bytes]) -> None:
        """Have the system forget what it keeps of these files' content. By asking a question, for libfuse
        goes away at any moment, but not within an answer. Not from within one. Raises OSError."""
        self._to_drop = self._to_drop.union(paths)
        if self._to_drop:
            os.statvfs(self._folder)
        if self._to_drop:
            raise OSError(errno.ENOTCONN, os.strerror(errno.ENOTCONN), self._folder)

    def _drop(self) -> None:
        paths, self._to_drop = self._to_drop, frozenset()
        for path in paths:
            failed = mfusepy._libfuse.fuse_invalidate_path(self._fuse, b"/" + path)
            if failed not in (0, -errno.ENOENT):  # the latter: it knows nothing of it
                log.error("what the system keeps of %r could not be dropped: %s", path, os.strerror(-failed))

    # Looking

    def getattr_fuse_3(self, path: bytes, buffer: Any, _file: Any) -> int:
        node = self._own if path == _OWN else self._view.find(path[1:])
        self._fill(buffer.contents, node)
        return 0

    def readlink(self, path: bytes, buffer: Any, size: int) -> int:
        found = self._own.target if path == _OWN else self._view.link(path[1:])
        target = found[: size - 1] + b"\0"
        ctypes.memmove(buffer, target, len(target))
        return 0

    def read(self, path: bytes, buffer: Any, size: int, offset: int, _file: Any) -> int:
        return self._view.read_into(path[1:], offset, _memory(buffer, size))

    def opendir(self, path: bytes, file: Any) -> int:
        number = next(self._numbers)
        self._listings[number] = _Listing(lambda: self._view.children(path[1:]))
        file.contents.fh = number
        file.contents.cache_readdir = file.contents.keep_cache = 1
        return 0

    def releasedir(self, _path: bytes, file: Any) -> int:
        self._listings.pop(file.contents.fh, None)
        return 0

    def readdir_fuse_3(self, _path: bytes, buffer: Any, fill: Any, offset: int, file: Any, flags: int) -> int:
        state, plus = mfusepy.c_stat(), _FILL_PLUS if flags & _PLUS else 0
        with self._lock:
            for at, name, node in self._listings[file.contents.fh].from_offset(offset):
                self._fill(state, node)
                if fill(buffer, name, state, at, plus):
                    break
        return 0

    def statfs(self, _path: bytes, buffer: Any) -> int:
        self._drop()
        found, into = self._view.room(), buffer.contents
        for field in ("bsize", "frsize", "blocks", "bfree", "bavail", "files", "ffree", "favail", "namemax"):
            setattr(into, f"f_{field}", getattr(found, f"f_{field}"))
        return 0

    # Changing

    def open(self, path: bytes, file: Any) -> int:
        if self._changes is None:
            return -errno.ENOSYS  # the kernel then opens and closes all files without asking
        if file.contents.flags & os.O_TRUNC:
            self._layer.truncate(path[1:], 0)
        return 0

    def create(self, path: bytes, mode: int, _file: Any) -> int:
        """The kernel knows what is there, and asks for this only where nothing is."""
        self._layer.create(path[1:], mode)
        return 0

    def mknod(self, path: bytes, mode: int, _device: int) -> int:
        if not stat.S_ISREG(mode):
            return -errno.EPERM  # no version can hold it
        self._layer.create(path[1:], mode)
        return 0

    def mkdir(self, path: bytes, mode: int) -> int:
        self._layer.mkdir(path[1:], mode)
        return 0

    def unlink(self, path: bytes) -> int:
        self._layer.unlink(path[1:])
        return 0

    def rmdir(self, path: bytes) -> int:
        self._layer.rmdir(path[1:])
        return 0

    def symlink(self, target: bytes, path: bytes) -> int:
        self._layer.symlink(path[1:], target)
        return 0

    def rename_fuse_3(self, old: bytes, new: bytes, flags: int) -> int:
        self._layer.rename(old[1:], new[1:], flags)
        return 0

    def link(self, _old: bytes, _new: bytes) -> int:
        return -errno.EPERM  # as file systems say that have no hard links; no version has any

    def chmod_fuse_3(self, path: bytes, mode: int, _file: Any) -> int:
        self._layer.chmod(path[1:], mode)
        return 0

    def chown_fuse_3(self, path: bytes, _user: int, _group: int, _file: Any) -> int:
        self._view.find(path[1:])  # no version has owners: all belongs to who mounted it
        return 0

    def truncate_fuse_3(self, path: bytes, size: int, _file: Any) -> int:
        self._layer.truncate(path[1:], size)
        return 0

    def write(self, path: bytes, buffer: Any, size: int, offset: int, _file: Any) -> int:
        self._layer.write(path[1:], offset, _memory(buffer, size))
        return size

    def fsync(self, path: bytes, _data_only: int, _file: Any) -> int:
        self._layer.sync(path[1:])
        return 0

    fsyncdir = fsync

    def utimens_fuse_3(self, path: bytes, times: Any, _file: Any) -> int:
        mtime = time.time_ns()
        if times:
            wanted = times.contents.modtime
            if wanted.tv_nsec == _UTIME_OMIT:
                return 0
            if wanted.tv_nsec != _UTIME_NOW:
                mtime = wanted.tv_sec * 1_000_000_000 + wanted.tv_nsec
        self._layer.utime(path[1:], mtime)
        return 0

    # Ways

    @property
    def _layer(self) -> Changeable:
        if self._changes is None:
            raise OSError(errno.EROFS, "")
        return self._changes

    def _fill(self, state: Any, node: Node) -> None:
        state.st_mode = node.st_mode
        state.st_ino = node.inode
        state.st_nlink = 1  # also of folders: programs take 1 for "unknown"
        state.st_uid, state.st_gid = self._owner
        state.st_size = node.size
        state.st_blksize = _PAGE
        state.st_blocks = (node.size + 511) // 512
        seconds, nanoseconds = divmod(node.mtime, 1_000_000_000)
        for moment in (state.st_atimespec, state.st_mtimespec, state.st_ctimespec):
            moment.tv_sec, moment.tv_nsec = seconds, nanoseconds

    def _wrapper(self, operation: Callable[..., int], *arguments: Any) -> int:
        """Nothing may leave here but a number: libfuse knows no exceptions."""
        if get_ident() not in self._threads:  # else its state would be made anew for each answer
            self._threads.add(get_ident())
            ctypes.pythonapi.PyGILState_Ensure()
        try:
            return operation(*arguments) or 0
        except OSError as error:
            if error.errno:
                return -error.errno
            log.exception("%s failed", operation.__name__)
        except KamldError as error:
            log.error("%s of %r: %s (%s)", operation.__name__, arguments[0], error, error.code)
        except Exception:
            log.exception("%s of %r failed", operation.__name__, arguments[0])
        return -errno.EIO


def _memory(buffer: Any, size: int) -> memoryview:
    return memoryview((ctypes.c_char * size).from_address(ctypes.addressof(buffer.contents))).cast("B")
