"""What changed in a folder since the version it comes from. Reads only files that may have changed."""

import os
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from blake3 import blake3
from numpy.typing import NDArray

from kamld.blobs import filesystem_fault
from kamld.store import Change, Repository
from kamld.store.trees import EMPTY_ID, FOLDER, SYMLINK, Entry
from kamld.workspace.binding import Binding
from kamld.workspace.leftovers import remove_left
from kamld.workspace.scan import Scan, scan
from kamld.workspace.settle import bound_dataset
from kamld.workspace.stat_index import from_scan, read_index, write_index

_READ = 1024 * 1024
_UNREAD = bytes(32)  # id of a new file that nobody had to read


@dataclass(frozen=True, slots=True)
class Status:
    """`changes` are sorted by path; the new side of an added or changed file may have no id (zeros)."""

    changes: list[Change]
    files: int
    bytes: int


@dataclass(frozen=True, slots=True)
class Look:
    """A folder beside the version that it comes from. `ids` are right where `known`."""

    changes: list[Change]  # as in Status
    present: Scan
    known: NDArray[np.bool_]
    ids: NDArray[np.uint8]


def folder_status(folder: Path, binding: Binding, repository: Repository) -> Status:
    """Raises SystemFault, Invalid, NotFound, Conflict (other_dataset)."""
    found = look(folder, binding, repository)
    return Status(found.changes, len(found.present), int(found.present.states[:, 0].sum()))


def look(folder: Path, binding: Binding, repository: Repository) -> Look:
    """Raises as `folder_status`."""
    bound_dataset(repository, folder, binding)
    taken = time.time_ns()
    present = scan(folder)
    remove_left(present.left)
    index = read_index(folder)
    known, ids = index.known(present)
    commit = repository.commit(binding.commit)
    if known.all() and len(present) == len(index.paths) and index.tree.hex() == commit.tree:
        return Look([], present, known, ids)
    before = {row.path: row for row in repository.tree(commit).entries().rows()}
    changes = _compare(folder, present, known, ids, before)
    learned, ids = _learned(present, known, ids, before, changes)
    if not known.all() or not changes:
        tree = bytes(32) if changes else bytes.fromhex(commit.tree)
        write_index(folder, from_scan(present, ids, learned, tree, taken))
    return Look(changes, present, learned, ids)


def hash_file(path: Path, kind: int) -> bytes:
    """The id that the file would have. Raises SystemFault."""
    if kind == FOLDER:
        return EMPTY_ID
    digest = blake3()
    try:
        if kind == SYMLINK:
            return digest.update(os.fsencode(os.readlink(path))).digest()
        with open(path, "rb", buffering=0) as file:
            while piece := file.read(_READ):
                digest.update(piece)
    except OSError as error:
        raise filesystem_fault(error, str(path)) from None
    return digest.digest()


def _compare(
    folder: Path,
    present: Scan,
    known: NDArray[np.bool_],
    ids: NDArray[np.uint8],
    before: dict[bytes, Entry],
) -> list[Change]:
    changes: list[Change] = []
    flat = ids.tobytes()
    kinds, sizes, sure = present.kinds.tolist(), present.states[:, 0].tolist(), known.tolist()
    for row, path in enumerate(present.paths):
        old = before.get(path)
        identifier = flat[32 * row : 32 * row + 32] if sure[row] else _UNREAD
        if old and not sure[row] and (old.kind, old.size) == (kinds[row], sizes[row]):
            identifier = hash_file(folder / os.fsdecode(path), kinds[row])
        new = Entry(path, kinds[row], sizes[row], identifier)
        if old is None or (old.id, old.kind) != (new.id, new.kind):
            changes.append(Change(path, old, new))
    there = set(present.paths)
    changes += [Change(path, old, None) for path, old in before.items() if path not in there]
    return sorted(changes, key=lambda change: change.path)


def _learned(
    present: Scan, known: NDArray[np.bool_], ids: NDArray[np.uint8], before: dict[bytes, Entry],
    changes: list[Change],
) -> tuple[NDArray[np.bool_], NDArray[np.uint8]]:  # fmt: skip
    """What is known now: a file that turned out unchanged has the id that the version has."""
    changed = {change.path for change in changes}
    ids, learned = ids.copy(), known.copy()
    for row in np.flatnonzero(~known).tolist():
        path = present.paths[row]
        if path not in changed:
            ids[row] = np.frombuffer(before[path].id, np.uint8)
            learned[row] = True
    return learned, ids
