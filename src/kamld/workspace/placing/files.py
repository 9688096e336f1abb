"""A version's files written into an empty folder."""

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event

import numpy as np

from kamld.blobs import filesystem_fault
from kamld.store import Entries, Objects, Progress
from kamld.store.trees import EXECUTABLE, FOLDER, SYMLINK
from kamld.workspace.placing.handles import Handles
from kamld.workspace.placing.paths import check_paths, check_room, folders_of, rules_of

_BATCH = 512  # files that a thread writes before it takes others, at least
_MOST = 4096


def materialise(
    objects: Objects, entries: Entries, folder: Path, *,
    threads: int, read_only: bool = False, progress: Progress | None = None,
) -> None:  # fmt: skip
    """What was purged is left out. Raises Invalid (unsafe_path, name_too_long, path_too_long), Conflict
    (same_name), SystemFault."""
    check_paths(entries)
    mode = 0o444 if read_only else 0o666
    try:
        check_room(entries.paths, folder, rules_of(folder))
        top = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            _make_folders(top, entries)
            links = np.flatnonzero(entries.kinds == SYMLINK).tolist()
            gone = objects.purged(entries.ids[row].tobytes() for row in links)
            files = np.flatnonzero((entries.kinds != SYMLINK) & (entries.kinds != FOLDER)).tolist()
            _write_files(objects, entries, files, top, mode, threads, progress)
            with Handles(top) as handles:
                for row in links:
                    if entries.ids[row].tobytes() not in gone:
                        handles.link(entries.paths[row], objects.read(entries.ids[row].tobytes()))
        finally:
            os.close(top)
    except OSError as error:
        raise filesystem_fault(error, str(folder)) from None


def _make_folders(top: int, entries: Entries) -> None:
    empty = {p for p, k in zip(entries.paths, entries.kinds.tolist(), strict=True) if k == FOLDER}
    with Handles(top) as handles:
        for path in sorted(folders_of(entries.paths) | empty):
            handles.make(path)


def _by_folders(paths: Sequence[bytes], rows: Sequence[int]) -> Iterator[Sequence[int]]:
    """The rows in parts of whole folders, where these are not too large: threads that make files in
    one folder wait for each other."""
    start, folder = 0, b""
    for at, row in enumerate(rows):
        above = paths[row].rpartition(b"/")[0]
        if (above != folder and at - start >= _BATCH) or at - start >= _MOST:
            yield rows[start:at]
            start = at
        folder = above
    yield rows[start:]


def _write_files(
    objects: Objects, entries: Entries, rows: list[int], top: int, mode: int, threads: int,
    progress: Progress | None,
) -> None:  # fmt: skip
    stop = Event()
    blob = entries.ids.tobytes()

    def write(part: list[int]) -> tuple[int, int]:
        written = 0
        names = [blob[32 * row : 32 * row + 32] for row in part]
        with Handles(top) as handles:
            for at, pieces in objects.read_many(names):
                if stop.is_set():
                    break
                row = part[at]
                bits = mode | (0o111 if entries.kinds[row] == EXECUTABLE else 0)
                written += handles.write(entries.paths[row], pieces, bits)
        return len(part), written

    with ThreadPoolExecutor(threads, "checkout") as pool:
        try:
            for count, size in pool.map(write, _by_folders(entries.paths, rows)):
                if progress:
                    progress(count, size)
        except BaseException:
            stop.set()
            pool.shutdown(cancel_futures=True)
            raise
