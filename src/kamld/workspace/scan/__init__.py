"""Scanning a folder: every file's path and state, without reading any file.

Left out, wherever they are: `.kamld` folders, hubs, what `.kamldignore` names, and folders that a
checkout still fills, or left when it was killed; where it is asked for, folders that are bound themselves.
"""

import errno
import os
import stat
import time
from array import array
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cache, partial
from itertools import chain, compress
from operator import attrgetter
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from kamld.blobs import filesystem_fault
from kamld.errors import Invalid, SystemFault
from kamld.store.trees import EXECUTABLE, FILE, FOLDER, SYMLINK
from kamld.workspace.binding import FILE as BINDING
from kamld.workspace.binding import OWN
from kamld.workspace.ignore import Ignores, read_ignores
from kamld.workspace.leftovers import is_filled
from kamld.workspace.processes import may_fork
from kamld.workspace.scan.halves import shared

HUB_MARK = "kamld-hub.json"
PATH_MAX = 4096  # bytes of a path, with the zero at its end: what the system takes
_SPECIAL = {
    stat.S_IFIFO: "a FIFO",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}
_OWN = os.fsencode(OWN)
_NO_KIND = 255  # what no version can hold, or is gone
_STAMPS = attrgetter("st_size", "st_mtime_ns", "st_ctime_ns", "st_ino")
_OPENING = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_WAITING = 8  # folders looked at together where looking means waiting for a disk
_WAITED = 4  # times the work: more is the disk's doing, not that of others who are at work
_PROBED = 0.005  # seconds of looking that tell whether it does
_WORTH_A_PROCESS = 16  # folders
Skips = Callable[[Path], bool]  # further folders to leave out


@dataclass(frozen=True, slots=True)
class Scan:
    """What is in a folder, sorted by path. Times in nanoseconds."""

    paths: list[bytes]
    kinds: NDArray[np.uint8]
    states: NDArray[np.int64]  # (n, 4): size, mtime, ctime, inode
    left: tuple[str, ...] = ()  # folders of checkouts that go on or were killed
    special: tuple[str, ...] = ()  # what no version can hold, in words
    apart: tuple[str, ...] = ()  # folders in it that are bound themselves, and were left out

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
    states: bytearray = field(default_factory=bytearray)  # four numbers a path, as in Scan
    folders: list["_Place"] = field(default_factory=list)
    special: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)
    apart: list[str] = field(default_factory=list)

    def add(self, path: bytes, kind: int, state: tuple[int, int, int, int]) -> None:
        self.paths.append(path)
        self.kinds.append(kind)
        self.states += array("q", state).tobytes()

    def take(self, other: "_Found") -> None:
        self.paths += other.paths
        self.kinds += other.kinds
        self.states += other.states
        self.special += other.special
        self.left += other.left
        self.apart += other.apart


def scan(folder: Path, *, skips: Skips | None = None, nested: bool = True, strict: bool = True) -> Scan:
    """`nested`: folders in it that are bound to something of their own are part of it. `strict`: refuse what
    no version can hold; else it is only named. Raises Invalid (special_file), SystemFault."""
    ignores = read_ignores(folder)
    all_found = _Found()
    waiting = [_Place(str(folder), b"")]
    while waiting:
        level = _looked(waiting, partial(_look, ignores=ignores, skips=skips, nested=nested))
        waiting = []
        for found in level:
            all_found.take(found)
            waiting += found.folders
    if strict:
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
        if taken > _PROBED and len(places) - len(done) >= _WORTH_A_PROCESS and may_fork():
            return done + shared(places[len(done) :], look, _Found)
    return done


