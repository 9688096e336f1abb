"""Committing a folder. The first commit makes the dataset and binds the folder to it.

Killed at any moment, the folder's next commit goes on from what has landed: see `settle`. A dataset
that was made and nothing landed in counts as not made.
"""

from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from kamld import ids
from kamld.errors import Conflict, Invalid, SystemFault
from kamld.records.history import Dataset, Kind
from kamld.records.names import MAIN, Name
from kamld.store import Change, Committed, Progress, Repository, Version
from kamld.store.refs.landing import Landed, move_branch
from kamld.store.trees import diff, tree_id
from kamld.workspace.binding import Binding, read_binding
from kamld.workspace.ignore import FILE as IGNORE_FILE
from kamld.workspace.ignore import read_ignores
from kamld.workspace.leftovers import remove_left
from kamld.workspace.scan import is_left_out
from kamld.workspace.settle import announced, bound_dataset, finish, settle
from kamld.workspace.snapshot import snapshot
from kamld.workspace.stat_index import EMPTY, read_index, write_index
from kamld.workspace.switching.journal import held


@dataclass(frozen=True, slots=True)
class CommitResult:
    """`committed` None: nothing had changed since `base`."""

    dataset: Dataset
    created: bool
    base: str | None
    committed: Committed | None
    changes: list[Change]
    files: int
    bytes: int
    bytes_added: int  # what the hub's packs grew by


def commit_folder(
    repository: Repository, folder: Path, message: str, *,
    name: Name | None, kind: Kind, author: str, progress: Progress | None = None,
) -> CommitResult:  # fmt: skip
    """Commit what is in the folder to the branch it is bound to.

    `name` is what an unbound folder's dataset is to be called; a bound folder needs none. Raises
    Conflict (name_taken, bound_elsewhere, inside_another, other_dataset, unfinished_elsewhere),
    Invalid (empty_folder, special_file), SystemFault; after landing too, and the message says so then.
    """
    settle(folder, partial(_same_hub, repository))
    with held(folder, shared=True):
        return _commit(repository, folder, message, name, kind, author, progress)


def _commit(
    repository: Repository, folder: Path, message: str, name: Name | None, kind: Kind, author: str,
    progress: Progress | None,
) -> CommitResult:  # fmt: skip
    binding = read_binding(folder)
    dataset = _dataset_of(repository, folder, binding, name)
    if binding and not binding.branch:
        raise Conflict(
            "no_branch",
            f"{folder} is on no branch, so a commit would have no place.",
            f"Make one here, then commit: kamld switch {folder} NEW-BRANCH -c",
        )
    base = binding.commit if binding else None
    with repository.writer() as writer:
        known = read_index(folder) if binding else EMPTY  # else its files may be in another hub
        found = snapshot(folder, writer, index=known, progress=progress)
        remove_left(found.scan.left)
        files, size = len(found.entries), int(found.entries.sizes.sum())
        if base is None and not files:
            raise Invalid("empty_folder", f"{folder} has no files to commit.", "Put some into it first.")
        tree = tree_id(found.entries)
        if dataset and base and tree.hex() == repository.commit(base).tree:
            write_index(folder, found.index(tree))
            return CommitResult(dataset, False, base, None, [], files, size, 0)
        version = repository.write_version(
            writer, found.entries, parents=(base,) if base else (), author=author, message=message
        )
    before = repository.tree(repository.commit(base)) if base else None
    changes = diff(before, repository.tree(version.commit))
    into, committed = _land(repository, folder, binding, dataset or name, kind, version, author)
    with suppress(SystemFault):  # it only saves time
        write_index(folder, found.index(tree))
    return CommitResult(into, dataset is None, base, committed, changes, files, size, writer.bytes_added)


def _same_hub(repository: Repository, folder: Path, binding: Binding) -> Repository:
    if binding.hub != repository.blobs.location:
        raise Conflict(
            "unfinished_elsewhere",
            f"A commit of {folder} to the hub at {binding.hub} was interrupted.",
            f"This finishes it: kamld --hub {binding.hub} status {folder}",
        )
    return repository


def _dataset_of(
    repository: Repository, folder: Path, binding: Binding | None, name: Name | None
) -> Dataset | None:
    """The dataset to commit to; None: it is still to be made."""
    if binding is None:
        _check_apart(folder)
        if name and _has_commits(repository, name):
            raise _name_taken(name, folder)
        return None
    if name and name != binding.full_name:
        raise Conflict(
            "bound_elsewhere",
            f"{folder} is a folder of {binding.full_name} already.",
            "Leave --name out to commit to that one.",
        )
    return bound_dataset(repository, folder, binding)


def _check_apart(folder: Path) -> None:
    """Raises Conflict (inside_another) unless the bound folders above leave this one out."""
    for above in folder.parents:
        if read_binding(above) is None:
            continue
        inside = str(folder.relative_to(above))
        if not is_left_out(inside, read_ignores(above)):
            raise Conflict(
                "inside_another",
                f"{folder} is part of {above}, which is a folder of a dataset already.",
                f'Commit that: kamld commit {above} -m "…". To make {folder.name} a dataset of its own,'
                f" write /{inside}/ into {above / IGNORE_FILE} first.",
            )


def _has_commits(repository: Repository, name: Name) -> bool:
    """A name that nothing ever landed under is free: who made it was interrupted."""
    dataset = repository.names.find(name)
    return dataset is not None and repository.is_made(dataset)


def _name_taken(name: Name, folder: Path) -> Conflict:
    return Conflict(
        "name_taken",
        f"There is a dataset or model {name} already, and {folder} is not a folder of it.",
        f"Give another name with --name, or get its files with: kamld checkout {name.name}",
    )


def _land(
    repository: Repository, folder: Path, binding: Binding | None, of: Dataset | Name | None, kind: Kind,
    version: Version, author: str,
) -> tuple[Dataset, Committed]:  # fmt: skip
    """Land a version that is durable, and bind the folder to it."""
    assert of is not None
    dataset = repository.create(of, kind) if isinstance(of, Name) else of
    here = Binding(
        hub=repository.blobs.location, dataset=dataset.id, project=dataset.project, name=dataset.name,
        branch=binding.branch if binding else MAIN, commit=version.commit_id,
    )  # fmt: skip
    with announced(folder, here):
        if isinstance(of, Name):
            committed = _land_first(repository, dataset, version, author)
            if committed is None:
                raise _name_taken(of, folder)
        else:
            committed = repository.land_version(dataset, here.branch, version, author=author)
        try:
            finish(folder, here, committed.landed.branch)
        except SystemFault as fault:
            raise _not_bound(folder, version, fault) from fault
    return dataset, committed


def _land_first(repository: Repository, dataset: Dataset, version: Version, author: str) -> Committed | None:
    """None: somebody else's first commit was faster, and has nothing to do with this one."""
    commit_id, subject = version.commit_id, version.commit.message.split("\n")[0][:100]
    reason = f"commit: {subject}" if subject else "commit"
    move = move_branch(repository.refs, dataset, MAIN, commit_id, None, author, reason)
    return Committed(commit_id, version.commit, Landed("moved", MAIN, commit_id, move)) if move else None


def _not_bound(folder: Path, version: Version, fault: SystemFault) -> SystemFault:
    why = {"no_space": "its disk is full.", "no_permission": "no permission to write there."}
    return SystemFault(
        fault.code,
        f"Committed as {ids.short(version.commit_id)}, but {folder} could not be bound to that:"
        f" {why.get(fault.code, fault.message)}",
        "Mend that; the next kamld commit or kamld status of the folder then finishes it.",
    )
