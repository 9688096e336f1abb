"""What came of an import, for doors to tell."""

from dataclasses import dataclass

from kamld.errors import Conflict
from kamld.exchange.items import Source
from kamld.records.history import Commit, Dataset
from kamld.records.names import MAIN, Name
from kamld.store import Change, Committed, Repository
from kamld.store.commits import reached
from kamld.store.refs.landing import is_conflict_branch

OTHERWISE = "Import it into another branch: --into NEW"  # of who finds the branch protected


@dataclass(frozen=True, slots=True)
class Imported:
    """`committed` None: nothing had changed since `base`. Where a history came, the figures are those of
    its newest version, and `versions` says how many are new."""

    dataset: Dataset
    source: Source
    created: bool
    base: str | None
    committed: Committed | None
    changes: list[Change]
    files: int
    bytes: int
    bytes_read: int
    bytes_added: int
    versions: int = 1
    tags: tuple[str, ...] = ()  # that are new
    remarks: tuple[str, ...] = ()  # what did not come, and what else is to be known
    branch: str = ""  # nothing had changed, and `base` is kept apart on this one


def is_from(commit: Commit, source: Source) -> bool:
    """A history goes on with itself alone: its folder taken as it lies is something else."""
    said = commit.imported
    return (
        said is not None and said.source == source.source and (said.kind == "dvc") == (source.kind == "dvc")
    )


def earlier(repository: Repository, dataset: Dataset, branch: str, source: Source) -> str | None:
    """The newest commit of the branch that came from this source."""
    ref = repository.refs.find(dataset, branch) or repository.refs.find(dataset, MAIN)
    for identifier, commit in repository.log(ref.commit) if ref and ref.commit else ():
        if is_from(commit, source):
            return identifier
    return None


def kept_apart(repository: Repository, dataset: Dataset, into: str, source: Source) -> tuple[str, str] | None:
    """The newest import from this source that was kept apart from a branch and is still: its own, and it."""
    found = []
    main = repository.refs.find(dataset, into)
    for ref in repository.live_refs(dataset):
        if ref.kind == "branch" and ref.commit and is_conflict_branch(ref.name, into):
            commit = repository.commit(ref.commit)
            theirs = main and main.commit and reached(repository.objects, [main.commit], [ref.commit])
            if is_from(commit, source) and not theirs:
                found.append((commit.time, ref.name, ref.commit))
    return max(found)[1:] if found else None


def name_taken(name: Name, source: Source) -> Conflict:
    return Conflict(
        "name_taken",
        f"There is a dataset or model {name} already, and it was not imported from {source.source}.",
        "Give another NAME, or put it on a branch of its own with --into.",
    )
