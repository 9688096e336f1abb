"""Committing a folder. The first commit makes the dataset and binds the folder to it.

Killed at any moment, the folder's next commit goes on from what has landed: see `settle`. A dataset
that was made and nothing landed in counts as not made.
"""

import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from shlex import quote

from kamld.errors import Invalid, SystemFault
from kamld.records.history import Dataset, Kind
from kamld.records.names import Name
from kamld.store import Change, Committed, Progress, Repository, Tree, Version
from kamld.store.trees import diff, tree_id
from kamld.store.trees.entries import Added, Entry
from kamld.workspace.binding import read_binding
from kamld.workspace.committing.landing import Into
from kamld.workspace.committing.naming import dataset_of
from kamld.workspace.committing.plan import PLAIN, Plan, Wish, plan_commit
from kamld.workspace.leftovers import remove_left
from kamld.workspace.mounted import FromLayer, Frozen, frozen
from kamld.workspace.settle import same_hub, settle
from kamld.workspace.snapshot import Snapshot, snapshot
from kamld.workspace.stat_index import EMPTY, StatIndex, read_index, write_index
from kamld.workspace.status import Apart, apart_in, without_purged
from kamld.workspace.switching.journal import held


@dataclass(frozen=True, slots=True)
class CommitResult:
    """`committed` None: nothing had changed since `base`. `branch`: what the folder is on now. `changes`:
    since `base`. `amended`: `base` was replaced. `new_branch`: `branch` was made, beside others."""

    dataset: Dataset
    created: bool
    base: str | None
    branch: str
    committed: Committed | None
    changes: Sequence[Change]
    files: int
    bytes: int
    bytes_added: int  # what the hub's packs grew by
    amended: bool = False
    new_branch: bool = False
    purged: tuple[Entry, ...] = ()  # which `base` lists and the new version does not; none of `changes`
    apart: tuple[Apart, ...] = ()  # folders that are bound themselves, and were left out


def commit_folder(
    repository: Repository, folder: Path, message: str | None, *,
    name: Name | None, kind: Kind, author: str, wish: Wish = PLAIN, progress: Progress | None = None,
) -> CommitResult:  # fmt: skip
    """Commit what is in the folder to the branch it is bound to, or as `wish` says.

    `name` is what an unbound folder's dataset is to be called; a bound folder needs none. `message` None:
    that of the commit that is amended. Raises Conflict (name_taken, bound_elsewhere, inside_another,
    other_dataset, unfinished_elsewhere, not_newest), Invalid (empty_folder, special_file), SystemFault;
    after landing too, and the message says so then; and as `plan_commit`.
    """
    settle(folder, partial(same_hub, repository))
    with held(folder, shared=True), frozen(folder) as mount:
        own = mount.own if mount else folder
        binding = read_binding(own)
        dataset = dataset_of(repository, folder, binding, name)
        plan = plan_commit(repository, folder, binding, dataset, wish)
        into = Into(repository, own, binding, dataset or name, kind, author)
        result = _commit(into, plan, message, mount, progress)
        if mount:
            mount.done()
        return result


def _commit(
    into: Into, plan: Plan, message: str | None, mount: Frozen | None, progress: Progress | None
) -> CommitResult:
    folder, base = into.folder, plan.after
    dataset = into.of if isinstance(into.of, Dataset) else None
    known = read_index(folder) if into.binding else EMPTY  # else its files may be in another hub
    try:
        made = _write(into, plan, message, mount, known, progress)
    except SystemFault as fault:
        if fault.code != "missing_object" or known is EMPTY:
            raise
        made = _write(into, plan, message, mount, EMPTY, progress)  # what the index knows was collected
    files, size = len(made.found.entries), int(made.found.entries.sizes.sum())
    apart = apart_in(folder, made.found.scan)
    if made.version is None and dataset:
        if plan.is_new:
            into.make_branch(plan)
        write_index(folder, made.found.index(made.tree))
        return CommitResult(
            dataset, False, base, plan.branch, None, [], files, size, 0, new_branch=plan.is_new,
            apart=apart,
        )  # fmt: skip
    assert made.version is not None
    changes, purged = _changes(into.repository, plan.before, made)
    to, committed = into.land(plan, made.version)
    with suppress(SystemFault):  # it only saves time
        write_index(folder, made.found.index(made.tree))
    return CommitResult(
        to, dataset is None, base, committed.landed.branch, committed, changes, files, size,
        made.bytes_added, plan.replaces is not None, plan.is_new and dataset is not None, purged, apart,
    )  # fmt: skip


def _changes(
    repository: Repository, before: Tree | None, made: "_Made"
) -> tuple[Sequence[Change], tuple[Entry, ...]]:  # fmt: skip
    """Since that version, and what of it was purged."""
    if before is None or made.version is None:
        return Added(made.found.entries), ()
    return without_purged(repository, diff(before, repository.tree(made.version.commit)))


@dataclass(frozen=True, slots=True)
class _Made:
    """`version` None: the one before has these very files."""

    found: Snapshot | FromLayer
    tree: bytes
    version: Version | None
    bytes_added: int


def _write(
    into: Into, plan: Plan, message: str | None, mount: Frozen | None, known: StatIndex,
    progress: Progress | None,
) -> _Made:  # fmt: skip
    repository, folder = into.repository, into.folder
    with repository.writer() as writer:
        found: Snapshot | FromLayer
        if mount and into.binding:
            version_below = repository.tree(repository.commit(into.binding.commit))
            found = mount.snapshot(writer, version_below.entries(), progress)
        else:
            found = snapshot(folder, writer, index=known, nested=False, progress=progress)
        remove_left(found.scan.left)
        if into.binding is None and not len(found.entries):
            raise _nothing(folder, apart_in(folder, found.scan))
        tree = tree_id(found.entries)
        if into.binding and plan.changes_nothing(tree, message):
            return _Made(found, tree, None, 0)
        text = plan.commit.message if message is None and plan.commit else message or ""
        version = repository.write_version(
            writer, found.entries, parents=plan.parents, author=into.author, message=text,
            **plan.about(tree),
        )  # fmt: skip
    return _Made(found, tree, version, writer.bytes_added)


def _nothing(folder: Path, apart: tuple[Apart, ...]) -> Invalid:
    if not apart:
        return Invalid("empty_folder", f"{folder} has no files to commit.", "Put some into it first.")
    first = os.fsdecode(apart[0].path)
    more = f" and {len(apart) - 1:,} more" if apart[1:] else ""
    return Invalid(
        "empty_folder",
        f"{folder} has no files of its own: {first}{more} {'are' if apart[1:] else 'is'} bound already.",
        f'Commit that: kamld commit {quote(str(folder / first))} -m "…"',
    )
