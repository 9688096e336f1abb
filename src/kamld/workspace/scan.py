"""Scanning a folder: every file's path and state, without reading any file.

Left out, wherever they are: `.kamld` folders, hubs, what `.kamldignore` names, and folders that a
checkout still fills, or left when it was killed.
"""

import errno
import os
import stat
import time
from array import array
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from kamld.blobs import filesystem_fault
from kamld.errors import Invalid, SystemFault
from kamld.store.trees import EXECUTABLE, FILE, FOLDER, SYMLINK
from kamld.workspace.binding import OWN
from kamld.workspace.ignore import Ignores, read_ignores
from kamld.workspace.leftovers import is_filled

HUB_MARK = "kamld-hub.json"
PATH_MAX = 4096  # bytes of a path, with the zero at its end: what the system takes
_SPECIAL = {
    stat.S_IFIFO: "a FIFO",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}
_OPENING = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_WAITING = 8  # folders looked at together where looking means waiting for a disk
_WAITED = 4  # times the work: more is the disk's doing, not that of others who are at work
_PROBED = 0.005  # seconds of looking that tell whether it does
Skips = Callable[[Path], bool]  # further folders to leave out


@dataclass(frozen=True, slots=True)
class Scan:
    """What is in a folder, sorted by path. Times in nanoseconds."""

    paths: list[bytes]
    kinds: NDArray[np.uint8]
    states: NDArray[np.int64]  # (n, 4): size, mtime, ctime, inode
    left: tuple[str, ...] = ()  # folders of checkouts that go on or were killed

    def __len__(self) -> int:
        return len(self.paths)


@dataclass(frozen=True, slots=True)
class _Place:
    """A folder that is to be looked at. `is_it`: device and inode, as seen from the one that it is in."""

    path: str
    prefix: bytes
    is_it: tuple[int, int] | None = None


@dataclass(slots=True)
class _Found:
    """What is in some folders. In columns of plain numbers, which Python's collector need not visit."""

    paths: list[bytes] = field(default_factory=list)
    kinds: bytearray = field(default_factory=bytearray)
    states: "array[int]" = field(default_factory=lambda: array("q"))  # four a path, as in Scan
    folders: list["_Place"] = field(default_factory=list)
    special: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)

    def add(self, path: bytes, kind: int, state: tuple[int, int, int, int]) -> None:
        self.paths.append(path)
        self.kinds.append(kind)
        self.states.extend(state)

    def take(self, other: "_Found") -> None:
        self.paths += other.paths
        self.kinds += other.kinds
        self.states += other.states
        self.special += other.special
        self.left += other.left


def scan(folder: Path, *, skips: Skips | None = None) -> Scan:
    """Raises Invalid (special_file) for what no version can hold, SystemFault."""
    ignores = read_ignores(folder)
    all_found = _Found()
    waiting = [_Place(str(folder), b"")]
    while waiting:
        level = _looked(waiting, partial(_look, ignores=ignores, skips=skips))
        waiting = []
        for found in level:
            all_found.take(found)
            waiting += found.folders
    _refuse(all_found.special)
    return _sorted(all_found)


def _looked(places: list[_Place], look: Callable[[_Place], _Found]) -> list[_Found]:
    """Look at these folders, at several together only where that means waiting: threads that all call
    the system for each of many files hinder each other more than they help."""
    done: list[_Found] = []
    began, busy = time.perf_counter(), time.thread_time()
    for place in places:
        done.append(look(place))
        taken = time.perf_counter() - began
        if taken > _PROBED and taken > _WAITED * (time.thread_time() - busy) and len(done) < len(places):
            with ThreadPoolExecutor(_WAITING, "scan") as pool:
                return done + list(pool.map(look, places[len(done) :]))
    return done


def _sorted(found: _Found) -> Scan:
    order = sorted(range(len(found.paths)), key=found.paths.__getitem__)
    states = np.frombuffer(found.states, np.int64).reshape(-1, 4)
    return Scan(
        [found.paths[row] for row in order],
        np.frombuffer(found.kinds, np.uint8)[order],
        states[order],
        tuple(found.left),
    )


def _refuse(special: list[str]) -> None:
    if special:
        raise Invalid(
            "special_file",
            f"{special[0]}, which no version can hold"
            + (f" (and {len(special) - 1} more)." if len(special) > 1 else "."),
            "Remove it or name it in .kamldignore.",
        )


def may_be_named(name: bytes) -> bool:
    """Whether a version may have a file or folder of this name, anywhere in it. What is refused when
    a version is made is what is refused when it is checked out."""
    return name not in (b"", b".", b"..", os.fsencode(OWN)) and b"/" not in name and b"\0" not in name


