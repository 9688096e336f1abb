"""Steps in a folder: each done at most once, however often it is tried, and never over what a person
has put there since it was planned. It knows nothing of versions."""

import errno
import os
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from typing import Protocol

import msgspec

from kamld.records.kinds import FOLDER
from kamld.workspace.placing.handles import Handles
from kamld.workspace.placing.paths import folders_of
from kamld.workspace.switching.plan import A_FOLDER, State


class Step(msgspec.Struct, frozen=True, array_like=True):
    """`old`: what must still be there. `kind` -1: it goes; FOLDER: it becomes one; else it becomes the
    staged file of this number, which has this size, time and inode."""

    path: bytes
    old: State | None
    kind: int
    number: int
    size: int
    mtime: int
    inode: int


class Hands:
    """Works in folders that are folders of this tree, never in what links lead to: each is opened from the
    one above it for every step, so that it does not matter what comes in its place meanwhile."""

    def __init__(self, top: bytes, staged: bytes) -> None:
        self._top = top
        self._staged = staged
        self._handle = -1  # of the top, while at work
        self._real: set[bytes] = {b""}
        self._modes: dict[bytes, int] = {}  # of folders that may be written for as long as we work

    def do(self, steps: Iterable[Step]) -> set[bytes]:
        """What was left, for it is not what was seen before. Raises OSError."""
        self._handle = os.open(self._top, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            return self._do(sorted(steps, key=lambda step: step.path))
        finally:
            for folder, mode in self._modes.items():
                with suppress(OSError):
                    self._change_mode(folder, mode)
            os.close(self._handle)

    def _do(self, steps: list[Step]) -> set[bytes]:
        kept: set[bytes] = set()
        gone: list[bytes] = []
        for step in reversed(steps):  # first what goes: a folder of old files may have to become a file
            if step.old is not None and (step.kind in (-1, FOLDER) or step.old == A_FOLDER):
                (gone.append if self._remove(step) else kept.add)(step.path)
        for folder in sorted(folders_of(gone), key=len, reverse=True):
            if self._is_real(folder):
                self._remove_empty(folder)
        self._real = {b""}
        for step in steps:
            if step.kind >= 0 and step.path not in kept and not self._put(step):
                kept.add(step.path)
        return kept

    def _remove(self, step: Step) -> bool:
        parent = os.path.dirname(step.path)
        there = self._look(step.path) if self._is_real(parent) else None
        if there is None or (step.kind >= 0 and there.st_ino == step.inode):
            return True
        if stat.S_ISDIR(there.st_mode):
            if step.old == A_FOLDER:
                self._remove_empty(step.path)
            return True
        if _state(there) != step.old:
            return False
        self._able(step.path, os.unlink)
        return True

    def _put(self, step: Step) -> bool:
        parent = os.path.dirname(step.path)
        if step.kind == FOLDER:
            return self._make(step.path)
        if not self._make(parent):
            return False
        there = self._look(step.path)
        if there and there.st_ino == step.inode:
            return True
        if there and stat.S_ISDIR(there.st_mode):
            self._prune(step.path)
            there = self._look(step.path)
        if there and _state(there) != step.old:
            return False
        staged = self._staged + b"/%d" % step.number
        if self._look(staged) is None:
            return False  # it was in place, and has been removed since
        with self._within(staged) as (source, name):
            self._able(step.path, partial(_rename_from, source, name))
        return True

    def _prune(self, folder: bytes) -> None:
        """Remove a folder that has nothing but empty folders in it."""
        for place, _, _ in os.walk(self._at(folder), topdown=False):
            self._remove_empty(place[len(self._top) + 1 :])

    def _remove_empty(self, folder: bytes) -> None:
        with suppress(OSError):
            self._able(folder, os.rmdir)

    def _make(self, folder: bytes) -> bool:
        """A folder and those above it. False: something of a person's is there."""
        if folder in self._real:
            return True
        parent = os.path.dirname(folder)
        if not self._make(parent):
            return False
        with suppress(FileExistsError):
            self._able(folder, os.mkdir)
        return self._is_real(folder)

    def _is_real(self, folder: bytes) -> bool:
        if folder in self._real:
            return True
        there = self._look(folder) if self._is_real(os.path.dirname(folder)) else None
        if there is None or not stat.S_ISDIR(there.st_mode):
            return False
        self._real.add(folder)
        return True

    def _look(self, path: bytes) -> os.stat_result | None:
        if not path:
            return os.fstat(self._handle)
        try:
            with self._within(path) as (folder, name):
                return os.stat(name, dir_fd=folder, follow_symlinks=False)
        except OSError as error:
            if error.errno not in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP):
                raise
            return None

    def _able(self, path: bytes, act: "Act") -> None:
        """Act on what is in a folder, which may be read-only."""
        above = os.path.dirname(path)
        with self._within(path) as (folder, name):
            try:
                act(name, dir_fd=folder)
            except OSError as error:
                if error.errno not in (errno.EACCES, errno.EPERM) or above in self._modes:
                    raise
                mode = stat.S_IMODE(os.fstat(folder).st_mode)
                self._change_mode(above, mode | stat.S_IRWXU)
                self._modes[above] = mode
                act(name, dir_fd=folder)

    def _change_mode(self, folder: bytes, mode: int) -> None:
        with Handles(self._handle) as handles:
            os.fchmod(handles.of(folder), mode)

    @contextmanager
    def _within(self, path: bytes) -> Iterator[tuple[int, bytes]]:
        """The open folder that a path is in, and its name there."""
        above, _, name = path.rpartition(b"/")
        with Handles(self._handle) as handles:
            yield handles.of(above), name

    def _at(self, path: bytes) -> bytes:
        return self._top + b"/" + path if path else self._top


class Act(Protocol):
    def __call__(self, name: bytes, /, *, dir_fd: int) -> object: ...


def _rename_from(source: int, staged: bytes, name: bytes, /, *, dir_fd: int) -> None:
    os.rename(staged, name, src_dir_fd=source, dst_dir_fd=dir_fd)


def _state(s: os.stat_result) -> State:
    return (s.st_size, s.st_mtime_ns, s.st_ctime_ns, s.st_ino)
