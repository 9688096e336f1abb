"""Branches, tags and aliases that a person named: the branch that something is to be done to, and removing
one of the three. Making them is the store's."""

from kamld.errors import Invalid, NotFound, UsageError
from kamld.records.history import Dataset, Ref, RefKind
from kamld.records.names import MAIN
from kamld.store import Repository
from kamld.store.refs.revisions import reserved_version


def find_branch(repository: Repository, dataset: Dataset, name: str, only: str) -> Ref:
    """`only`: what nothing but a branch can be. Raises NotFound (unknown_revision), Invalid
    (not_a_branch)."""
    ref = repository.refs.find(dataset, name)
    if ref is None or ref.commit is None:
        raise NotFound(
            "unknown_revision",
            f'{dataset.said} has no branch "{name}".',
            f"kamld branch {dataset.said} shows those there are.",
        )
    if ref.kind != "branch":
        raise Invalid("not_a_branch", f"{name} is a {ref.kind}; only a branch can be {only}.")
    return ref


def merged_into(branch: str) -> str:
    """Why a branch that a commit was kept apart on has gone, as its log says."""
    return f"merged into {branch}"


def remove_ref(repository: Repository, dataset: Dataset, kind: RefKind, name: str, *, author: str) -> str:
    """The commit that it named, which stays. Raises NotFound (unknown_revision), Invalid (reserved_name),
    Conflict (protected_branch, ref_moved), UsageError for main."""
    ref = repository.refs.find(dataset, name)
    if ref is None or ref.commit is None or ref.kind != kind:
        if kind == "tag" and (ref is None or ref.commit is None) and reserved_version(dataset, name):
            raise Invalid(
                "reserved_name",
                f"{name} is the number of a version of {dataset.said}, not a tag.",
                "Numbers stay: none is ever given twice.",
            )
        other = f" {name} is a {ref.kind}." if ref and ref.commit else ""
        raise NotFound(
            "unknown_revision",
            f'{dataset.said} has no {kind} "{name}".{other}',
            f"kamld {kind} {dataset.said}",
        )
    if kind == "branch" and name == MAIN:
        raise UsageError("usage", "main is what the name alone means; it cannot be removed.")
    repository.refs.move(
        dataset, name, kind, None, expected=ref.commit, author=author, reason=f"remove {kind}"
    )
    return ref.commit
