"""What marking reaches, in batches of any size, against a plain walk."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kamld.records.history import Dataset
from kamld.store import Repository
from kamld.store.gc import find_roots, marking
from kamld.store.gc.marking import LIVE, Marking, id_at
from kamld.store.gc.roots import since
from kamld.store.gc.unlisted import whole_index
from kamld.store.trees import Tree
from tests.store.hubs import Files, commit, fresh, head

NOW = timedelta(0)
contents = st.sampled_from([b"", b"a", b"b" * 50, b"c" * 200_000, bytes(range(256)) * 2000])
many_files = st.dictionaries(st.sampled_from([b"a", b"b", b"d/e", b"d/f"]), contents, min_size=1)
Limits = tuple[int, int, int]
limits = st.tuples(st.integers(1, 3), st.integers(1, 3), st.sampled_from([1, 64, 1_000_000]))


def made(histories: list[Files]) -> tuple[Repository, Dataset]:
    """A line of versions, every third beside it, and something that nobody named."""
    repository, dataset = fresh()
    last: tuple[str, ...] = ()
    for number, files in enumerate(histories):
        branch = f"b{number}" if number % 3 == 2 else "main"
        at = commit(repository, dataset, files, *last, branch=branch, message=f"{number}").commit_id
        last = (at,) if branch == "main" else last
    with repository.writer() as writer:
        writer.put(b"nobody's")
        writer.put(b"nobody's" * 100_000)
    return repository, dataset


def marked(repository: Repository) -> set[bytes]:
    found = whole_index(repository, frozenset())
    begun = Marking(repository, found)
    begun.mark(find_roots(repository, since(30, NOW)))
    assert begun.missing == 0
    return {
        id_at(segment.columns, row)
        for segment, marks in zip(begun.segments, begun.marks, strict=True)
        for row in (marks & LIVE).nonzero()[0].tolist()
    }


def walked(repository: Repository, dataset: Dataset) -> set[bytes]:
    reached: set[bytes] = set()
    for ref in repository.refs.all(dataset):
        for identifier, version in repository.log(ref.commit or ""):
            tree = Tree(repository.objects, bytes.fromhex(version.tree))
            files = [row.id for row in tree.entries().rows()]
            reached |= {bytes.fromhex(identifier), tree.id, *(page.id for page in tree.pages), *files}
            reached |= set(repository.objects.parts(files))
    return reached


@given(st.lists(many_files, min_size=1, max_size=7), limits)
def test_marking_reaches_what_a_plain_walk_does(histories: list[Files], at_once: Limits) -> None:
    repository, dataset = made(histories)
    with pytest.MonkeyPatch.context() as patch:
        for name, limit in zip(("_TREES_AT_ONCE", "_PAGES_AT_ONCE", "_LISTED_AT_ONCE"), at_once, strict=True):
            patch.setattr(marking, name, limit)
        assert marked(repository) == walked(repository, dataset)


def test_what_many_versions_share_is_looked_up_once(monkeypatch: pytest.MonkeyPatch) -> None:
    repository, dataset = fresh()
    files = {b"%03d" % number: b"%d" % number for number in range(200)}
    last = commit(repository, dataset, files).commit_id
    for number in range(20):
        last = commit(repository, dataset, files | {b"000": b"version %d" % number}, last).commit_id
    asked, set_ = [], Marking._set

    def counted(self: Marking, ids: marking.Ids, role: int) -> object:
        asked.append(len(ids))
        return set_(self, ids, role)

    monkeypatch.setattr(Marking, "_set", counted)
    assert marked(repository) == walked(repository, dataset)
    assert head(repository, dataset) == last
    assert sum(asked) < 21 * 8 + 220  # commits, trees, pages of each version; all files once
