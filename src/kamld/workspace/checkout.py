"""Checking versions out: a folder with a version's files.

They are written to a folder beside and moved into place when all are there. A new folder appears
whole or not at all. Into one that is there they are moved one after the other, the record of what it
is bound to last: killed in between, it is left with a part of the files, and bound to nothing.

A version that came from elsewhere may name anything, so what it asks for is checked before the
first byte is written: nothing leaves the folder, and nothing is written through a link.
"""

import os
import shutil
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from threading import Event

import numpy as np

from kamld.blobs import filesystem_fault
from kamld.errors import Conflict, Invalid, KamldError
from kamld.store import Entries, Objects, Progress, Repository
from kamld.store.refs.revisions import Resolved
from kamld.store.trees import EXECUTABLE, FOLDER, SYMLINK
from kamld.workspace.binding import OWN, Binding, write_binding
from kamld.workspace.leftovers import left_in, make_folder, remove_left
from kamld.workspace.scan import may_be_named
from kamld.workspace.stat_index import from_scan, scan_settled, write_index

_BATCH = 512  # files a thread writes before it takes the next
_HOLE = 16 * 1024  # bytes of zeros that are not written
_ZEROS = bytes(256 * 1024)  # the longest piece that a large file is cut into


def check_out(
    repository: Repository, resolved: Resolved, entries: Entries, target: Path, *,
    threads: int, progress: Progress | None = None,
) -> bool:  # fmt: skip
    """Write the entries into `target`, which must be empty or not exist yet.

    Says whether the folder is bound now: it is when all of a branch was asked for by name. Raises
    Conflict (target_exists), Invalid (unsafe_path), SystemFault; nothing is left behind then.
    """
    whole = resolved.branch is not None and len(entries) == repository.tree(resolved.commit).count
    with _NewFolder(target) as place:
        materialise(repository.objects, entries, place, threads=threads, progress=progress)
        if whole and resolved.branch:
            _bind(repository, resolved, place, entries, resolved.branch)
    return whole


def write_folder(
    objects: Objects, entries: Entries, target: Path, *, threads: int, progress: Progress | None = None
) -> None:
    """Write the entries into a folder that is bound to nothing. Raises like `check_out`."""
    with _NewFolder(target) as place:
        materialise(objects, entries, place, threads=threads, progress=progress)


def materialise(
    objects: Objects, entries: Entries, folder: Path, *,
    threads: int, read_only: bool = False, progress: Progress | None = None,
) -> None:  # fmt: skip
    """Write the entries into an empty folder. Raises Invalid (unsafe_path), SystemFault."""
    check_paths(entries)
    mode = 0o444 if read_only else 0o666
    top = os.fsencode(folder)
    try:
        _make_folders(top, entries)
        links = np.flatnonzero(entries.kinds == SYMLINK).tolist()
        files = np.flatnonzero((entries.kinds != SYMLINK) & (entries.kinds != FOLDER)).tolist()
        _write_files(objects, entries, files, top, mode, threads, progress)
        for row in links:  # last, so that no file is ever written through one
            os.symlink(objects.read(entries.ids[row].tobytes()), top + b"/" + entries.paths[row])
    except OSError as error:
        raise filesystem_fault(error, str(folder)) from None


def check_paths(entries: Entries) -> None:
    """Raises Invalid (unsafe_path) for a tree that must not be written anywhere."""
    before = b""
    for path, kind in zip(entries.paths, entries.kinds.tolist(), strict=True):
        parts = path.split(b"/")
        if not all(may_be_named(part) for part in parts):
            raise _unsafe(path, "would leave the folder, or change what kamld keeps in it")
        if kind > FOLDER:
            raise _unsafe(path, "is of a sort that this kamld does not know")
        if path == before:
            raise _unsafe(path, "is there twice")
        before = path
    solid = set(entries.paths)
    for path in folders_of(entries.paths):
        if path in solid:
            raise _unsafe(path, "is a file and a folder at once")


def _unsafe(path: bytes, why: str) -> Invalid:
    shown = path.decode("utf-8", "backslashreplace")
    return Invalid(
        "unsafe_path",
        f'"{shown}" {why}. Nothing was written.',
        "Do not trust who made this version.",
    )


