"""Looking at folders: every file's path and state, without reading any file.

Left out, wherever they are: `.kamld` folders, hubs, what `.kamldignore` names, and folders that a
checkout still fills, or left when it was killed; where it is asked for, folders that are bound themselves.
"""

import errno
import os
import stat
from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache
from itertools import chain, compress
from operator import attrgetter
from pathlib import Path

from kamld.errors import SystemFault, filesystem_fault
from kamld.records.kinds import EXECUTABLE, FILE, FOLDER, SYMLINK
from kamld.scan.ignore import Ignores
from kamld.scan.marks import BINDING, HUB_MARK, INODE_MAX, OWN, PATH_MAX, is_filled

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
Skips = Callable[[Path], bool]  # further folders to leave out


@dataclass(frozen=True, slots=True)
class Place:
    """A folder that is to be looked at. `is_it`: device and inode, as seen from the one that it is in."""

    path: str
    prefix: bytes
    is_it: tuple[int, int] | None = None


@dataclass(slots=True)
class Found:
    """What is in some folders. In columns of plain numbers, which Python's collector need not visit."""

    paths: list[bytes] = field(default_factory=list)
    kinds: bytearray = field(default_factory=bytearray)
    states: bytearray = field(default_factory=bytearray)  # four numbers a path, as in Scan
    folders: list[Place] = field(default_factory=list)
    special: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)
    apart: list[str] = field(default_factory=list)

    def add(self, path: bytes, kind: int, state: tuple[int, int, int, int]) -> None:
        self.paths.append(path)
        self.kinds.append(kind)
        self.states += array("q", state).tobytes()

    def take(self, other: "Found") -> None:
        self.paths += other.paths
        self.kinds += other.kinds
        self.states += other.states
        self.special += other.special
        self.left += other.left
        self.apart += other.apart


def kind_of(mode: int) -> int:
    if stat.S_ISLNK(mode):
        return SYMLINK
    return EXECUTABLE if mode & stat.S_IXUSR else FILE


def look(place: Place, ignores: Ignores | None, skips: Skips | None, nested: bool) -> Found:
    """One folder: its files, and the folders in it that are still to be looked at."""
    found, empty, room = Found(), True, PATH_MAX - len(os.fsencode(place.path)) - 2
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
                        return Found(apart=[place.path])
                    if entry.is_dir(follow_symlinks=False):
                        empty &= _folder(found, place, entry, room, ignores, skips, nested)
                    else:
                        others.append(entry)
                _files(found, place, others, room, ignores)
                empty &= not others
            if place.prefix and empty:
                found.add(place.prefix[:-1], FOLDER, (0, mine.st_mtime_ns, 0, mine.st_ino & INODE_MAX))
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


def _opened_from_top(place: Place) -> int:
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
    found: Found, within: Place, entry: os.DirEntry[str], room: int, ignores: Ignores | None,
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
        found.folders.append(Place(place, path + b"/", (state.st_dev, state.st_ino)))
    return False


def _is_bound(place: str) -> bool:
    return os.path.exists(os.path.join(place, OWN, BINDING))


def _may_be_mounted(within: Place, state: os.stat_result) -> bool:
    """A mount's `.kamld` is in no listing."""
    return within.is_it is None or within.is_it[0] != state.st_dev


def _files(
    found: Found, place: Place, entries: list[os.DirEntry[str]], room: int, ignores: Ignores | None
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
    found.states += _stamps(states).tobytes()


def _wanted(
    found: Found, place: Place, entries: list[os.DirEntry[str]], names: list[bytes], room: int,
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


def _stamps(states: Sequence[os.stat_result | None]) -> "array[int]":
    try:
        return array("q", chain.from_iterable(map(_STAMPS, states)))
    except OverflowError:
        rows = map(_STAMPS, states)
        return array("q", chain.from_iterable((*row[:3], row[3] & INODE_MAX) for row in rows))


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
