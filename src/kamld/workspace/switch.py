"""A bound folder becomes another version, or has some of its files back. A person's own changes stay
where they touch nothing that differs; else nothing is changed, and the files are named."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np

from kamld.blobs import filesystem_fault
from kamld.errors import Conflict, NotFound
from kamld.store import Change, Progress, Repository
from kamld.store.refs.revisions import Resolved
from kamld.store.trees import FOLDER, Entry, diff
from kamld.workspace.binding import OWN, Binding, read_binding, write_binding
from kamld.workspace.placing.paths import check_paths, check_room, folders_of, rules_of
from kamld.workspace.scan import Scan
from kamld.workspace.settle import base_commit, base_tree, bound_dataset
from kamld.workspace.stat_index import NO_TREE, from_scan, scan_settled, write_index
from kamld.workspace.status import Look, hash_file, look
from kamld.workspace.switching.hands import Step
from kamld.workspace.switching.journal import carry_out, held
from kamld.workspace.switching.plan import Plan, obstacles, plan, state_of

_NAMED = 10  # files in the way that are named one by one


@dataclass(frozen=True, slots=True)
class Switched:
    """`changes`: what was done to the folder's files. `kept`: a person's own changes that are still there."""

    before: Binding
    binding: Binding
    changes: list[Change]
    kept: int


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
        wanted = target.entries()
        check_paths(wanted)
        _check_room(folder, wanted.paths)
        seen = look(folder, before, repository)
        mine = {change.path: change for change in seen.changes}
        made = plan(differ, mine, _agreed(folder, differ, mine), seen.present)
        _check(folder, made)
        of = resolved.dataset  # which may have been renamed
        binding = msgspec.structs.replace(
            before, project=of.project, name=of.name, branch=resolved.branch or "", commit=resolved.commit_id
        )
        left = set(mine) - {change.path for change in differ}
        tree = NO_TREE if left else bytes.fromhex(resolved.commit.tree)
        _do(repository, folder, made, binding, seen, tree, progress)
        return Switched(before, binding, differ, len(left))


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

    New files of a person stay. Raises NotFound (unknown_path), and as `switch`.
    """
    with held(folder):
        binding = _still(folder)
        seen = look(folder, binding, repository)
        wanted = _under(repository, commit_id, paths)
        base = wanted if commit_id == binding.commit else _under(repository, binding.commit, paths)
        for path in paths:
            if path and not any(_is_in(one, path) for one in [*wanted, *base]):
                raise NotFound(
                    "unknown_path", f'No version in question has "{os.fsdecode(path)}".',
                    "kamld status shows what was changed; kamld ls NAME@REVISION what a version has.",
                )  # fmt: skip
        _check_room(folder, list(wanted))
        made, changes = _restoring(folder, seen, base, wanted)
        _check(folder, made)
        _do(repository, folder, made, binding, seen, NO_TREE, progress)
        return changes


def _still(folder: Path) -> Binding:
    binding = read_binding(folder)
    if binding is None:
        raise NotFound("not_bound", f"{folder} is no folder of a dataset.", "kamld checkout NAME gets one.")
    return binding


def _agreed(folder: Path, differ: Sequence[Change], mine: dict[bytes, Change]) -> set[bytes]:
    """Paths that a person changed to just what is wanted."""
    return {
        change.path
        for change in differ
        if change.new and (own := mine.get(change.path)) and _is_same(folder, own.new, change.new)
    }


def _is_same(folder: Path, present: Entry | None, wanted: Entry) -> bool:
    if present is None or (present.kind, present.size) != (wanted.kind, wanted.size):
        return False
    return hash_file(folder / os.fsdecode(wanted.path), present.kind) == wanted.id


def _check_room(folder: Path, paths: Sequence[bytes]) -> None:
    try:
        check_room(paths, folder, rules_of(folder / OWN))
    except OSError as error:
        raise filesystem_fault(error, str(folder)) from None


def _check(folder: Path, made: Plan) -> None:
    """Raises Conflict (in_the_way)."""
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
        "Keep it with kamld commit (on a branch of its own: kamld commit -b NEW), take it back with"
        " kamld restore, or move those files away.",
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
    found, taken = scan_settled(folder)
    known, ids = _known(found, seen, written, entries)
    write_index(folder, from_scan(found, ids, known, NO_TREE if kept else tree, taken))


def _known(
    found: Scan, seen: Look, written: dict[bytes, Step], entries: dict[bytes, Entry]
) -> tuple["np.ndarray[tuple[int], np.dtype[np.bool_]]", "np.ndarray[tuple[int, int], np.dtype[np.uint8]]"]:
    """The files that are as we wrote them, or as they were before, and their ids."""
    known, ids = np.zeros(len(found), np.bool_), np.zeros((len(found), 32), np.uint8)
    rows = {path: row for row, path in enumerate(seen.present.paths)}
    states, kinds = found.states.tolist(), found.kinds.tolist()
    for row, path in enumerate(found.paths):
        step, before = written.get(path), rows.get(path, -1)
        size, mtime, _, inode = states[row]
        if step:
            known[row] = kinds[row] == step.kind and (
                step.kind == FOLDER or (size, mtime, inode) == (step.size, step.mtime, step.inode)
            )
            ids[row] = np.frombuffer(entries[path].id, np.uint8)
        elif before >= 0 and seen.known[before]:
            known[row] = (seen.present.states[before] == found.states[row]).all()
            ids[row] = seen.ids[before]
    return known, ids


def _under(repository: Repository, commit_id: str, paths: Sequence[bytes]) -> dict[bytes, Entry]:
    tree = repository.tree(repository.commit(commit_id))
    found: dict[bytes, Entry] = {}
    for path in paths:
        entries = tree.under(path)
        check_paths(entries)
        found |= {row.path: row for row in entries.rows()}
    return found


def _is_in(path: bytes, folder: bytes) -> bool:
    return path == folder or path.startswith(folder + b"/")


def _restoring(
    folder: Path, seen: Look, base: dict[bytes, Entry], wanted: dict[bytes, Entry]
) -> tuple[Plan, list[Change]]:
    """`base`: what the folder's own version has there; beyond it, what is there is a person's and stays."""
    mine = {change.path: change for change in seen.changes}
    made, changes = Plan(), []
    for path in sorted(base.keys() | wanted.keys()):
        own, new = mine.get(path), wanted.get(path)
        present = own.new if own else base.get(path)
        there = state_of(seen.present, path)
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
