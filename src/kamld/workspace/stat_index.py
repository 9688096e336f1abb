"""The stat index: what the files of a folder were like when their ids were last known.

A file whose size, times and inode are as they were is not read again. One that was touched so
shortly before it was looked at that a second change could carry the same time stamp is not trusted:
its row is kept with a time that no file has. How fine the clock is, the stamps themselves tell: where
all are whole seconds, the file system (FAT, some NFS) keeps no more than that.
"""

import struct
import time
from bisect import bisect_left
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from blake3 import blake3
from numpy.typing import NDArray

from kamld.blobs import filesystem_fault
from kamld.store.trees import FOLDER
from kamld.workspace.binding import OWN, write_own
from kamld.workspace.scan import Scan, scan

_GRAIN_NS = 20_000_000  # clocks of file systems tick at most this slowly (4 to 10 ms is usual)
_COARSE_NS = 2_000_000_000  # but for those that keep whole seconds, or every second one
_FILE = "stat-index"
_HEAD = struct.Struct("<8sQ32s")  # magic, rows, tree; then columns, then paths with a zero between
_MAGIC = b"KMLDSTA2"
NO_TREE = bytes(32)


@dataclass(frozen=True, slots=True)
class StatIndex:
    """Rows sorted by path. `tree`: the rows are exactly this tree's, or NO_TREE."""

    paths: list[bytes]
    kinds: NDArray[np.uint8]
    states: NDArray[np.int64]  # as in Scan
    ids: NDArray[np.uint8]  # (n, 32)
    tree: bytes

    def encode(self) -> bytes:
        columns = (self.states.astype("<i8"), self.ids, self.kinds)
        head = _HEAD.pack(_MAGIC, len(self.paths), self.tree)
        body = b"".join([head, *(column.tobytes() for column in columns), b"\0".join(self.paths)])
        return body + blake3(body).digest()

    def known(self, scan: Scan) -> tuple[NDArray[np.bool_], NDArray[np.uint8]]:
        """(which of the scan's files are as they were, the ids of those)."""
        if self.paths == scan.paths:
            rows = np.arange(len(scan))
        else:
            place = {path: row for row, path in enumerate(self.paths)}
            rows = np.fromiter((place.get(path, -1) for path in scan.paths), np.int64, len(scan))
        found = rows >= 0
        rows = np.where(found, rows, 0)
        ids = np.zeros((len(scan), 32), np.uint8)
        if len(self.paths):
            same = (self.states[rows] == scan.states).all(axis=1) & (self.kinds[rows] == scan.kinds)
            found = found & same
            ids[found] = self.ids[rows[found]]
        return found, ids

    def was(self, path: bytes) -> bytes | None:
        """The id that the file of this path had when it was last looked at."""
        row = bisect_left(self.paths, path)
        return self.ids[row].tobytes() if self.paths[row : row + 1] == [path] else None


EMPTY = StatIndex([], np.zeros(0, np.uint8), np.zeros((0, 4), np.int64), np.zeros((0, 32), np.uint8), NO_TREE)


def from_scan(
    scan: Scan, ids: NDArray[np.uint8], known: NDArray[np.bool_], tree: bytes, taken_ns: int
) -> StatIndex:
    """The index of what is known after a scan that began at `taken_ns`."""
    states = scan.states.copy()
    late = (states[:, 1:3] >= taken_ns - _grain(scan)).any(axis=1)
    states[late, 1] = -1
    if not known.all():
        keep = np.flatnonzero(known)
        paths = [scan.paths[row] for row in keep.tolist()]
        return StatIndex(paths, scan.kinds[keep], states[keep], ids[keep], NO_TREE)
    return StatIndex(scan.paths, scan.kinds, states, ids, tree)


def scan_settled(folder: Path) -> tuple[Scan, int]:
    """A scan of files that we have just written, and when it began: late enough that no later change
    can carry a time stamp of ours. Raises SystemFault."""
    time.sleep(_GRAIN_NS / 1e9)
    taken = time.time_ns()
    found = scan(folder, nested=False, strict=False)
    rest = int(found.states[:, 1:3].max(initial=0)) + _grain(found) - taken
    if 0 <= rest <= _COARSE_NS:
        time.sleep(rest / 1e9 + 0.001)
        taken = time.time_ns()
        found = scan(folder, nested=False, strict=False)
    return found, taken


def _grain(scan: Scan) -> int:
    """How far apart two changes of a file must be for their stamps to differ, in nanoseconds."""
    stamps = scan.states[scan.kinds != FOLDER, 1:3]
    whole = (stamps % 1_000_000_000 == 0).all(axis=0)
    return _COARSE_NS if len(stamps) and whole.any() else _GRAIN_NS


def read_index(folder: Path) -> StatIndex:
    """An empty one where there is none, or where it is damaged: it only saves time."""
    path = folder / OWN / _FILE
    try:
        data = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
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
    paths = data[at + 65 * count : -32].split(b"\0") if count else []
    return StatIndex(paths, kinds, states, ids, tree)


def write_index(folder: Path, index: StatIndex) -> None:
    write_own(folder, _FILE, index.encode())
