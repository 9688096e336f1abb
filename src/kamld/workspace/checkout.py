"""Checking versions out: a folder with a version's files.

They are written to a folder beside and moved into place when all are there. A new folder appears
whole or not at all. Into one that is there they are moved one after the other, the record of what it
is bound to last: killed in between, it is left with a part of the files, and bound to nothing.

A version that came from elsewhere may name anything, so what it asks for is checked before the
first byte is written, and every folder is opened from the one above it: nothing leaves the folder, and
nothing is written through a link, also where somebody puts one there meanwhile.
"""

import os
import shutil
from contextlib import suppress
from pathlib import Path

import numpy as np

from kamld.errors import Conflict, Invalid, KamldError, filesystem_fault
from kamld.ids import short
from kamld.scan.marks import OWN
from kamld.store import Entries, Objects, Progress, Repository
from kamld.store.refs.revisions import Resolved
from kamld.workspace.binding import Binding, write_binding
from kamld.workspace.leftovers import left_in, make_folder, remove_left
from kamld.workspace.placing.files import materialise
from kamld.workspace.placing.paths import check_length
from kamld.workspace.stat_index import from_scan, scan_settled, write_index

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC


def check_out(
    repository: Repository, resolved: Resolved, entries: Entries, target: Path, *,
    threads: int, progress: Progress | None = None,
) -> bool:  # fmt: skip
    """Write the entries into `target`, which must be empty or not exist yet.

    Says whether the folder is bound now: it is when all of a branch was asked for by name. Raises
    Conflict (target_exists, same_name), Invalid (unsafe_path, name_too_long, path_too_long), SystemFault;
    nothing is left behind then.
    """
    whole = resolved.branch is not None and len(entries) == repository.tree(resolved.commit).count
    check_length(entries.paths, target)
    with _NewFolder(target) as place:
        version = f"{resolved.dataset.said}@{resolved.branch or short(resolved.commit_id)}"
        materialise(
            repository.objects, entries, place, threads=threads, progress=progress, version=version
        )  # fmt: skip
        if whole and resolved.branch:
            _bind(repository, resolved, place, entries, resolved.branch)
    return whole


def write_folder(
    objects: Objects, entries: Entries, target: Path, *, threads: int, progress: Progress | None = None
) -> None:
    """Write the entries into a folder that is bound to nothing. Raises like `check_out`."""
    check_length(entries.paths, target)
    with _NewFolder(target) as place:
        materialise(objects, entries, place, threads=threads, progress=progress)


def _bind(repository: Repository, resolved: Resolved, place: Path, entries: Entries, branch: str) -> None:
    dataset = resolved.dataset
    binding = Binding(
        hub=repository.blobs.location, dataset=dataset.id, project=dataset.project, name=dataset.name,
        branch=branch, commit=resolved.commit_id, hub_id=repository.hub.id,
    )  # fmt: skip
    write_binding(place, binding)
    found = scan_settled(place)
    if found.paths == entries.paths:
        everything = np.ones(len(found), np.bool_)
        write_index(
            place,
            from_scan(found, entries.ids, everything, bytes.fromhex(resolved.commit.tree)),
        )


class _NewFolder:
    """`with _NewFolder(target) as place`: fill `place`; what is in it is in `target` at the end."""

    def __init__(self, target: Path) -> None:
        self._target = target
        self._inside = False  # an empty folder that is there stays the same folder

    def __enter__(self) -> Path:
        target = self._target
        home = -1
        try:
            self._inside = os.path.lexists(target)
            around = target if self._inside else target.parent
            if self._inside and (target.is_symlink() or not target.is_dir()):
                raise _is_there(target)
            _check_above(target)
            around.mkdir(parents=True, exist_ok=True)
            remove_left(left_in(around))
            if self._inside and any(target.iterdir()):
                raise _is_there(target)
            home = os.open(around, _FOLDER | (os.O_NOFOLLOW if self._inside else 0))
            self._place, self._lock = make_folder(around)
            self._home, home = home, -1
        except OSError as error:
            raise filesystem_fault(error, str(target)) from None
        finally:
            if home >= 0:
                os.close(home)
        return self._place

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        try:
            if kind is None:
                self._settle()
        except OSError as error:
            raise filesystem_fault(error, str(self._target)) from None
        finally:
            with suppress(OSError, KamldError):
                shutil.rmtree(self._place, ignore_errors=True)
            os.close(self._lock)
            os.close(self._home)

    def _settle(self) -> None:
        """From folders that are open, whatever has come in their places meanwhile."""
        if not self._inside:
            os.rename(self._place.name, self._target.name, src_dir_fd=self._home, dst_dir_fd=self._home)
            return
        names = sorted(os.listdir(self._lock), key=lambda name: name == OWN)
        if set(names).intersection(os.listdir(self._home)):
            raise _is_there(self._target)
        for name in names:
            os.rename(name, name, src_dir_fd=self._lock, dst_dir_fd=self._home)
        os.rmdir(self._place.name, dir_fd=self._home)


def _check_above(target: Path) -> None:
    """Raises Conflict (target_exists), Invalid (name_too_long)."""
    there = next((above for above in target.parents if os.path.lexists(above)), None)
    if there and not there.is_dir():
        raise Conflict(
            "target_exists",
            f"{there} is {_what(there)}, so nothing can be in it.",
            "Name another folder, or move that away.",
        )
    most = os.pathconf(there, "PC_NAME_MAX") if there else 0
    long = next((name for name in target.parts if len(os.fsencode(name)) > most), None) if most > 0 else None
    if long:
        raise Invalid(
            "name_too_long",
            f"No folder can have the name {long[:20]}…: it has {len(os.fsencode(long)):,} bytes, and {there}"
            f" holds names of at most {most:,}. Nothing was written.",
            "Name another folder.",
        )


def _is_there(target: Path) -> Conflict:
    is_folder = target.is_dir() and not target.is_symlink()
    return Conflict(
        "target_exists",
        f"{target} is there already and not an empty folder." if is_folder
        else f"{target} is there already, and is {_what(target)}.",
        "Name another folder, or move that one away.",
    )  # fmt: skip


def _what(place: Path) -> str:
    return "a link" if place.is_symlink() else "a file" if place.is_file() else "no folder"
