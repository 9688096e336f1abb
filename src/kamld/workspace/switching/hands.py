"""Steps in a folder: each done at most once, however often it is tried, and never over what a person
has put there since it was planned. It knows nothing of versions."""

import errno
import os
import stat
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import partial

import msgspec

from kamld.store.trees import FOLDER
from kamld.workspace.checkout import folders_of
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
    """Works in folders that are folders of this tree, never in what links lead to."""

    def __init__(self, top: bytes, staged: bytes) -> None:
        self._top = top
        self._staged = staged
        self._real: set[bytes] = {b""}
        self._modes: dict[bytes, int] = {}  # of folders that may be written for as long as we work

    def do(self, steps: Iterable[Step]) -> set[bytes]:
        """What was left, for it is not what was seen before. Raises OSError."""
        try:
            return self._do(sorted(steps, key=lambda step: step.path))
        finally:
            for folder, mode in self._modes.items():
                with suppress(OSError):
                    os.chmod(self._at(folder), mode)

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
        self._able(parent, partial(os.unlink, self._at(step.path)))
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
        staged = self._at(self._staged + b"/%d" % step.number)
        if not os.path.lexists(staged):
            return False  # it was in place, and has been removed since
        self._able(parent, partial(os.rename, staged, self._at(step.path)))
        return True

    def _prune(self, folder: bytes) -> None:
        """Remove a folder that has nothing but empty folders in it."""
        for place, _, _ in os.walk(self._at(folder), topdown=False):
            self._remove_empty(place[len(self._top) + 1 :])

    def _remove_empty(self, folder: bytes) -> None:
        with suppress(OSError):
            self._able(os.path.dirname(folder), partial(os.rmdir, self._at(folder)))

    def _make(self, folder: bytes) -> bool:
        """A folder and those above it. False: something of a person's is there."""
        if folder in self._real:
            return True
        parent = os.path.dirname(folder)
        if not self._make(parent):
            return False
        with suppress(FileExistsError):
            self._able(parent, partial(os.mkdir, self._at(folder)))
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
        try:
            return os.lstat(self._at(path))
        except (FileNotFoundError, NotADirectoryError):
            return None

    def _able(self, folder: bytes, act: Callable[[], None]) -> None:
        """Act in a folder, which may be read-only."""
        try:
            act()
        except OSError as error:
            if error.errno not in (errno.EACCES, errno.EPERM) or folder in self._modes:
                raise
            mode = stat.S_IMODE(os.stat(self._at(folder)).st_mode)
            os.chmod(self._at(folder), mode | stat.S_IRWXU)
            self._modes[folder] = mode
            act()

    def _at(self, path: bytes) -> bytes:
        return self._top + b"/" + path if path else self._top


def _state(s: os.stat_result) -> State:
    return (s.st_size, s.st_mtime_ns, s.st_ctime_ns, s.st_ino)
