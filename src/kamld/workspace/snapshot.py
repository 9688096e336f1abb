"""A folder's files put into a hub: what both a commit of a folder and a run's code snapshot do."""

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from kamld.errors import SystemFault, filesystem_fault
from kamld.records.kinds import EXECUTABLE, FILE, FOLDER, SYMLINK
from kamld.scan.listing import Scan, scan
from kamld.scan.looking import Skips
from kamld.scan.marks import INODE_MAX
from kamld.store import Entries, Files, Progress, Writer
from kamld.store.trees import EMPTY_ID
from kamld.workspace.placing.handles import Handles
from kamld.workspace.stat_index import EMPTY, StatIndex, from_scan


@dataclass(frozen=True, slots=True)
class Snapshot:
    entries: Entries
    scan: Scan  # with the state that each file had when it was read

    def index(self, tree: bytes) -> StatIndex:
        known = np.ones(len(self.scan), np.bool_)
        return from_scan(self.scan, self.entries.ids, known, tree)


def snapshot(
    folder: Path, writer: Writer, *,
    index: StatIndex = EMPTY, skips: Skips | None = None, nested: bool = True,
    progress: Progress | None = None,
) -> Snapshot:  # fmt: skip
    """Put the folder's files into the hub, reading only those that `index` does not know. `skips`, `nested`:
    as in `scan`.

    Raises SystemFault (unreadable_file, changing_file, no_space …), Invalid (special_file).
    """
    found = scan(folder, skips=skips, nested=nested)
    known, ids = index.known(found)
    states, kinds = found.states.copy(), found.kinds.copy()
    unread = np.flatnonzero(~known)
    folders, links = unread[kinds[unread] == FOLDER], unread[kinds[unread] == SYMLINK]
    ids[folders] = np.frombuffer(EMPTY_ID, np.uint8)
    _put_links(writer, folder, found, links.tolist(), ids, states)
    files = unread[(kinds[unread] != FOLDER) & (kinds[unread] != SYMLINK)]
    _put_files(writer, folder, found, index, files, ids, states, kinds, progress)
    if any(kinds == FOLDER):
        writer.put(b"")
    writer.guard.check_all(ids, found.paths)
    entries = Entries(found.paths, kinds, states[:, 0].astype(np.uint64), ids)
    return Snapshot(entries, replace(found, kinds=kinds, states=states))


def _put_files(
    writer: Writer, folder: Path, found: Scan, index: StatIndex, rows: NDArray[np.int64],
    ids: NDArray[np.uint8], states: NDArray[np.int64], kinds: NDArray[np.uint8], progress: Progress | None,
) -> None:  # fmt: skip
    """Fill in `ids`, `states` and `kinds` of these rows with what was read."""
    if not len(rows):
        return
    paths = found.paths if len(rows) == len(found) else [found.paths[row] for row in rows.tolist()]
    seen = found.states[rows]
    listed = Files(os.fsencode(folder) + b"/", paths, seen, lambda number: index.was(paths[number]))
    for kept in writer.put_below(listed, progress):
        here = rows[kept.numbers]
        ids[here] = np.frombuffer(kept.ids, np.uint8).reshape(-1, 32)
        states[here] = kept.states[:, :4]
        kinds[here] = np.where(kept.states[:, 4] & stat.S_IXUSR, EXECUTABLE, FILE)
    _check_places(folder, found, states, rows)


def _put_links(
    writer: Writer, folder: Path, found: Scan, rows: list[int], ids: NDArray[np.uint8],
    states: NDArray[np.int64],
) -> None:  # fmt: skip
    if not rows:
        return
    with _handles(folder) as handles:
        for row in rows:
            try:
                name, within = _place(handles, found.paths[row])
                target = os.readlink(name, dir_fd=within)
            except OSError as error:
                raise filesystem_fault(error, os.fsdecode(found.paths[row])) from None
            ids[row], states[row, 0] = np.frombuffer(writer.put(target), np.uint8), len(target)


def _check_places(folder: Path, found: Scan, states: NDArray[np.int64], rows: NDArray[np.int64]) -> None:
    """Where a file is not the one that was seen by the scan, whether what was read is really in the folder:
    somebody may have put a link where a folder was. Raises SystemFault (changing_file)."""
    others = rows[(states[rows] != found.states[rows]).any(axis=1)].tolist()
    if not others:
        return
    with _handles(folder) as handles:
        for row in others:
            try:
                name, within = _place(handles, found.paths[row])
                there = os.lstat(name, dir_fd=within)
                stamps = (there.st_size, there.st_mtime_ns, there.st_ctime_ns)
                found_there = there.st_ino & INODE_MAX == states[row, 3] or stamps == tuple(states[row, :3])
            except OSError:
                found_there = False
            if not found_there:
                raise SystemFault(
                    "changing_file",
                    f"{folder / os.fsdecode(found.paths[row])} was replaced by something else while it was"
                    " read. Nothing was changed.",
                    "Commit again when whoever changes it has finished, or name it in .kamldignore.",
                )


def _place(handles: Handles, path: bytes) -> tuple[bytes, int]:
    """The name, and the open folder that it is in. Raises OSError."""
    above, _, name = path.rpartition(b"/")
    return name, handles.of(above)


@contextmanager
def _handles(folder: Path) -> Iterator[Handles]:
    try:
        top = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise filesystem_fault(error, str(folder)) from None
    try:
        with Handles(top) as handles:
            yield handles
    finally:
        os.close(top)
