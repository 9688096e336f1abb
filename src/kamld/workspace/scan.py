"""Scanning a folder: every file's path and state, without reading any file.

Left out, wherever they are: `.kamld` folders, hubs, what `.kamldignore` names, and folders that a
checkout still fills, or left when it was killed.
"""

import os
import stat
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from kamld.blobs import filesystem_fault
from kamld.errors import Invalid
from kamld.store.trees import EXECUTABLE, FILE, FOLDER, SYMLINK
from kamld.workspace.binding import OWN
from kamld.workspace.ignore import Ignores, read_ignores
from kamld.workspace.leftovers import is_filled

HUB_MARK = "kamld-hub.json"
_SPECIAL = {
    stat.S_IFIFO: "a FIFO",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}
Row = tuple[bytes, int, int, int, int, int]  # path, kind, size, mtime, ctime, inode
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


@dataclass(slots=True)
class _Found:
    rows: list[Row] = field(default_factory=list)
    folders: list[tuple[str, bytes]] = field(default_factory=list)
    special: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)


def scan(folder: Path, *, skips: Skips | None = None, threads: int = 2) -> Scan:
    """Raises Invalid (special_file) for what no version can hold, SystemFault."""
    ignores = read_ignores(folder)
    rows: list[Row] = []
    special: list[str] = []
    left: list[str] = []
    waiting = [(str(folder), b"")]

    def look(place: tuple[str, bytes]) -> _Found:
        return _look(*place, ignores, skips)

    with ThreadPoolExecutor(threads, "scan") as pool:
        while waiting:
            found = list(pool.map(look, waiting))
            waiting = []
            for part in found:
                rows += part.rows
                special += part.special
                left += part.left
                waiting += part.folders
    if special:
        raise Invalid(
            "special_file",
            f"{special[0]}, which no version can hold"
            + (f" (and {len(special) - 1} more)." if len(special) > 1 else "."),
            "Remove it or name it in .kamldignore.",
        )
    rows.sort()
    return Scan(
        [row[0] for row in rows],
        np.array([row[1] for row in rows], np.uint8),
        np.array([row[2:] for row in rows], np.int64).reshape(-1, 4),
        tuple(left),
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


def _look(place: str, prefix: bytes, ignores: Ignores | None, skips: Skips | None) -> _Found:
    """One folder: its files, and the folders in it that are still to be looked at."""
    found = _Found()
    try:
        with os.scandir(place) as listing:
            entries = []
            for entry in listing:
                path = prefix + os.fsencode(entry.name)
                is_folder = entry.is_dir(follow_symlinks=False)
                if is_folder and is_filled(entry.name):
                    found.left.append(entry.path)
                    continue
                entries.append(entry)
                if _skipped(entry, path, is_folder, ignores, skips):
                    continue
                if is_folder:
                    found.folders.append((entry.path, path + b"/"))
                else:
                    _add(found, path, entry)
            if prefix and not entries:
                state = os.stat(place)
                found.rows.append((prefix[:-1], FOLDER, 0, state.st_mtime_ns, 0, state.st_ino))
    except FileNotFoundError:
        pass  # removed while we looked: as if it had been before
    except OSError as error:
        raise filesystem_fault(error, place) from None
    return found


def _add(found: _Found, path: bytes, entry: os.DirEntry[str]) -> None:
    try:
        state = entry.stat(follow_symlinks=False)
    except FileNotFoundError:
        return  # removed while we looked; those beside it are still there
    mode = state.st_mode
    if not may_be_named(os.fsencode(entry.name)):
        found.special.append(f"{entry.path} is a file with the name of kamld's own folder")
    elif stat.S_ISREG(mode) or stat.S_ISLNK(mode):
        kind = kind_of(mode)
        found.rows.append((path, kind, state.st_size, state.st_mtime_ns, state.st_ctime_ns, state.st_ino))
    else:
        found.special.append(f"{entry.path} is {_SPECIAL.get(stat.S_IFMT(mode), 'no file')}")


def _skipped(
    entry: os.DirEntry[str],
    path: bytes,
    is_folder: bool,
    ignores: Ignores | None,
    skips: Skips | None,
) -> bool:
    if is_folder and (entry.name == OWN or os.path.exists(os.path.join(entry.path, HUB_MARK))):
        return True
    if ignores and ignores(os.fsdecode(path) + ("/" if is_folder else "")):
        return True
    return bool(is_folder and skips and skips(Path(entry.path)))
