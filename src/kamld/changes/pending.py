"""Merges that wait, as people ask for them: into which branch, and what to say where none does."""

from kamld.errors import Conflict, NotFound
from kamld.records.history import Dataset
from kamld.records.merging import PendingMerge
from kamld.records.names import MAIN
from kamld.store import Repository
from kamld.store.refs.pending import is_open


def find_pending(repository: Repository, dataset: Dataset, branch: str | None) -> PendingMerge:
    """The merge into that branch which waits. None: into main, or, where none does, into whatever branch
    one does. Raises NotFound (no_merge), Conflict (which_merge)."""
    pending = repository.merges.find(dataset, branch or MAIN)
    if pending:
        return pending
    others = waiting(repository, dataset) or _kept(repository, dataset)
    if branch is None and len(others) == 1:
        return others[0]
    words = [f"kamld merge {dataset.said}{into(other.branch)}" for other in others]
    if branch is None and others:
        raise Conflict(
            "which_merge", f"{len(others)} merges of {dataset.said} wait, none of them into main.",
            f"Say which: {'; '.join(words)}",
        )  # fmt: skip
    at = into(branch or MAIN)
    raise NotFound(
        "no_merge",
        f"No merge into {branch or MAIN} of {dataset.said} waits for anybody.",
        f"One does elsewhere: {words[0]}" if words else f"Begin one: kamld merge {dataset.said} FROM{at}",
    )


def waiting(repository: Repository, dataset: Dataset) -> list[PendingMerge]:
    """All merges of the dataset that wait, by their branches."""
    objects, refs = repository.objects, repository.refs
    return [one for one in _kept(repository, dataset) if is_open(objects, refs, dataset, one)]


def _kept(repository: Repository, dataset: Dataset) -> list[PendingMerge]:
    """Also those that have landed, and whose end was cut off."""
    found = (pending for pending in repository.merges.all() if pending.dataset == dataset.id)
    return sorted(found, key=lambda pending: pending.branch)


def into(branch: str) -> str:
    """What a command about a merge needs beside the dataset's name."""
    return "" if branch == MAIN else f" --into {branch}"


def still_waits(dataset: Dataset, pending: PendingMerge) -> Conflict:
    again = f"kamld merge {dataset.said}{into(pending.branch)}"
    return Conflict(
        "merge_waiting",
        f"A merge of {pending.source} into {pending.branch} of {dataset.said} waits for decisions.",
        f"See it: {again}; give it up: {again} --abort",
    )
