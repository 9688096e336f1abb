"""What changed in a folder since the version it comes from. Reads only files that may have changed."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from blake3 import blake3
from numpy.typing import NDArray

from kamld.errors import SystemFault, filesystem_fault
from kamld.records.kinds import EXECUTABLE, FILE, FOLDER, SYMLINK
from kamld.records.names import Name
from kamld.scan.ignore import FILE as IGNORE_FILE
from kamld.scan.listing import Scan, scan
from kamld.store import Change, Holes, Repository, Tree
from kamld.store.trees import EMPTY_ID, diff
from kamld.store.trees.entries import Beside, Entries, Entry, in_step, renamed, renames
from kamld.workspace.binding import Binding, read_binding
from kamld.workspace.leftovers import remove_left
from kamld.workspace.mounted import changes_of_mount
from kamld.workspace.settle import base_commit, base_tree, bound_dataset
from kamld.workspace.stat_index import EMPTY, from_scan, read_index, write_index

_READ = 1024 * 1024
_MOVED_MAX = 256_000_000  # bytes of new files that are read only to tell whether they were renamed
_UNREAD = bytes(32)  # id of a new file that nobody had to read
Paths = tuple[bytes, ...]
Renames = tuple[tuple[bytes, bytes], ...]


@dataclass(frozen=True, slots=True)
class Apart:
    """A folder in a working folder that is bound to something of its own, and so no part of it."""

    path: bytes
    name: Name | None  # None: its record is damaged


@dataclass(frozen=True, slots=True)
class Status:
    """`changes` are sorted by path; the new side of an added or changed file may have no id (zeros).
    `renamed`: old and new paths of those of them that are one file in another place. `purged`: what the
    version lists and nobody can have any more; no change of anybody's. `special`: what no version can
    hold, in words. `apart`: folders in it that are bound themselves. `ignored`: of the removed ones, those
    that are still there and only left out by now. `refused`: files here whose content was purged; a commit
    is refused while they are there."""

    changes: list[Change]
    files: int
    bytes: int
    renamed: Renames = ()
    purged: tuple[Entry, ...] = ()
    special: tuple[str, ...] = ()
    apart: tuple[Apart, ...] = ()
    ignored: Paths = ()
    refused: tuple[Entry, ...] = ()


@dataclass(frozen=True, slots=True)
class Look:
    """A folder beside the version that it comes from. `ids` are right where `known`."""

    changes: list[Change]  # as in Status
    present: Scan
    known: NDArray[np.bool_]
    ids: NDArray[np.uint8]
    purged: tuple[Entry, ...] = ()  # as in Status


def folder_status(
    folder: Path, binding: Binding, repository: Repository, *, full: bool = False
) -> Status:  # fmt: skip
    """`full`: read every file, whatever its times say. Raises SystemFault, Invalid, NotFound, Conflict
    (other_dataset)."""
    if (changes := changes_of_mount(folder)) is not None:
        bound_dataset(repository, folder, binding)
        return _of_mount(repository.tree(repository.commit(binding.commit)), changes)
    found = look(folder, binding, repository, full=full)
    size = int(found.present.states[:, 0].sum())
    apart = apart_in(folder, found.present)
    return Status(
        found.changes, len(found.present), size, tuple(renamed(found.changes)), found.purged,
        found.present.special, apart,
        _ignored(folder, found.changes, apart), tuple(_refused(folder, found, repository)),
    )  # fmt: skip


def _ignored(folder: Path, changes: Sequence[Change], apart: Sequence[Apart]) -> Paths:
    gone = [change.path for change in changes if change.new is None]
    others = tuple(one.path + b"/" for one in apart)
    there = (path for path in gone if not path.startswith(others) if _is_file(folder / os.fsdecode(path)))
    return tuple(there) if gone and (folder / IGNORE_FILE).is_file() else ()


def _refused(folder: Path, found: Look, repository: Repository) -> Iterator[Entry]:
    """Of files that nobody had to read yet, those are read that are as large as something that was purged."""
    purged = Holes(repository.blobs)
    if not (gone := purged.listed()):
        return
    present, begins = found.present, np.frombuffer(b"".join(one[:8] for one in gone), "<u8")
    firsts = np.ascontiguousarray(found.ids[:, :8]).view("<u8").reshape(-1)
    holes = [hole for hole in map(purged.find, gone) if hole]
    sizes, kinds = present.states[:, 0], np.isin(present.kinds, (FILE, EXECUTABLE))
    maybe = np.where(found.known, np.isin(firsts, begins), np.isin(sizes, [hole.size for hole in holes]))
    for row in np.flatnonzero(maybe & kinds).tolist():
        path, kind = present.paths[row], int(present.kinds[row])
        here = found.ids[row].tobytes() if found.known[row] else hash_file(folder / os.fsdecode(path), kind)
        if here in gone:
            yield Entry(path, kind, int(sizes[row]), here)


def _is_file(path: Path) -> bool:
    return path.is_symlink() or path.is_file()


def _of_mount(tree: Tree, changes: list[Change]) -> Status:
    files = sum((change.new is not None) - (change.old is not None) for change in changes)
    grown = sum((c.new.size if c.new else 0) - (c.old.size if c.old else 0) for c in changes)
    return Status(changes, tree.count + files, tree.size + grown, tuple(renamed(changes)))


def changes_since(folder: Path, binding: Binding, repository: Repository, tree: Tree) -> list[Change]:
    """What differs in the folder from any version's files, which need not be those that it comes from.
    Raises as `folder_status`."""
    status = folder_status(folder, binding, repository)
    mine, missing = {one.path: one for one in status.changes}, {entry.path for entry in status.purged}
    base = base_tree(repository, folder, binding, base_commit(repository, folder, binding))
    found = dict(mine)
    for change in diff(tree, base):
        own = mine.get(change.path)
        new = own.new if own else None if change.path in missing else change.new
        alike = new and change.old and (new.kind, new.size) == (change.old.kind, change.old.size)
        if new and alike and new.id == _UNREAD:
            new = replace(new, id=hash_file(folder / os.fsdecode(new.path), new.kind))
        there = new and (new.id, new.kind)
        if there == (change.old and (change.old.id, change.old.kind)):
            found.pop(change.path, None)
        else:
            found[change.path] = Change(change.path, change.old, new)
    return without_purged(repository, sorted(found.values(), key=lambda change: change.path))[0]


def look(folder: Path, binding: Binding, repository: Repository, *, full: bool = False) -> Look:
    """Raises as `folder_status`."""
    bound_dataset(repository, folder, binding)
    present = scan(folder, nested=False, strict=False)
    remove_left(present.left)
    index = EMPTY if full else read_index(folder)
    known, ids = index.known(present)
    commit = base_commit(repository, folder, binding)
    if known.all() and len(present) == len(index) and index.tree.hex() == commit.tree:
        return Look([], present, known, ids)
    tree = base_tree(repository, folder, binding, commit)
    changes, read = _compare(folder, present, known, ids, tree)
    changes = _with_moved(folder, changes)
    changes, purged = without_purged(repository, changes)
    learned, ids = _learned(present, known, ids, read, changes)
    if not known.all() or not (changes or purged):
        learned_tree = bytes(32) if changes or purged else bytes.fromhex(commit.tree)
        write_index(folder, from_scan(present, ids, learned, learned_tree))
    return Look(changes, present, learned, ids, purged)


def without_purged(
    repository: Repository, changes: list[Change]
) -> tuple[list[Change], tuple[Entry, ...]]:  # fmt: skip
    """Those that somebody made, and what is missing for it was purged."""
    gone = repository.objects.purged(one.old.id for one in changes if one.old and one.new is None)
    purged = tuple(one.old for one in changes if one.old and one.new is None and one.old.id in gone)
    paths = {entry.path for entry in purged}
    return ([one for one in changes if one.path not in paths] if purged else changes), purged


def apart_in(folder: Path, found: Scan) -> tuple[Apart, ...]:
    """The folders in this one that are bound themselves, and to what."""
    return tuple(_apart(folder, Path(place)) for place in found.apart)


def _apart(folder: Path, place: Path) -> Apart:
    try:
        binding = read_binding(place)
    except SystemFault:  # a damaged one: whoever works there is told
        binding = None
    return Apart(os.fsencode(place.relative_to(folder)), binding.full_name if binding else None)


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


def hash_files(folder: Path, found: Scan, known: NDArray[np.bool_], ids: NDArray[np.uint8]) -> None:
    """Fill in the ids of those that are not known. Raises SystemFault."""
    kinds = found.kinds.tolist()
    for row in np.flatnonzero(~known).tolist():
        identifier = hash_file(folder / os.fsdecode(found.paths[row]), kinds[row])
        ids[row] = np.frombuffer(identifier, np.uint8)


def _compare(
    folder: Path, present: Scan, known: NDArray[np.bool_], ids: NDArray[np.uint8], tree: Tree
) -> tuple[list[Change], dict[int, bytes]]:
    """What differs from the tree, and the ids of files that were read for that, by row."""
    changes: list[Change] = []
    read: dict[int, bytes] = {}
    row = 0
    table = Entries(present.paths, present.kinds, present.states[:, 0].astype(np.uint64), ids)
    for before, now in in_step(tree.parts(), [table]):
        beside = Beside(before, now.paths)
        alike = beside.alike(now.kinds, now.ids) & known[row : row + len(now)]
        for at in np.flatnonzero(~alike).tolist():
            old, new = beside.entry(at), now.row(at)
            if not known[row + at]:
                new = replace(new, id=_UNREAD)
                if old and (old.kind, old.size) == (new.kind, new.size):
                    read[row + at] = hash_file(folder / os.fsdecode(new.path), new.kind)
                    new = replace(new, id=read[row + at])
            if old is None or (old.id, old.kind) != (new.id, new.kind):
                changes.append(Change(new.path, old, new))
        changes += [Change(old.path, old, None) for old in beside.gone()]
        row += len(now)
    return sorted(changes, key=lambda change: change.path), read


def _learned(
    present: Scan, known: NDArray[np.bool_], ids: NDArray[np.uint8], read: dict[int, bytes],
    changes: list[Change],
) -> tuple[NDArray[np.bool_], NDArray[np.uint8]]:  # fmt: skip
    """What is known now: a file that turned out unchanged has the id that the version has; one that only
    has another name, that of the file that it was, which is in the hub."""
    changed = {change.path for change in changes}
    moved = {new.path: new.id for _, new in renames(changes)}
    ids, learned = ids.copy(), known.copy()
    for row in np.flatnonzero(~known).tolist():
        path = present.paths[row]
        if found := moved.get(path) or (None if path in changed else read[row]):
            ids[row] = np.frombuffer(found, np.uint8)
            learned[row] = True
    return learned, ids


def _with_moved(folder: Path, changes: list[Change]) -> list[Change]:
    """With the ids of added files that may be removed ones under another name, smallest first: reads no
    more than `_MOVED_MAX` bytes."""
    removed = {(change.old.size, change.old.kind) for change in changes if change.old and not change.new}
    found: dict[bytes, Entry] = {}
    left = _MOVED_MAX
    for new in sorted((c.new for c in changes if c.new and not c.old), key=lambda new: (new.size, new.path)):
        if new.id == _UNREAD and new.size and (new.size, new.kind) in removed and new.size <= left:
            left -= new.size
            found[new.path] = replace(new, id=hash_file(folder / os.fsdecode(new.path), new.kind))
    return [replace(c, new=found[c.path]) if c.path in found else c for c in changes]
