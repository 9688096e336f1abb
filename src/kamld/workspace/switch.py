"""A bound folder becomes another version, or has some of its files back. A person's own changes stay
where they touch nothing that differs; else nothing is changed, and the files are named."""

import os
import stat
from bisect import bisect_left
from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from pathlib import Path
from shlex import quote

import msgspec
import numpy as np

from kamld.errors import Conflict, NotFound, filesystem_fault
from kamld.records.globs import Glob, is_glob
from kamld.records.kinds import EXECUTABLE, FILE, FOLDER, SYMLINK
from kamld.scan.listing import Scan
from kamld.scan.marks import OWN
from kamld.store import Change, Progress, Repository, Tree
from kamld.store.refs.revisions import Resolved
from kamld.store.trees import diff
from kamld.store.trees.entries import Entry, entries_of
from kamld.workspace.binding import Binding, read_binding, write_binding
from kamld.workspace.placing.paths import check_paths, check_room, folders_of, rules_of
from kamld.workspace.settle import base_commit, base_tree, bound_dataset
from kamld.workspace.stat_index import NO_TREE, from_scan, rows_of, scan_settled, unchanged, write_index
from kamld.workspace.status import Look, hash_file, look, without_purged
from kamld.workspace.switching.hands import Step
from kamld.workspace.switching.journal import carry_out, held
from kamld.workspace.switching.plan import Plan, obstacles, plan, state_of

_MOVE = "No version has them, for they are ignored or new: move them away first."
_NAMED = 10  # files in the way that are named one by one


@dataclass(frozen=True, slots=True)
class Switched:
    """`changes`: what was done to the folder's files. `kept`: a person's own changes that are still there.
    `purged`: what is not there, of what the version has and the one before had not."""

    before: Binding
    binding: Binding
    changes: list[Change]
    kept: int
    purged: tuple[Entry, ...] = ()


def switch(
    repository: Repository, folder: Path, resolved: Resolved, *, progress: Progress | None = None
) -> Switched:
    """Make the folder the version's, and of its branch, if one was asked for by name.

    Raises Conflict (in_the_way, folder_busy, other_dataset), Invalid (unsafe_path), SystemFault.
    """
    with held(folder):
        before = _still(folder)
        target = repository.tree(resolved.commit)
        base = base_commit(repository, folder, before)
        differ = diff(base_tree(repository, folder, before, base), target)
        gone = _check_version(repository, folder, target)
        seen = look(folder, before, repository)
        mine = {change.path: change for change in seen.changes}
        made = plan(differ, mine, _agreed(folder, differ, mine, seen.present), seen.present)
        _check(
            folder, made,
            f'Keep it on a branch of its own: kamld commit {quote(str(folder))} -b NEW -m "…". Or take it'
            " back with kamld restore, or move those files away."
            if made.in_the_way else _MOVE,
        )  # fmt: skip
        of = resolved.dataset  # which may have been renamed
        binding = msgspec.structs.replace(
            before, project=of.project, name=of.name, branch=resolved.branch or "", commit=resolved.commit_id
        )
        left = set(mine) - {change.path for change in differ}
        tree = NO_TREE if left or gone else bytes.fromhex(resolved.commit.tree)
        _do(repository, folder, made, binding, seen, tree, progress)
        purged = tuple(change.new for change in differ if change.new and change.new.id in gone)
        done = [c for c in without_purged(repository, differ)[0] if not (c.new and c.new.id in gone)]
        return Switched(before, binding, done, len(left), purged)


def _check_version(repository: Repository, folder: Path, tree: Tree) -> AbstractSet[bytes]:
    """That the folder can be that version; ids of what was purged of it."""
    wanted = tree.entries()
    check_paths(wanted)
    _check_room(folder, wanted.paths)
    return repository.objects.purged(row.tobytes() for row in wanted.ids)


