"""Binding a folder that has files and no record of where they come from: it was lost, or is damaged, or names
a version that the hub has not got. No file is touched; what differs is a change of the person's then.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from shlex import quote

import numpy as np
from numpy.typing import NDArray

from kamld.errors import Conflict, NotFound, SystemFault
from kamld.records.history import Commit, Dataset
from kamld.scan.listing import Scan, scan
from kamld.store import Repository
from kamld.store.refs.revisions import Resolved
from kamld.store.trees import Tree, diff
from kamld.workspace.binding import Binding, read_binding, write_binding
from kamld.workspace.committing.naming import check_no_part
from kamld.workspace.settle import HubOf, finish_left, same_hub
from kamld.workspace.stat_index import NO_TREE, from_scan, read_index, write_index
from kamld.workspace.status import hash_files
from kamld.workspace.switching.journal import held

_LOOKED_AT = 1000  # versions of a branch, newest first
Have = dict[bytes, tuple[bytes, int]]  # path: id, kind


@dataclass(frozen=True, slots=True)
class Rebound:
    """`same`: files that are as in the version; `differ`: those that are not, of either side."""

    dataset: Dataset
    binding: Binding
    commit: Commit
    same: int
    differ: int


def rebind(repository: Repository, folder: Path, resolved: Resolved, hub_of: HubOf) -> Rebound:
    """To the version that was asked for; of a branch, to that of its versions which the files are most like,
    so that nobody's change since then looks as if it had been taken back here. `hub_of` opens any folder's.

    Raises Conflict (bound_elsewhere, inside_another, nothing_in_common, unfinished_elsewhere, folder_busy,
    is_a_mount), SystemFault, and as `hub_of` and `base_commit`.
    """
    finish_left(folder, partial(_hub_of_left, repository, hub_of))
    with held(folder):
        _check_unbound(folder, hub_of)
        check_no_part(folder, hub_of)
        present = scan(folder, nested=False, strict=False)
        known, ids = read_index(folder).known(present)
        hash_files(folder, present, known, ids)
        have = _had(present, ids)
        versions = islice(repository.log(resolved.commit_id), _LOOKED_AT if resolved.branch else 1)
        found = _nearest(repository, versions, have)
        before = repository.tree(found[1]) if found else None
        same = _in_common(before, have) if before else 0
        if found is None or before is None or not same:
            raise _nothing_in_common(folder, resolved)
        commit_id, commit, differ = found
        of = resolved.dataset
        binding = Binding(
            hub=repository.blobs.location, dataset=of.id, project=of.project, name=of.name,
            branch=resolved.branch or "", commit=commit_id, hub_id=repository.hub.id,
        )  # fmt: skip
        write_index(folder, from_scan(present, ids, _as_in(present, before, ids), NO_TREE))
        write_binding(folder, binding)
    return Rebound(of, binding, commit, same, differ)


def _hub_of_left(repository: Repository, hub_of: HubOf, folder: Path, binding: Binding) -> Repository:
    """Of a commit that a kill cut off: what its hub is not there any more to say, this one may know."""
    there = _hub_there(folder, binding, hub_of)
    return same_hub(repository, folder, binding) if there else repository


def _check_unbound(folder: Path, hub_of: HubOf) -> None:
    try:
        binding = read_binding(folder)
    except SystemFault as fault:
        if fault.code != "damaged_record":
            raise
        return
    if binding and not _is_lost(folder, binding, hub_of):
        raise Conflict(
            "bound_elsewhere", f"{folder} is a folder of {binding.full_name} already.",
            f"To make it another version of that: kamld switch {quote(str(folder))} REVISION",
        )  # fmt: skip


def _had(present: Scan, ids: NDArray[np.uint8]) -> Have:
    blob, kinds = ids.tobytes(), present.kinds.tolist()
    return {path: (blob[32 * row : 32 * row + 32], kinds[row]) for row, path in enumerate(present.paths)}


def _is_lost(folder: Path, binding: Binding, hub_of: HubOf) -> bool:
    """Whether the hub that the folder is bound to is not there any more, or has not what it is bound to."""
    there = _hub_there(folder, binding, hub_of)
    if there is None:
        return True
    found = there.names.bound(binding.dataset, binding.full_name)
    return found is None or not there.objects.has(bytes.fromhex(binding.commit))


def _hub_there(folder: Path, binding: Binding, hub_of: HubOf) -> Repository | None:
    """None: there is none at its place, or another."""
    try:
        return hub_of(folder, binding)
    except NotFound as error:
        if error.code not in ("hub_gone", "other_hub"):
            raise
        return None


def _nearest(
    repository: Repository, log: Iterable[tuple[str, Commit]], have: Have
) -> tuple[str, Commit, int] | None:
    """The newest of those versions that differ from the folder in the fewest paths, and in how many."""
    last: Tree | None = None
    best: tuple[str, Commit, int] | None = None
    differ = len(have)
    for commit_id, commit in log:
        tree = repository.kept_tree(commit)
        if tree is None:  # a checkpoint that expired
            continue
        for change in diff(last, tree):
            mine = have.get(change.path)
            before, now = ((one.id, one.kind) if one else None for one in (change.old, change.new))
            differ += (mine != now) - (mine != before)
        last = tree
        if best is None or differ < best[2]:
            best = (commit_id, commit, differ)
    return best


def _in_common(tree: Tree, have: Have) -> int:
    return sum(have.get(row.path) == (row.id, row.kind) for row in tree.entries().rows())


def _as_in(present: Scan, tree: Tree, ids: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Those of the files that the version has too: others may not be in the hub."""
    there = {row.path: row.id for row in tree.entries().rows()}
    return np.array([there.get(p) == ids[row].tobytes() for row, p in enumerate(present.paths)], np.bool_)


def _nothing_in_common(folder: Path, resolved: Resolved) -> Conflict:
    name = resolved.dataset.said
    where = f"any version of {name}@{resolved.branch}" if resolved.branch else f"that version of {name}"
    return Conflict(
        "nothing_in_common", f"No file in {folder} is as in {where}, so it cannot be a folder of it.",
        f"Another version: kamld init {quote(str(folder))} --bind NAME@REVISION. As something of its own:"
        f' kamld commit {quote(str(folder))} --name OTHER -m "…"',
    )  # fmt: skip
