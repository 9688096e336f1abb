"""Beginning a dataset or model with a folder: it has no files until the first commit, whatever is in the
folder, and a model no number."""

from dataclasses import dataclass
from pathlib import Path

from kamld.errors import Conflict, filesystem_fault
from kamld.records.history import Dataset, Kind
from kamld.records.kinds import FOLDER
from kamld.records.names import MAIN, Name
from kamld.scan.listing import scan
from kamld.store import Repository
from kamld.store.trees.entries import entries_of
from kamld.workspace.binding import Binding
from kamld.workspace.committing.landing import Into
from kamld.workspace.committing.naming import dataset_of
from kamld.workspace.committing.plan import Plan
from kamld.workspace.settle import HubOf, settle

MESSAGE = "begun, without files"


@dataclass(frozen=True, slots=True)
class Begun:
    """`created` False: the folder was bound already."""

    dataset: Dataset
    created: bool
    branch: str
    commit: str
    files: int = 0  # that are in the folder, for the first commit


def begin(
    repository: Repository, folder: Path, hub_of: HubOf, *, name: Name | None, kind: Kind, author: str
) -> Begun:
    """`name`: what it is to be called where the folder is not bound yet. A folder that is not there is
    made.

    Raises Conflict (name_taken, bound_elsewhere, inside_another, other_kind, other_dataset), SystemFault.
    """
    binding = settle(folder, hub_of)
    dataset = dataset_of(repository, folder, binding, name)
    if binding and dataset:
        return _bound(folder, binding, dataset, kind)
    try:
        folder.mkdir(exist_ok=True)
    except OSError as error:
        raise filesystem_fault(error, str(folder)) from None
    with repository.writer() as writer:
        empty = repository.write_version(
            writer, entries_of([]), parents=(), author=author, message=MESSAGE
        )  # fmt: skip
    into = Into(repository, folder, None, name, kind, author)
    made, committed = into.land(Plan(MAIN, True, None, numbered=False), empty)
    found = scan(folder, nested=False, strict=False)
    return Begun(made, True, MAIN, committed.commit_id, int((found.kinds != FOLDER).sum()))


def _bound(folder: Path, binding: Binding, dataset: Dataset, kind: Kind) -> Begun:
    if dataset.kind != kind and kind != "dataset":
        raise Conflict("other_kind", f"{folder} is a folder of the {dataset.kind} {dataset.said} already.")
    return Begun(dataset, False, binding.branch, binding.commit)