def folders_of(paths: Sequence[bytes]) -> set[bytes]:
    """Every folder that has one of the paths in it."""
    found: set[bytes] = set()
    for path in paths:
        cut = path.rfind(b"/")
        while cut > 0 and path[:cut] not in found:
            found.add(path[:cut])
            cut = path.rfind(b"/", 0, cut)
    return found


def _make_folders(top: bytes, entries: Entries) -> None:
    empty = {p for p, k in zip(entries.paths, entries.kinds.tolist(), strict=True) if k == FOLDER}
    for path in sorted(folders_of(entries.paths) | empty):
        os.makedirs(top + b"/" + path, exist_ok=True)


def _write_files(
    objects: Objects, entries: Entries, rows: list[int], top: bytes, mode: int, threads: int,
    progress: Progress | None,
) -> None:  # fmt: skip
    stop = Event()
    blob = entries.ids.tobytes()

    def write(part: list[int]) -> tuple[int, int]:
        written = 0
        names = [blob[32 * row : 32 * row + 32] for row in part]
        for at, pieces in objects.read_many(names):
            if stop.is_set():
                break
            row = part[at]
            bits = mode | (0o111 if entries.kinds[row] == EXECUTABLE else 0)
            written += write_file(top + b"/" + entries.paths[row], pieces, bits)
        return len(part), written

    with ThreadPoolExecutor(threads, "checkout") as pool:
        try:
            parts = [rows[at : at + _BATCH] for at in range(0, len(rows), _BATCH)]
            for count, size in pool.map(write, parts):
                if progress:
                    progress(count, size)
        except BaseException:
            stop.set()
            pool.shutdown(cancel_futures=True)
            raise


def write_file(path: bytes, pieces: Iterator[bytes | memoryview], mode: int) -> int:
    """A new file; long runs of zeros become holes. Its bytes."""
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, mode)
    written, hole = 0, False
    try:
        for piece in pieces:
            hole = isinstance(piece, bytes) and len(piece) >= _HOLE and _ZEROS.startswith(piece)
            if hole:
                os.lseek(file, len(piece), os.SEEK_CUR)
                written += len(piece)
                continue
            done = os.write(file, piece)
            written += done
            rest = memoryview(piece)[done:]
            while len(rest):
                done = os.write(file, rest)
                written += done
                rest = rest[done:]
        if hole:
            os.ftruncate(file, written)
    finally:
        os.close(file)
    return written


def _bind(repository: Repository, resolved: Resolved, place: Path, entries: Entries, branch: str) -> None:
    dataset = resolved.dataset
    binding = Binding(
        hub=repository.blobs.location, dataset=dataset.id, project=dataset.project, name=dataset.name,
        branch=branch, commit=resolved.commit_id,
    )  # fmt: skip
    write_binding(place, binding)
    found, taken = scan_settled(place)
    if found.paths == entries.paths:
        everything = np.ones(len(found), np.bool_)
        write_index(
            place,
            from_scan(found, entries.ids, everything, bytes.fromhex(resolved.commit.tree), taken),
        )


class _NewFolder:
    """`with _NewFolder(target) as place`: fill `place`; what is in it is in `target` at the end."""

    def __init__(self, target: Path) -> None:
        self._target = target
        self._inside = False  # an empty folder that is there stays the same folder

    def __enter__(self) -> Path:
        target = self._target
        try:
            self._inside = os.path.lexists(target)
            home = target if self._inside else target.parent
            if self._inside and (target.is_symlink() or not target.is_dir()):
                raise _is_there(target)
            home.mkdir(parents=True, exist_ok=True)
            remove_left(left_in(home))
            if self._inside and any(target.iterdir()):
                raise _is_there(target)
            self._place, self._lock = make_folder(home)
        except OSError as error:
            raise filesystem_fault(error, str(target)) from None
        return self._place

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        try:
            if kind is None and self._inside:
                for child in sorted(self._place.iterdir(), key=lambda child: child.name == OWN):
                    child.rename(self._target / child.name)
                self._place.rmdir()
            elif kind is None:
                self._place.rename(self._target)
        except OSError as error:
            raise filesystem_fault(error, str(self._target)) from None
        finally:
            with suppress(OSError, KamldError):
                shutil.rmtree(self._place, ignore_errors=True)
            os.close(self._lock)


def _is_there(target: Path) -> Conflict:
    return Conflict(
        "target_exists",
        f"{target} is there already and not an empty folder.",
        "Name another folder, or move that one away.",
    )
