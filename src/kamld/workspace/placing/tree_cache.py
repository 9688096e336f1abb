"""A bounded cache of checked-out trees, read-only, shared by all who need a version's files on this
machine: runs their inputs, servers their models.

    FOLDER/<tree>.lock         shared while the tree is in use, exclusive while it is made or removed
    FOLDER/<tree>/files        the tree; what is there is whole, for it was renamed into place
    FOLDER/<tree>/.kamld       its stat index: a file that was touched makes the tree be made anew
    FOLDER/<tree>.<id>…        a copy of one that was touched while in use; goes when nobody uses it

The locks are the operating system's and die with their holder. When the lock file was used last is
when the tree was.
"""

import fcntl
import os
import shutil
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from kamld import ids
from kamld.errors import filesystem_fault
from kamld.scan.listing import scan
from kamld.store import Holes, Progress, Repository, Tree
from kamld.store.trees import present
from kamld.workspace.placing.files import materialise
from kamld.workspace.stat_index import from_scan, read_index, scan_settled, write_index

_FILES = "files"
_LEFT_S = 86_400  # a tree that is still being made after so long is not


def _unheard(files: int, size: int) -> None:
    """A progress that nobody follows."""


@dataclass(slots=True)
class Lease:
    """The tree stays as it is until this is given back."""

    path: Path
    how: str  # "checked out", "reused", "copied"
    _lock: int

    def give_back(self) -> None:
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1


class TreeCache:
    def __init__(self, repository: Repository, folder: Path, *, size_max: int, threads: int) -> None:
        """`size_max`: bytes that the cache may have beyond what is in use."""
        self._repository = repository
        self._folder = folder
        self._size_max = size_max
        self._threads = threads

    def lease(self, tree: str, progress: Progress = _unheard) -> Lease:
        """The files of a tree, checked to be as they were written: size, times and inode of each.

        Where somebody uses a cached copy that was touched, it is a copy of one's own. Raises
        SystemFault, and as `progress`.
        """
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            return self._cached(tree, progress) or self._copied(tree, progress)
        except OSError as error:
            raise filesystem_fault(error, str(self._folder)) from None

    def make_room(self) -> list[str]:
        """Remove the trees used longest ago until the rest fits; those in use stay. What went."""
        for left in self._folder.glob("*.new"):  # by a process that was killed
            with suppress(OSError):
                if time.time() - left.stat().st_mtime > _LEFT_S:
                    _remove(left)
        found = []
        for lock in self._folder.glob("*.lock"):
            key = lock.name.removesuffix(".lock")
            if "." in key:
                self._remove(key)
                continue
            with suppress(OSError):
                size = int(read_index(self._folder / key).states[:, 0].sum())
                found.append((lock.stat().st_mtime_ns, size, key))
        total = sum(size for _, size, _ in found)
        gone = []
        for _, size, tree in sorted(found):
            if total <= self._size_max:
                break
            if self._remove(tree):
                total -= size
                gone.append(tree)
        return gone

    def forget(self, trees: Iterable[str]) -> list[str]:
        """Remove these, and copies of them; those that somebody uses stay, and are given."""
        keys = {lock.name.removesuffix(".lock") for lock in self._folder.glob("*.lock")}
        wanted = set(trees)
        return [key for key in sorted(keys) if key.partition(".")[0] in wanted and not self._remove(key)]

    def left_out(self, tree: str) -> int:
        """How many of a tree's files were purged, and so are not among those that are checked out."""
        if not Holes(self._repository.blobs).listed():
            return 0
        objects = self._repository.objects
        return len(present(objects, Tree(objects, bytes.fromhex(tree)).entries())[1])

    def _cached(self, tree: str, progress: Progress) -> Lease | None:
        """None: it must be made anew, but somebody uses it."""
        how = "reused"
        place = self._folder / tree
        while True:
            lock = self._lock(tree, fcntl.LOCK_SH)
            try:
                if _is_whole(place, tree):
                    os.utime(lock)
                    lease, lock = Lease(place / _FILES, how, lock), -1
                    return lease
            finally:
                if lock >= 0:
                    os.close(lock)
            try:
                lock = self._lock(tree, fcntl.LOCK_EX | (fcntl.LOCK_NB if place.exists() else 0))
            except BlockingIOError:
                return None
            try:
                if not _is_whole(place, tree):
                    _remove(place)
                    self._make(tree, place, progress)
                    how = "checked out"
            finally:
                os.close(lock)

    def _make(self, tree: str, place: Path, progress: Progress) -> None:
        temporary = self._folder / f"{ids.new_id()}.new"
        try:
            files = temporary / _FILES
            self._write(tree, files, progress)
            found = scan_settled(files)
            known = np.ones(len(found), np.bool_)
            no_ids = np.zeros((len(found), 32), np.uint8)
            write_index(temporary, from_scan(found, no_ids, known, bytes.fromhex(tree)))
            temporary.rename(place)
        except BaseException:
            _remove(temporary)
            raise

    def _copied(self, tree: str, progress: Progress) -> Lease:
        key = f"{tree}.{ids.new_id()}"
        lock = self._lock(key, fcntl.LOCK_SH)
        try:
            self._make(tree, self._folder / key, progress)
        except BaseException:
            os.close(lock)
            raise
        return Lease(self._folder / key / _FILES, "copied", lock)

    def _write(self, tree: str, files: Path, progress: Progress) -> None:
        files.mkdir(parents=True)
        objects = self._repository.objects
        entries = Tree(objects, bytes.fromhex(tree)).entries()
        materialise(objects, entries, files, threads=self._threads, read_only=True, progress=progress)
        for folder, _, _ in os.walk(files):
            os.chmod(folder, 0o555)  # noqa: S103 - as the files: to be read, not written

    def _remove(self, key: str) -> bool:
        try:
            lock = self._lock(key, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return False
        try:
            _remove(self._folder / key)
            (self._folder / f"{key}.lock").unlink(missing_ok=True)
        finally:
            os.close(lock)
        return True

    def _lock(self, key: str, how: int) -> int:
        path = self._folder / f"{key}.lock"
        while True:
            lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
            try:
                fcntl.flock(lock, how)
                if _is_file(lock, path):
                    return lock
            except BaseException:
                os.close(lock)
                raise
            os.close(lock)  # it was removed while we waited for it


def _is_file(opened: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(opened), os.stat(path))
    except FileNotFoundError:
        return False


def _is_whole(place: Path, tree: str) -> bool:
    if not place.exists():
        return False
    index = read_index(place)
    present = scan(place / _FILES)
    same = len(present) == len(index) and bool(index.known(present)[0].all())
    return same and index.tree == bytes.fromhex(tree)


def _remove(place: Path) -> None:
    if not place.exists():
        return
    for folder, _, _ in os.walk(place):
        os.chmod(folder, 0o700)
    shutil.rmtree(place)
