"""Taking back the last move of a branch, tag or alias, or the removal of a dataset.

What takes it back is a move itself, so that it can be taken back too. Nothing is made or lost.
"""

from dataclasses import dataclass
from itertools import islice

from kamld.errors import Conflict, NotFound
from kamld.records.history import Dataset, Move, RefKind
from kamld.records.names import MAIN, Name
from kamld.store import Repository

_UNDO, _REDO = "undo: ", "redo: "


@dataclass(frozen=True, slots=True)
class Undone:
    """`back` None: the dataset itself was had back, its refs as they were."""

    dataset: Dataset
    ref: str
    kind: RefKind
    back: Move | None  # the move that was taken back
    commit: str | None  # where the ref is now; None: nowhere, for that move had made it


def undo(repository: Repository, name: Name, ref: str, *, author: str) -> Undone:
    """Raises NotFound (unknown_name, unknown_revision, collected), Conflict (first_version, ref_moved,
    name_taken)."""
    dataset = repository.names.find(name)
    removed = repository.names.removed_from(name) if dataset is None and ref == MAIN else None
    if removed:
        dataset = repository.names.restore(removed)
        main = repository.refs.find(dataset, MAIN)
        return Undone(dataset, MAIN, "branch", None, main.commit if main else None)
    return _undo_move(repository, dataset or repository.names.get(name), ref, author)


def _undo_move(repository: Repository, dataset: Dataset, name: str, author: str) -> Undone:
    there = repository.refs.find(dataset, name)
    if there is None:
        raise NotFound(
            "unknown_revision",
            f'{dataset.name} never had a branch, tag or alias "{name}".',
            f"kamld branch {dataset.name} shows the branches; kamld tag and kamld alias the others.",
        )
    last, *before = islice(repository.refs.history(dataset, name), 2)
    to = before[0].commit if before else None
    if to is None and name == MAIN:
        raise Conflict(
            "first_version",
            f"This is the first version of {dataset.name}: there is none before it.",
            f"To remove all of it: kamld rm {dataset.name}",
        )
    with repository.kept(dataset, to):
        repository.refs.move(
            dataset, name, there.kind, to, expected=last.commit, after=last, author=author,
            reason=_reason(last.reason),
        )  # fmt: skip
    return Undone(dataset, name, there.kind, last, to)


def _reason(of: str) -> str:
    """However often it goes to and fro, one word says which way it went last."""
    if of.startswith(_UNDO):
        return _REDO + of.removeprefix(_UNDO)
    return _UNDO + of.removeprefix(_REDO)
