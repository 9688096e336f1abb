"""Protecting a branch, so that only merges whose checks pass move it; lifting that; what it forbids."""

from collections.abc import Sequence

from kamld import clock
from kamld.changes.checks import parse_rule
from kamld.errors import Conflict, Invalid, NotFound
from kamld.records.history import Dataset, Protection, Ref
from kamld.store import Repository


def protect(
    repository: Repository, dataset: Dataset, branch: str, *, author: str, require: Sequence[str] = (),
    checks: Sequence[str] = (),
) -> Protection:  # fmt: skip
    """What was asked for before goes. Raises NotFound (unknown_ref), Invalid (not_a_branch, bad_rule)."""
    _branch(repository, dataset, branch)
    for rule in require:
        parse_rule(rule)
    for check in checks:
        if not check.strip():
            raise Invalid("bad_rule", "An empty command checks nothing.", 'For example: --check "make test"')
    made = Protection(author=author, time=clock.now(), require=tuple(require), checks=tuple(checks))
    repository.refs.protect(dataset, branch, made)
    return made


def unprotect(repository: Repository, dataset: Dataset, branch: str) -> bool:
    """Whether it was protected. Raises NotFound (unknown_ref), Invalid (not_a_branch)."""
    was = _branch(repository, dataset, branch).protection
    repository.refs.protect(dataset, branch, None)
    return was is not None


def check_removable(repository: Repository, dataset: Dataset) -> None:
    """Raises Conflict (protected_branch) where the name would be free for what passed no check."""
    guarded = [ref.name for ref in repository.live_refs(dataset) if ref.protection]
    if guarded:
        raise Conflict(
            "protected_branch",
            f"{dataset.name} has a protected branch, {guarded[0]}; it is not removed.",
            f"Lift that first: kamld branch {dataset.name}@{guarded[0]} --unprotect",
        )


def _branch(repository: Repository, dataset: Dataset, name: str) -> Ref:
    ref = repository.refs.find(dataset, name)
    if ref is None or ref.commit is None:
        raise NotFound(
            "unknown_ref",
            f'{dataset.name} has no branch "{name}".',
            f"kamld branch {dataset.name} shows those there are.",
        )
    if ref.kind != "branch":
        raise Invalid("not_a_branch", f"{name} is a {ref.kind}; only a branch can be protected.")
    return ref
