"""Small hubs for the tests of the store: datasets made from dicts of files."""

from collections.abc import Mapping
from typing import Any

from kamld.blobs import Blobs, MemoryBlobs
from kamld.records.history import Dataset, Kind
from kamld.records.kinds import FILE
from kamld.records.names import Name
from kamld.store import Entries, Repository, Tree, open_hub
from kamld.store.objects import Writer
from kamld.store.repository import Committed
from kamld.store.trees.entries import Entry, entries_of

Files = Mapping[bytes, bytes]
AUTHOR = "Ada"


def fresh(blobs: Blobs | None = None, kind: Kind = "dataset") -> tuple[Repository, Dataset]:
    repository = open_hub(MemoryBlobs() if blobs is None else blobs, threads=2)
    return repository, repository.create(Name("p", "d"), kind)


def put(writer: Writer, files: Files) -> Entries:
    return entries_of(
        [Entry(path, FILE, len(data), writer.put(data)) for path, data in sorted(files.items())]
    )


def commit(
    repository: Repository,
    dataset: Dataset,
    files: Files,
    *parents: str,
    branch: str = "main",
    message: str = "m",
    **about: Any,
) -> Committed:
    with repository.writer() as writer:
        entries = put(writer, files)
        version = repository.write_version(
            writer, entries, parents=parents, author=AUTHOR, message=message, **about
        )
    return repository.land_version(dataset, branch, version, author=AUTHOR)


def files_of(repository: Repository, commit_id: str) -> dict[bytes, bytes]:
    """Every file of a commit, its content verified."""
    tree: Tree = repository.tree(repository.commit(commit_id))
    return {row.path: repository.objects.read(row.id) for row in tree.entries().rows()}


def head(repository: Repository, dataset: Dataset, branch: str = "main") -> str:
    ref = repository.refs.find(dataset, branch)
    assert ref is not None
    assert ref.commit is not None
    return ref.commit


def check_whole(repository: Repository, dataset: Dataset) -> set[str]:
    """Read everything that any ref names or named, with all that came before; the commits' ids."""
    found: set[str] = set()
    for ref in repository.refs.ever(dataset):
        named = {move.commit for move in repository.refs.history(dataset, ref.name) if move.commit}
        for start in named - found:
            found |= {identifier for identifier, _ in repository.log(start)}
    for identifier in found:
        files_of(repository, identifier)
    return found
