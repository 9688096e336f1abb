"""Committing a folder. The first commit makes the dataset and binds the folder to it."""

from dataclasses import dataclass
from pathlib import Path

from kamld.errors import Conflict, Invalid
from kamld.records.history import Dataset, Kind
from kamld.records.names import MAIN, Name
from kamld.store import Change, Committed, Progress, Repository, Version
from kamld.store.trees import diff, tree_id
from kamld.workspace.binding import Binding, read_binding, write_binding
from kamld.workspace.snapshot import snapshot
from kamld.workspace.stat_index import read_index, write_index


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
    Conflict (name_taken, bound_elsewhere, inside_another), Invalid (empty_folder, special_file), SystemFault.
    """
    binding = read_binding(folder)
    dataset = _dataset_of(repository, folder, binding, name)
    base = binding.commit if binding else None
    with repository.writer() as writer:
        found = snapshot(folder, writer, index=read_index(folder), progress=progress)
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
        branch = binding.branch if binding else MAIN
        landed_in, committed = _land(repository, dataset, name, kind, branch, version, author)
    here = Binding(
        hub=repository.blobs.location, dataset=landed_in.id, project=landed_in.project,
        name=landed_in.name, branch=committed.landed.branch, commit=committed.commit_id,
    )  # fmt: skip
    write_binding(folder, here)
    write_index(folder, found.index(tree))
    before = repository.tree(repository.commit(base)) if base else None
    changes = diff(before, repository.tree(committed.commit))
    return CommitResult(landed_in, dataset is None, base, committed, changes, files, size, writer.bytes_added)


def _dataset_of(
    repository: Repository, folder: Path, binding: Binding | None, name: Name | None
) -> Dataset | None:
    """The dataset to commit to; None: it is still to be made."""
    if binding is None:
        above = next((parent for parent in folder.parents if read_binding(parent)), None)
        if above:
            raise Conflict(
                "inside_another",
                f"{folder} is part of {above}, which is a folder of a dataset already.",
                f'Commit that: kamld commit {above} -m "…"',
            )
        if name and repository.names.find(name):
            raise Conflict(
                "name_taken",
                f"There is a dataset or model {name} already, and {folder} is not a folder of it.",
                f"Give another name with --name, or get its files with: kamld checkout {name.name}",
            )
        return None
    if name and name != binding.full_name:
        raise Conflict(
            "bound_elsewhere",
            f"{folder} is a folder of {binding.full_name} already.",
            "Leave --name out to commit to that one.",
        )
    return repository.names.get(binding.full_name)


def _land(
    repository: Repository, dataset: Dataset | None, name: Name | None, kind: Kind,
    branch: str, version: Version, author: str,
) -> tuple[Dataset, Committed]:  # fmt: skip
    """Land a version that is durable; a dataset made for it goes again if that fails."""
    if dataset:
        return dataset, repository.land_version(dataset, branch, version, author=author)
    assert name is not None
    created = repository.create(name, kind)
    try:
        return created, repository.land_version(created, branch, version, author=author)
    except BaseException:
        repository.names.remove(created)
        raise
