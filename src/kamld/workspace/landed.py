"""Where in the hub a folder's commit has landed: asked by who finds that a command was cut off."""

from kamld.records.history import Dataset, Ref
from kamld.store import Repository
from kamld.store.commits import reached
from kamld.store.refs.landing import conflict_branch


def landed_on(repository: Repository, dataset: Dataset, branch: str, commit_id: str) -> str | None:
    """Where a commit for this branch is: there, or on the one that it was kept apart on. None: it
    never landed."""
    kept = conflict_branch(branch, commit_id)
    while ref := repository.refs.find(dataset, kept):
        if _had(repository, dataset, ref, commit_id):
            return kept
        kept += "-again"  # as landing does where the name is something else's
    there = repository.refs.find(dataset, branch)
    return branch if there and _had(repository, dataset, there, commit_id) else None


def _had(repository: Repository, dataset: Dataset, ref: Ref, commit_id: str) -> bool:
    """Whether the commit is in the ref's history, now or before it was moved elsewhere. One that never landed
    may have been collected since, or the hub is an older copy."""
    objects = repository.objects
    if ref.commit and objects.has(bytes.fromhex(commit_id)) and reached(objects, [ref.commit], [commit_id]):
        return True
    moves = repository.refs.history(dataset, ref.name)
    return any(commit_id in (move.commit, move.carries) for move in moves)


def found_on(repository: Repository, dataset: Dataset, branch: str, commit_id: str) -> str | None:
    """That, where nobody knows any more which branch the commit was for; `branch` is the folder's so far."""
    branches = [ref.name for ref in repository.refs.ever(dataset) if ref.kind == "branch"]
    first = min(
        (
            (move.time, name)
            for name in branches
            for move in repository.refs.history(dataset, name)
            if commit_id in (move.commit, move.carries)
        ),
        default=None,
    )
    if first:
        return first[1]  # before it landed nobody else could name it
    asked = [branch, *branches] if branch else branches  # it was merged as it landed: no move names it
    return next((found for one in asked if (found := landed_on(repository, dataset, one, commit_id))), None)
