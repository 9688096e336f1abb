"""Datasets for the tests of splits: made in memory, of files given as bytes."""

from collections.abc import Mapping

from kamld.records.history import Split
from kamld.records.kinds import FILE
from kamld.records.names import Name, Reference
from kamld.splits import SplitResult, split
from kamld.splits.rule import fractions
from kamld.store import Repository
from kamld.store.refs.revisions import Resolved
from kamld.store.trees.entries import Entry, entries_of

Files = Mapping[str, bytes]


def deliver(repository: Repository, files: Files, name: str = "d") -> Resolved:
    """The next version of a dataset with these files."""
    full = Name("default", name)
    known = repository.names.find(full)
    dataset = known or repository.create(full, "dataset")
    parents = (repository.resolve(Reference(full)).commit_id,) if known else ()
    with repository.writer() as writer:
        rows = [Entry(path.encode(), FILE, len(data), writer.put(data)) for path, data in files.items()]
        entries = entries_of(sorted(rows, key=lambda row: row.path))
        version = repository.write_version(writer, entries, parents=parents, author="me", message="m")
        repository.land_version(dataset, "main", version, author="me")
    return repository.resolve(Reference(full))


def rule(test: float | None = 0.3, seed: int = 7, **more: str) -> Split:
    return Split(parts=fractions(test) if test else (), part="", seed=seed, thresholds={}, **more)


def cut(repository: Repository, source: Resolved, asked: Split, prefix: str = "d") -> SplitResult:
    names = {part.name: Name("default", f"{prefix}-{part.name}") for part in asked.parts}
    return split(repository, source, asked, names=names or {"": Name("default", prefix)}, author="me")


def contents(repository: Repository, name: str) -> dict[str, bytes]:
    """The files of a dataset's latest version."""
    commit = repository.resolve(Reference(Name("default", name))).commit
    rows = repository.tree(commit).entries().rows()
    return {row.path.decode(): repository.objects.read(row.id) for row in rows}
