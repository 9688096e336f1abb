"""The stat index: what the files of a folder were like when their ids were last known.

A file whose size, times and inode are as they were is not read again. One that was touched so
shortly before it was looked at that a second change could carry the same time stamp is not trusted:
its row is kept with a time that no file has. How fine the clock is, the stamps themselves tell: where
all are whole seconds, the file system (FAT, some NFS) keeps no more than that.
"""

import mmap
import struct
import time
from array import array
from bisect import bisect_left
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import IO

import numpy as np
from blake3 import blake3
from numpy.typing import NDArray

from kamld.errors import filesystem_fault
from kamld.records.kinds import FOLDER
from kamld.scan.listing import Scan, scan
from kamld.scan.marks import OWN, STAT_INDEX
from kamld.workspace.binding import write_own

_GRAIN_NS = 20_000_000  # clocks of file systems tick at most this slowly (4 to 10 ms is usual)
_COARSE_NS = 2_000_000_000  # but for those that keep whole seconds, or every second one
_HEAD = struct.Struct("<8sQ32s")  # magic, rows, tree; then columns, then paths with a zero between
_MAGIC = b"KMLDSTA2"
NO_TREE = bytes(32)


@dataclass(frozen=True)
class StatIndex:
    """Rows sorted by path. `joined`: their paths with a zero between. `tree`: the rows are exactly this
    tree's, or NO_TREE."""

    joined: bytes | memoryview
    kinds: NDArray[np.uint8]
    states: NDArray[np.int64]  # as in Scan
    ids: NDArray[np.uint8]  # (n, 32)
    tree: bytes

    def __len__(self) -> int:
        return len(self.kinds)

    @cached_property
    def paths(self) -> list[bytes]:
        return bytes(self.joined).split(b"\0") if len(self) else []

    def encode(self) -> list[bytes | memoryview]:
        """In parts: all of it once more would be too much for a large folder."""
        columns = (self.states.astype("<i8", copy=False), self.ids, self.kinds)
        flat = [np.ascontiguousarray(column).data.cast("B") for column in columns if column.size]
        head = _HEAD.pack(_MAGIC, len(self), self.tree)
        parts: list[bytes | memoryview] = [head, *flat, self.joined]
        digest = blake3()
        for part in parts:
            digest.update(part)
        return [*parts, digest.digest()]

    def known(self, scan: Scan) -> tuple[NDArray[np.bool_], NDArray[np.uint8]]:
        """(which of the scan's files are as they were, the ids of those)."""
        same = len(self) == len(scan) and self.joined == b"\0".join(scan.paths)
        rows = np.arange(len(scan)) if same else rows_of(scan.paths, self.paths)
        return unchanged(scan, rows, self.kinds, self.states, self.ids)

    def was(self, path: bytes) -> bytes | None:
        """The id that the file of this path had when it was last looked at."""
        row = bisect_left(self.paths, path)
        return self.ids[row].tobytes() if self.paths[row : row + 1] == [path] else None


def rows_of(paths: list[bytes], among: list[bytes]) -> NDArray[np.int64]:
    """Where each of these is among the others, -1 for nowhere; both are sorted."""
    if paths == among:
        return np.arange(len(paths))
    rows, at, end = array("q"), 0, len(among)
    for path in paths:
        while at < end and among[at] < path:
            at += 1
        rows.append(at if at < end and among[at] == path else -1)
    return np.frombuffer(rows, np.int64)


def unchanged(
    scan: Scan, rows: NDArray[np.int64], kinds: NDArray[np.uint8], states: NDArray[np.int64],
    ids: NDArray[np.uint8],
) -> tuple[NDArray[np.bool_], NDArray[np.uint8]]:  # fmt: skip
    """As `StatIndex.known`, of files that were in these rows of a table, -1 for nowhere."""
    found, now = rows >= 0, np.zeros((len(scan), 32), np.uint8)
    if len(kinds):
        rows = np.where(found, rows, 0)
        found &= (states[rows] == scan.states).all(axis=1) & (kinds[rows] == scan.kinds)
        now[found] = ids[rows[found]]
    return found, now


EMPTY = StatIndex(
    b"", np.zeros(0, np.uint8), np.zeros((0, 4), np.int64), np.zeros((0, 32), np.uint8), NO_TREE
)


def from_scan(scan: Scan, ids: NDArray[np.uint8], known: NDArray[np.bool_], tree: bytes) -> StatIndex:
    """The index of what is known after a scan."""
    states = scan.states.copy()
    late = (states[:, 1:3] >= scan.began - _grain(scan)).any(axis=1)
    states[late, 1] = -1
    if not known.all():
        keep = np.flatnonzero(known)
        paths = [scan.paths[row] for row in keep.tolist()]
        return StatIndex(b"\0".join(paths), scan.kinds[keep], states[keep], ids[keep], NO_TREE)
    return StatIndex(b"\0".join(scan.paths), scan.kinds, states, ids, tree)


def scan_settled(folder: Path) -> Scan:
    """A scan of files that we have just written, begun so late that no later change can carry a time
    stamp of ours. Raises SystemFault."""
    time.sleep(_GRAIN_NS / 1e9)
    found = scan(folder, nested=False, strict=False)
    rest = int(found.states[:, 1:3].max(initial=0)) + _grain(found) - found.began
    if 0 <= rest <= _COARSE_NS:
        time.sleep(rest / 1e9 + 0.001)
        found = scan(folder, nested=False, strict=False)
    return found


def _grain(scan: Scan) -> int:
    """How far apart two changes of a file must be for their stamps to differ, in nanoseconds."""
    stamps = scan.states[scan.kinds != FOLDER, 1:3]
    whole = (stamps % 1_000_000_000 == 0).all(axis=0)
    return _COARSE_NS if len(stamps) and whole.any() else _GRAIN_NS


def read_index(folder: Path) -> StatIndex:
    """An empty one where there is none, or where it is damaged: it only saves time."""
    path = folder / OWN / STAT_INDEX
    try:
        with open(path, "rb") as file:
            data = _mapped(file)
    except (FileNotFoundError, NotADirectoryError, ValueError):  # ValueError: it is empty
        return EMPTY
    except OSError as error:
        raise filesystem_fault(error, str(path)) from None
    if len(data) < _HEAD.size + 32 or blake3(data[:-32]).digest() != data[-32:]:
        return EMPTY
    magic, count, tree = _HEAD.unpack_from(data)
    if magic != _MAGIC:
        return EMPTY
    at = _HEAD.size
    states = np.frombuffer(data, "<i8", 4 * count, at).reshape(count, 4)
    ids = np.frombuffer(data, np.uint8, 32 * count, at + 32 * count).reshape(count, 32)
    kinds = np.frombuffer(data, np.uint8, count, at + 64 * count)
    return StatIndex(data[at + 65 * count : -32], kinds, states, ids, tree)


def _mapped(file: IO[bytes]) -> memoryview:
    """Not all file systems can map a file. Raises ValueError for an empty one."""
    try:
        return memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
    except OSError:
        return memoryview(file.read())


def write_index(folder: Path, index: StatIndex) -> None:
    write_own(folder, STAT_INDEX, *index.encode())