def switch_to_new(repository: Repository, folder: Path, branch: str, *, author: str) -> Switched:
    """Make a branch at the folder's version and go on there; its files stay as they are.

    Raises Conflict (name_taken, ref_kind, folder_busy, other_dataset), Invalid (bad_name, reserved_name).
    """
    with held(folder):
        before = _still(folder)
        dataset = bound_dataset(repository, folder, before)
        repository.set_ref(dataset, branch, "branch", before.commit, author=author, known=True)
        binding = msgspec.structs.replace(
            before, project=dataset.project, name=dataset.name, branch=branch
        )  # fmt: skip
        write_binding(folder, binding)
        return Switched(before, binding, [], len(look(folder, binding, repository).changes))


def restore(
    repository: Repository, folder: Path, paths: Sequence[bytes], commit_id: str, *,
    progress: Progress | None = None,
) -> list[Change]:  # fmt: skip
    """Files and folders as they are in a version, whatever was done to them; what was done to the files.

    A path may be a pattern, unless it is what is there. New files of a person stay. Raises NotFound
    (unknown_path, no_match), and as `switch`.
    """
    with held(folder):
        binding = _still(folder)
        seen = look(folder, binding, repository)
        wanted = _under(repository, commit_id, paths)
        base = wanted if commit_id == binding.commit else _under(repository, binding.commit, paths)
        for path in paths:
            glob = _pattern(path)
            if not path or any(_is_in(one, path) for one in [*wanted, *base]):
                continue
            if glob is None or not any(glob.matches(os.fsdecode(one)) for one in [*wanted, *base]):
                word = f'matches "{glob.pattern}"' if glob else f'is called "{os.fsdecode(path)}"'
                raise NotFound(
                    "no_match" if glob else "unknown_path", f"Nothing in the versions in question {word}.",
                    "kamld status shows what was changed; kamld ls NAME@REVISION what a version has.",
                )  # fmt: skip
        _check_room(folder, list(wanted))
        made, changes = _restoring(folder, seen, base, wanted)
        _check(folder, made, _MOVE)
        _do(repository, folder, made, binding, seen, NO_TREE, progress)
        return changes


def _still(folder: Path) -> Binding:
    binding = read_binding(folder)
    if binding is None:
        raise NotFound("not_bound", f"{folder} is no folder of a dataset.", "kamld checkout NAME gets one.")
    return binding


def _agreed(
    folder: Path, differ: Sequence[Change], mine: dict[bytes, Change], present: Scan
) -> set[bytes]:  # fmt: skip
    """Paths that a person changed to just what is wanted, or that are so and ignored."""
    return {
        change.path
        for change in differ
        if change.new
        and (
            ((own := mine.get(change.path)) and _is_same(folder, own.new, change.new))
            or (state_of(present, change.path) is None and _is_there(folder, change.new))
        )
    }


def _is_there(folder: Path, wanted: Entry) -> bool:
    """Whether a file that no scan shows is just as it is wanted."""
    path = folder / os.fsdecode(wanted.path)
    try:
        state = path.lstat()
    except OSError:  # nothing is there, or nothing that could be told to be the same
        return False
    kind = EXECUTABLE if state.st_mode & stat.S_IXUSR else FILE
    if stat.S_ISLNK(state.st_mode):
        kind = SYMLINK
    elif not stat.S_ISREG(state.st_mode):
        return False
    return (kind, state.st_size) == (wanted.kind, wanted.size) and hash_file(path, kind) == wanted.id


def _is_same(folder: Path, present: Entry | None, wanted: Entry) -> bool:
    if present is None or (present.kind, present.size) != (wanted.kind, wanted.size):
        return False
    return hash_file(folder / os.fsdecode(wanted.path), present.kind) == wanted.id


def _check_room(folder: Path, paths: Sequence[bytes]) -> None:
    try:
        check_room(paths, folder, rules_of(folder / OWN))
    except OSError as error:
        raise filesystem_fault(error, str(folder)) from None


def _check(folder: Path, made: Plan, way: str) -> None:
    """`way`: how to go on. Raises Conflict (in_the_way)."""
    try:
        found = [*made.in_the_way, *(("in the way", path) for path in obstacles(os.fsencode(folder), made))]
    except OSError as error:
        raise filesystem_fault(error, str(folder)) from None
    if not found:
        return
    names = [f"{path.decode('utf-8', 'backslashreplace')} ({word})" for word, path in found[:_NAMED]]
    more = f" and {len(found) - _NAMED:,} more" if len(found) > _NAMED else ""
    raise Conflict(
        "in_the_way",
        f"Work in {folder} would be lost: {', '.join(names)}{more}. Nothing was changed.",
        way,
    )


