"""Which dataset a folder's commits belong to: the one that it is bound to, or one still to be made."""

from pathlib import Path

from kamld.errors import Conflict
from kamld.records.history import Dataset
from kamld.records.names import Name
from kamld.store import Repository
from kamld.workspace.binding import Binding, read_binding
from kamld.workspace.ignore import FILE as IGNORE_FILE
from kamld.workspace.ignore import read_ignores
from kamld.workspace.scan import is_left_out
from kamld.workspace.settle import bound_dataset


def dataset_of(
    repository: Repository, folder: Path, binding: Binding | None, name: Name | None
) -> Dataset | None:
    """None: it is still to be made. Raises Conflict (name_taken, bound_elsewhere, inside_another,
    other_dataset), NotFound."""
    if binding is None:
        _check_apart(folder)
        if name and _has_commits(repository, name):
            raise name_taken(name, folder)
        return None
    dataset = bound_dataset(repository, folder, binding)
    present = Name(dataset.project, dataset.name)  # which is not the binding's after `kamld mv`
    if name and name != present:
        raise Conflict(
            "bound_elsewhere", f"{folder} is a folder of {present} already.",
            "Leave --name out to commit to that one.",
        )  # fmt: skip
    return dataset


def name_taken(name: Name, folder: Path) -> Conflict:
    return Conflict(
        "name_taken",
        f"There is a dataset or model {name} already, and {folder} is not a folder of it.",
        f"Give another name with --name, or get its files with: kamld checkout {name.name}",
    )


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
