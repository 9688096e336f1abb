"""A folder's files put into a hub: what both a commit of a folder and a run's code snapshot do."""

import os
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from kamld.blobs import filesystem_fault
from kamld.store import Entries, Progress, Source, Writer
from kamld.store.trees import EMPTY_ID, FOLDER, SYMLINK
from kamld.workspace.scan import Scan, Skips, kind_of, scan
from kamld.workspace.stat_index import EMPTY, StatIndex, from_scan


@dataclass(frozen=True, slots=True)
class Snapshot:
    entries: Entries
    scan: Scan  # with the state that each file had when it was read
    taken_ns: int

    def index(self, tree: bytes) -> StatIndex:
        known = np.ones(len(self.scan), np.bool_)
        return from_scan(self.scan, self.entries.ids, known, tree, self.taken_ns)


def snapshot(
    folder: Path, writer: Writer, *,
    index: StatIndex = EMPTY, skips: Skips | None = None, progress: Progress | None = None,
) -> Snapshot:  # fmt: skip
    """Put the folder's files into the hub, reading only those that `index` does not know.

    Raises SystemFault (unreadable_file, changing_file, no_space …), Invalid (special_file).
    """
    taken = time.time_ns()
    found = scan(folder, skips=skips)
    known, ids = index.known(found)
    states, kinds = found.states.copy(), found.kinds.copy()
    unread = np.flatnonzero(~known).tolist()
    top = os.fsencode(folder) + b"/"
    for row in unread:
        if kinds[row] == FOLDER:
            ids[row] = np.frombuffer(EMPTY_ID, np.uint8)
        elif kinds[row] == SYMLINK:
            ids[row] = np.frombuffer(writer.put(_target(top + found.paths[row])), np.uint8)
    _put_files(
        writer,
        top,
        found,
        [r for r in unread if kinds[r] not in (FOLDER, SYMLINK)],
        ids,
        states,
        kinds,
        progress,
    )
    if any(kinds == FOLDER):
        writer.put(b"")
    entries = Entries(found.paths, kinds, states[:, 0].astype(np.uint64), ids)
    return Snapshot(entries, Scan(found.paths, kinds, states, found.left), taken)


def _put_files(
    writer: Writer, top: bytes, found: Scan, rows: list[int], ids: NDArray[np.uint8],
    states: NDArray[np.int64], kinds: NDArray[np.uint8], progress: Progress | None,
) -> None:  # fmt: skip
    """Fill in `ids`, `states` and `kinds` of these rows with what was read."""
    paths = {os.fsdecode(top + found.paths[row]): row for row in rows}
    sizes = found.states[:, 0]
    for written in writer.put_files((Source(p, int(sizes[row])) for p, row in paths.items()), progress):
        row, state = paths[written.source.path], written.state
        ids[row] = np.frombuffer(written.id, np.uint8)
        states[row] = (state.st_size, state.st_mtime_ns, state.st_ctime_ns, state.st_ino)
        kinds[row] = kind_of(state.st_mode)


def _target(path: bytes) -> bytes:
    try:
        return os.readlink(path)
    except OSError as error:
        raise filesystem_fault(error, os.fsdecode(path)) from None