def _do(
    repository: Repository, folder: Path, made: Plan, binding: Binding, seen: Look, tree: bytes,
    progress: Progress | None,
) -> None:  # fmt: skip
    if not made.write and not made.remove:
        write_binding(folder, binding)
        return
    written, kept = carry_out(repository.objects, folder, made, binding, progress=progress)
    entries = {entry.path: entry for entry, _ in made.write}
    found = scan_settled(folder)
    known, ids = _known(found, seen, written, entries)
    write_index(folder, from_scan(found, ids, known, NO_TREE if kept else tree))


def _known(
    found: Scan, seen: Look, written: dict[bytes, Step], entries: dict[bytes, Entry]
) -> tuple["np.ndarray[tuple[int], np.dtype[np.bool_]]", "np.ndarray[tuple[int, int], np.dtype[np.uint8]]"]:
    """The files that are as we wrote them, or as they were before, and their ids."""
    present = seen.present
    rows = rows_of(found.paths, present.paths)
    known, ids = unchanged(found, rows, present.kinds, present.states, seen.ids)
    known[known] = seen.known[rows[known]]
    for path, step in written.items():
        row = bisect_left(found.paths, path)
        if found.paths[row : row + 1] == [path]:
            size, mtime, _, inode = found.states[row].tolist()
            known[row] = found.kinds[row] == step.kind and (
                step.kind == FOLDER or (size, mtime, inode) == (step.size, step.mtime, step.inode)
            )
            ids[row] = np.frombuffer(entries[path].id, np.uint8)
    return known, ids


def _under(repository: Repository, commit_id: str, paths: Sequence[bytes]) -> dict[bytes, Entry]:
    tree = repository.tree(repository.commit(commit_id))
    found: dict[bytes, Entry] = {}
    for path in paths:
        entries = tree.under(path)
        if not len(entries) and (glob := _pattern(path)):
            rows = tree.entries().rows()
            entries = entries_of([row for row in rows if glob.matches(os.fsdecode(row.path))])
        check_paths(entries)
        found |= {row.path: row for row in entries.rows()}
    return found


def _pattern(path: bytes) -> Glob | None:
    text = os.fsdecode(path)
    return Glob(text) if is_glob(text) else None


def _is_in(path: bytes, folder: bytes) -> bool:
    return path == folder or path.startswith(folder + b"/")


def _restoring(
    folder: Path, seen: Look, base: dict[bytes, Entry], wanted: dict[bytes, Entry]
) -> tuple[Plan, list[Change]]:
    """`base`: what the folder's own version has there; beyond it, what is there is a person's and stays."""
    mine = {change.path: change for change in seen.changes}
    gone = {entry.path for entry in seen.purged}
    base = {path: entry for path, entry in base.items() if path not in gone}
    made, changes = Plan(), []
    for path in sorted(base.keys() | wanted.keys()):
        own, new = mine.get(path), wanted.get(path)
        present = own.new if own else base.get(path)
        there = state_of(seen.present, path)
        if new and there is None and not present and _is_there(folder, new):
            continue
        if new and not (present and _is_wanted(folder, present, new, own)):
            made.write.append((new, there))
        elif new is None and there:
            made.remove.append((path, there))
        else:
            continue
        changes.append(Change(path, present, new))
    going = {path for path, _ in made.remove}
    filled = folders_of([path for path in seen.present.paths if path not in going])
    made.write = [(new, old) for new, old in made.write if new.kind != FOLDER or new.path not in filled]
    return made, [change for change in changes if not _is_folder(change.new) or change.path not in filled]


def _is_folder(entry: Entry | None) -> bool:
    return entry is not None and entry.kind == FOLDER


def _is_wanted(folder: Path, present: Entry, wanted: Entry, own: Change | None) -> bool:
    if own:
        return _is_same(folder, present, wanted)
    return (present.id, present.kind) == (wanted.id, wanted.kind)