def _sorted(found: _Found) -> Scan:
    order = sorted(range(len(found.paths)), key=found.paths.__getitem__)
    states = np.frombuffer(found.states, np.int64).reshape(-1, 4)
    return Scan(
        [found.paths[row] for row in order],
        np.frombuffer(found.kinds, np.uint8)[order],
        states[order],
        tuple(found.left),
        tuple(found.special),
        tuple(sorted(found.apart)),
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


def _look(place: _Place, ignores: Ignores | None, skips: Skips | None, nested: bool) -> _Found:
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
                others = []
                for entry in listing:
                    if entry.name == OWN and place.prefix and not nested and _is_bound(place.path):
                        return _Found(apart=[place.path])
                    if entry.is_dir(follow_symlinks=False):
                        empty &= _folder(found, place, entry, room, ignores, skips, nested)
                    else:
                        others.append(entry)
                _files(found, place, others, room, ignores)
                empty &= not others
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
    found: _Found, within: _Place, entry: os.DirEntry[str], room: int, ignores: Ignores | None,
    skips: Skips | None, nested: bool,
) -> bool:  # fmt: skip
    """Note a folder in the one that is looked at. Whether that one is as empty as before."""
    name = os.fsencode(entry.name)
    path, place = within.prefix + name, os.path.join(within.path, entry.name)
    if len(name) > room:
        if not (ignores and ignores(os.fsdecode(path) + "/")):
            found.special.append(_too_deep(place))
        return False
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
        if not nested and _may_be_mounted(within, state) and _is_bound(place):
            found.apart.append(place)
            return False
        found.folders.append(_Place(place, path + b"/", (state.st_dev, state.st_ino)))
    return False


def _is_bound(place: str) -> bool:
    return os.path.exists(os.path.join(place, OWN, BINDING))


def _may_be_mounted(within: _Place, state: os.stat_result) -> bool:
    """A mount's `.kamld` is in no listing."""
    return within.is_it is None or within.is_it[0] != state.st_dev


def _files(
    found: _Found, place: _Place, entries: list[os.DirEntry[str]], room: int, ignores: Ignores | None
) -> None:
    """Note what is no folder. In columns: this is where the time goes in a folder of many files."""
    names = _encoded([entry.name for entry in entries])
    if ignores or any(len(name) > room or name == _OWN for name in names):
        entries, names = _wanted(found, place, entries, names, room, ignores)
    states = _states(entries)
    kinds = [_NO_KIND if state is None else _kind(state.st_mode) for state in states]
    if _NO_KIND in kinds:
        for entry, state in zip(entries, states, strict=True):
            if state is not None and _kind(state.st_mode) == _NO_KIND:
                what = _SPECIAL.get(stat.S_IFMT(state.st_mode), "no file")
                found.special.append(f"{place.path}/{entry.name} is {what}")
        can_be = [kind != _NO_KIND for kind in kinds]
        names = list(compress(names, can_be))
        states, kinds = list(compress(states, can_be)), list(compress(kinds, can_be))
    found.paths += [place.prefix + name for name in names] if place.prefix else names
    found.kinds += bytes(kinds)
    found.states += array("q", chain.from_iterable(map(_STAMPS, states))).tobytes()


def _wanted(
    found: _Found, place: _Place, entries: list[os.DirEntry[str]], names: list[bytes], room: int,
    ignores: Ignores | None,
) -> tuple[list[os.DirEntry[str]], list[bytes]]:  # fmt: skip
    """Without what is ignored, and without names that no version can hold, which are noted."""
    wanted = []
    for entry, name in zip(entries, names, strict=True):
        if ignores and ignores(os.fsdecode(place.prefix + name)):
            continue
        if len(name) > room:
            found.special.append(_too_deep(f"{place.path}/{entry.name}"))
        elif name == _OWN:
            found.special.append(f"{place.path}/{entry.name} is a file with the name of kamld's own folder")
        else:
            wanted.append((entry, name))
    return [entry for entry, _ in wanted], [name for _, name in wanted]


def _encoded(names: list[str]) -> list[bytes]:
    """All at once: one by one takes as long as asking for their states."""
    return os.fsencode("\0".join(names)).split(b"\0") if names else []


def _states(entries: list[os.DirEntry[str]]) -> list[os.stat_result | None]:
    found: list[os.stat_result | None] = []
    for entry in entries:
        try:
            found.append(entry.stat(follow_symlinks=False))
        except FileNotFoundError:
            found.append(None)  # removed while we looked; those beside it are still there
    return found


@cache
def _kind(mode: int) -> int:
    return kind_of(mode) if stat.S_ISREG(mode) or stat.S_ISLNK(mode) else _NO_KIND


def _too_deep(place: str) -> str:
    return f"{place} is deeper than paths may be"


def _replaced(place: str) -> SystemFault:
    return SystemFault(
        "changing_folder",
        f"{place} was replaced by something else while it was looked at. Nothing was changed.",
        "Try again when whoever changes it has finished, or name it in .kamldignore.",
    )
