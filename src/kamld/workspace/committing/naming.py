"""Which dataset a folder's commits belong to: the one that it is bound to, or one still to be made."""

import os
from collections.abc import Iterator
from pathlib import Path
from shlex import quote

from kamld.errors import Conflict
from kamld.records.history import Dataset
from kamld.records.names import Name
from kamld.scan.ignore import FILE as IGNORE_FILE
from kamld.scan.ignore import is_left_out, read_ignores
from kamld.scan.marks import OWN
from kamld.store import Repository
from kamld.workspace.binding import Binding, is_lost, lost, read_binding
from kamld.workspace.settle import HubOf, base_commit, bound_dataset


def dataset_of(
    repository: Repository, folder: Path, binding: Binding | None, name: Name | None
) -> Dataset | None:
    """None: it is still to be made. Raises Conflict (name_taken, bound_elsewhere, inside_another,
    other_dataset), NotFound (not_bound, unknown_name)."""
    if binding is None:
        if is_lost(folder):
            raise lost(folder, name.said if name and _has_commits(repository, name) else "NAME")
        for above, around, inside in _around(folder):
            raise _inside_removed(repository, folder, above, around) or _inside_another(folder, above, inside)
        if name and _has_commits(repository, name):
            raise name_taken(name, folder)
        return None
    dataset = bound_dataset(repository, folder, binding)
    present = Name(dataset.project, dataset.name)  # which is not the binding's after `kamld mv`
    if name and name != present:
        raise Conflict(
            "bound_elsewhere", f"{folder} is a folder of {present} already.",
            f"Leave {'--project' if name.name == present.name else '--name'} out to commit to that one.",
        )  # fmt: skip
    return dataset


def name_taken(name: Name, folder: Path) -> Conflict:
    return Conflict(
        "name_taken",
        f"There is a dataset or model {name} already, and {folder} is not a folder of it.",
        f"Give another name with --name, or get its files with: kamld checkout {name.said}."
        f" If these are its files: kamld init {quote(str(folder))} --bind {name.said}",
    )


def check_no_part(folder: Path, hub_of: HubOf) -> None:
    """That no version above has files there, which the next commit above would drop once the folder is bound
    to something of its own. Of one that was bound before it has none.

    Raises Conflict (inside_another), SystemFault, and as `hub_of` and `base_commit`.
    """
    for above, binding, inside in _around(folder):
        repository = hub_of(above, binding)
        tree = repository.kept_tree(base_commit(repository, above, binding))
        if tree and len(tree.under(os.fsencode(inside))):
            raise _inside_another(folder, above, inside)


def _around(folder: Path) -> Iterator[tuple[Path, Binding, str]]:
    """Bound folders above that do not leave this one out, and where it is in each."""
    for above in folder.parents:
        if binding := read_binding(above):
            inside = str(folder.relative_to(above))
            if not is_left_out(inside, read_ignores(above)):
                yield above, binding, inside


def _inside_another(folder: Path, above: Path, inside: str) -> Conflict:
    return Conflict(
        "inside_another",
        f"{folder} is part of {above}, which is a folder of a dataset already.",
        f'Commit that: kamld commit {quote(str(above))} -m "…". To make {folder.name} a dataset of its own,'
        f" write /{inside}/ into {above / IGNORE_FILE} first.",
    )


def _inside_removed(repository: Repository, folder: Path, above: Path, around: Binding) -> Conflict | None:
    """What is to be said where nobody can commit the folder above, for its dataset was removed."""
    if around.hub != repository.blobs.location or repository.names.bound(around.dataset, around.full_name):
        return None
    return Conflict(
        "inside_another",
        f"{folder} is part of {above}, which is a folder of {around.full_name}, and that was removed.",
        f"To let {above} go, remove the record of it: rm -r {quote(str(above / OWN))}. To have it back: kamld"
        f" undo {around.full_name.said}",
    )


def _has_commits(repository: Repository, name: Name) -> bool:
    """A name that nothing ever landed under is free: who made it was interrupted."""
    dataset = repository.names.find(name)
    return dataset is not None and repository.is_made(dataset)
