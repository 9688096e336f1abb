"""Binding a folder anew, to the version that its files are most like."""

import shutil
from collections.abc import Callable
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from kamld.records.names import Name, Reference
from kamld.scan.marks import OWN
from kamld.store import Repository
from kamld.workspace import CommitResult, folder_status
from kamld.workspace.committing.rebind import _nearest, rebind
from tests.store.hubs import commit as put_commit
from tests.store.hubs import fresh

Commit = Callable[..., CommitResult]
plain = st.dictionaries(st.sampled_from([b"a", b"b", b"c", b"d"]), st.sampled_from([b"1", b"2"]))


@given(st.lists(plain, min_size=1, max_size=6), plain)
def test_the_newest_of_those_that_differ_least(
    versions: list[dict[bytes, bytes]], mine: dict[bytes, bytes]
) -> None:
    repository, dataset = fresh()
    made: list[str] = []
    for files in versions:
        made.append(put_commit(repository, dataset, files, *made[-1:]).commit_id)
    (known,) = [put_commit(repository, dataset, mine, branch="mine").commit]
    entries = repository.tree(known).entries().rows()
    have = {row.path: (row.id, row.kind) for row in entries}
    counts = [sum(one.get(p) != mine.get(p) for p in {*one, *mine}) for one in versions]
    found = _nearest(repository, repository.log(made[-1]), have)
    best = max(at for at, count in enumerate(counts) if count == min(counts))
    assert found
    assert (found[0], found[2]) == (made[best], counts[best])


def test_every_kind_of_file_is_known_again(repository: Repository, folder: Path, commit: Commit) -> None:
    first = commit()
    shutil.rmtree(folder / OWN)
    wanted = repository.resolve(Reference(Name("default", "photos")))
    done = rebind(repository, folder, wanted, lambda _folder, _binding: repository)
    assert first.committed
    assert (done.binding.commit, done.binding.branch, done.differ) == (first.committed.commit_id, "main", 0)
    assert folder_status(folder, done.binding, repository).changes == []
    assert commit(name=None).committed is None
