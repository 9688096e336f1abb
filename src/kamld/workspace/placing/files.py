"""A version's files written into an empty folder."""

import os
import struct
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from threading import Event
from typing import IO

import numpy as np

from kamld.errors import SystemFault, filesystem_fault
from kamld.processes import begin, may_fork
from kamld.records.kinds import EXECUTABLE, FOLDER, SYMLINK
from kamld.store import Entries, Objects, Progress
from kamld.workspace.placing.handles import Handles
from kamld.workspace.placing.paths import check_paths, check_room, folders_of, rules_of

_BATCH = 512  # files that a thread writes before it takes others, at least
_MOST = 4096
_WORTH_A_PROCESS = 4096  # files
_TOLD = struct.Struct("<QQ")  # files and bytes of a part
_LOST = ("damaged_object", "missing_object", "missing_pack")
Part = Sequence[int]  # rows of entries


def materialise(
    objects: Objects, entries: Entries, folder: Path, *,
    threads: int, read_only: bool = False, progress: Progress | None = None, version: str = "",
) -> None:  # fmt: skip
    """What was purged is left out. `version`: what people call it, for what cannot be had of it.

    Raises Invalid (unsafe_path, name_too_long, path_too_long), Conflict (same_name), SystemFault.
    """
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
            writing = _Writing(objects, entries, top, mode, progress or (lambda *_: None), version)
            _write_files(writing, entries, files, threads)
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


def _by_folders(paths: Sequence[bytes], rows: Sequence[int]) -> Iterator[Part]:
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


def _write_files(writing: "_Writing", entries: Entries, rows: list[int], threads: int) -> None:
    parts = list(_by_folders(entries.paths, rows))
    if len(rows) >= _WORTH_A_PROCESS and threads > 1 and may_fork():
        parts = writing.with_a_copy(parts)
    with ThreadPoolExecutor(threads, "checkout") as pool:
        try:
            for done in pool.map(writing.write, parts):
                writing.progress(*done)
        except BaseException:
            writing.stop.set()
            pool.shutdown(cancel_futures=True)
            raise


class _Writing:
    """Files of some entries, below an open folder."""

    def __init__(
        self, objects: Objects, entries: Entries, top: int, mode: int, progress: Progress, version: str
    ) -> None:  # fmt: skip
        self.progress = progress
        self.stop = Event()
        self._objects = objects
        self._entries = entries
        self._ids = entries.ids.tobytes()
        self._top = top
        self._mode = mode
        self._version = version

    def write(self, part: Part) -> tuple[int, int]:
        """Files, bytes."""
        written = 0
        with Handles(self._top) as handles:
            for at, pieces in self._found(part):
                if self.stop.is_set():
                    break
                row = part[at]
                bits = self._mode | (0o111 if self._entries.kinds[row] == EXECUTABLE else 0)
                try:
                    written += handles.write(self._entries.paths[row], pieces, bits)
                except SystemFault as fault:
                    raise self._of_file(fault, row) from None
        return len(part), written

    def _found(self, part: Part) -> Iterator[tuple[int, Iterator[bytes | memoryview]]]:
        ids = self._named(part)
        try:
            yield from self._objects.read_many(ids)
        except SystemFault as fault:  # of all of them together
            gone = self._objects.purged(ids)
            for row, identifier in zip(part, ids, strict=True):
                if identifier not in gone and not self._objects.has(identifier):
                    raise self._of_file(fault, row) from None
            raise

    def _of_file(self, fault: SystemFault, row: int) -> SystemFault:
        """The same; where the hub has lost something of the file, with its name."""
        if fault.code not in _LOST:
            return fault
        path = self._entries.paths[row].decode("utf-8", "backslashreplace")
        of = f"{path} of {self._version}" if self._version else path
        return SystemFault(fault.code, f"{of} cannot be had. {fault.message}", fault.hint)

    def with_a_copy(self, parts: list[Part]) -> list[Part]:
        """Every second part by a copy of this process; those that are still to be written then, of which
        there is nothing."""
        mine, others = parts[::2], parts[1::2]
        if not all(all(self._objects.held(self._named(part))) for part in others):
            return parts  # what is left elsewhere may need what a copy has not got
        copy = begin(partial(self._write_and_tell, others, os.getpid()), [self._top])
        if copy is None:
            return parts
        said = b""
        with copy:
            os.set_blocking(copy.answer.fileno(), False)
            for part in mine:
                self.progress(*self.write(part))
                said += copy.answer.read() or b""
            os.set_blocking(copy.answer.fileno(), True)
            while more := copy.answer.read():
                said += more
        done = list(_TOLD.iter_unpack(said[: len(said) - len(said) % _TOLD.size]))
        for count, size in done:
            self.progress(count, size)
        left = others[len(done) :]
        with Handles(self._top) as handles:
            for row in left[0] if left else ():
                handles.remove(self._entries.paths[row])
        return left

    def _write_and_tell(self, parts: list[Part], first: int, answer: IO[bytes]) -> None:
        for part in parts:
            answer.write(_TOLD.pack(*self.write(part)))
            answer.flush()
            if os.getppid() != first:
                return

    def _named(self, part: Part) -> list[bytes]:
        return [self._ids[32 * row : 32 * row + 32] for row in part]