def is_left_out(place: str, ignores: Ignores | None) -> bool:
    """Whether these patterns leave out the folder at this relative path, itself or one that it is in."""
    parts = place.split("/")
    return ignores is not None and any(ignores("/".join(parts[:n]) + "/") for n in range(1, len(parts) + 1))


def kind_of(mode: int) -> int:
    if stat.S_ISLNK(mode):
        return SYMLINK
    return EXECUTABLE if mode & stat.S_IXUSR else FILE


def _look(place: _Place, ignores: Ignores | None, skips: Skips | None) -> _Found:
    """One folder: its files, and the folders in it that are still to be looked at."""
    found, empty, room = _Found(), True, PATH_MAX - len(os.fsencode(place.path)) - 2
    try:
        within = os.O_NOFOLLOW if place.prefix else 0  # the top one may well be a link
        handle = os.open(place.path, _OPENING | within)
        try:
            mine = os.fstat(handle)
            if place.is_it and place.is_it != (mine.st_dev, mine.st_ino):
                os.close(handle)
                handle = -1
                handle = _opened_from_top(place)
                mine = os.fstat(handle)
            with os.scandir(handle) as listing:  # of a handle: no entry's path need be followed anew
                for entry in listing:
                    name = os.fsencode(entry.name)
                    path, is_folder = place.prefix + name, entry.is_dir(follow_symlinks=False)
                    if len(name) > room:
                        empty = False
                        if not (ignores and ignores(os.fsdecode(path) + "/" * is_folder)):
                            found.special.append(f"{place.path}/{entry.name} is deeper than paths may be")
                    elif is_folder:
                        empty &= _folder(found, place, entry, path, ignores, skips)
                    else:
                        empty = False
                        if not (ignores and ignores(os.fsdecode(path))):
                            _add(found, place.path, path, entry)
            if place.prefix and empty:
                found.add(place.prefix[:-1], FOLDER, (0, mine.st_mtime_ns, 0, mine.st_ino))
        finally:
            if handle >= 0:
                os.close(handle)
    except FileNotFoundError:
        pass  # removed while we looked: as if it had been before
    except OSError as error:
        if place.prefix and error.errno in (errno.ELOOP, errno.ENOTDIR):
            raise _replaced(place.path) from None
        if error.filename:  # of an entry, without the folder
            error.filename = os.path.join(place.path, os.fsdecode(error.filename))
        raise filesystem_fault(error, place.path) from None
    return found


def _opened_from_top(place: _Place) -> int:
    """A folder of this tree, and none that a link leads to, opened from one to the next. Raises OSError."""
    inside = place.prefix.rstrip(b"/")
    handle = os.open(os.fsencode(place.path)[: -len(inside) - 1], _OPENING)
    for name in inside.split(b"/"):
        above = handle
        try:
            handle = os.open(name, _OPENING | os.O_NOFOLLOW, dir_fd=above)
        finally:
            os.close(above)
    return handle


def _folder(
    found: _Found, within: _Place, entry: os.DirEntry[str], path: bytes, ignores: Ignores | None,
    skips: Skips | None,
) -> bool:  # fmt: skip
    """Note a folder in the one that is looked at. Whether that one is as empty as before."""
    place = os.path.join(within.path, entry.name)
    if is_filled(entry.name):
        found.left.append(place)
        return True
    if entry.name == OWN or os.path.exists(os.path.join(place, HUB_MARK)):
        return False
    if not (ignores and ignores(os.fsdecode(path) + "/")) and not (skips and skips(Path(place))):
        try:
            state = entry.stat(follow_symlinks=False)
        except FileNotFoundError:
            return True  # removed while we looked
        found.folders.append(_Place(place, path + b"/", (state.st_dev, state.st_ino)))
    return False


def _add(found: _Found, place: str, path: bytes, entry: os.DirEntry[str]) -> None:
    try:
        state = entry.stat(follow_symlinks=False)
    except FileNotFoundError:
        return  # removed while we looked; those beside it are still there
    mode = state.st_mode
    if entry.name == OWN:
        found.special.append(f"{place}/{entry.name} is a file with the name of kamld's own folder")
    elif stat.S_ISREG(mode) or stat.S_ISLNK(mode):
        stamps = (state.st_size, state.st_mtime_ns, state.st_ctime_ns, state.st_ino)
        found.add(path, kind_of(mode), stamps)
    else:
        found.special.append(f"{place}/{entry.name} is {_SPECIAL.get(stat.S_IFMT(mode), 'no file')}")


def _replaced(place: str) -> SystemFault:
    return SystemFault(
        "changing_folder",
        f"{place} was replaced by something else while it was looked at. Nothing was changed.",
        "Try again when whoever changes it has finished, or name it in .kamldignore.",
    )
