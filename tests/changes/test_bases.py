"""What two sides began with: against brute force over random histories, and merged crosswise."""

from hypothesis import given, settings
from hypothesis import strategies as st

from kamld.changes.bases import find_base
from kamld.changes.merging import Request, merge, plan_merge
from kamld.store import Repository
from kamld.store.commits import merge_bases
from tests.store.hubs import AUTHOR, commit, files_of, fresh, head, put

histories = st.lists(st.sets(st.integers(0, 20), max_size=2), min_size=2, max_size=12)


def ancestors(repository: Repository, commit_id: str) -> set[str]:
    return {identifier for identifier, _ in repository.log(commit_id)}


@settings(max_examples=40, deadline=None)
@given(histories)
def test_bases_are_the_newest_common_ancestors(history: list[set[int]]) -> None:
    repository, _ = fresh()
    made: list[str] = []
    for number, chosen in enumerate(history):
        parents = sorted({made[p % len(made)] for p in chosen}) if made else []
        with repository.writer() as writer:
            entries = put(writer, {b"a": b"%d" % number})
            version = repository.write_version(
                writer, entries, parents=tuple(parents), author=AUTHOR, message="m"
            )
        made.append(version.commit_id)
    for one in made[-3:]:
        for other in made[-3:]:
            shared = ancestors(repository, one) & ancestors(repository, other)
            best = {c for c in shared if not any(c in ancestors(repository, d) - {d} for d in shared)}
            found = merge_bases(repository.objects, one, other)
            assert len(found) == len(set(found))
            assert set(found) == best


def test_histories_that_never_met_have_no_base() -> None:
    repository, dataset = fresh()
    one = commit(repository, dataset, {b"a": b"1", b"same": b"s"}).commit_id
    other = commit(repository, dataset, {b"b": b"2", b"same": b"s"}, branch="other").commit_id
    assert find_base(repository, one, other).commits == ()
    outcome = merge(repository, dataset, Request("main", "other", other), author=AUTHOR)
    assert files_of(repository, outcome.commit) == {b"a": b"1", b"b": b"2", b"same": b"s"}


def test_merged_crosswise() -> None:
    """Each side took the other's change once; who then takes one of them back has changed it since."""
    repository, dataset = fresh()
    root = commit(repository, dataset, {b"a": b"0", b"b": b"0", b"c": b"0"}).commit_id
    left = commit(repository, dataset, {b"a": b"1", b"b": b"0", b"c": b"l"}, root, branch="left").commit_id
    right = commit(repository, dataset, {b"a": b"0", b"b": b"1", b"c": b"r"}, root, branch="right").commit_id
    both = {b"a": b"1", b"b": b"1"}
    ours = commit(repository, dataset, both | {b"c": b"l"}, left, right, branch="left").commit_id
    theirs = commit(
        repository, dataset, both | {b"a": b"0", b"c": b"r"}, right, left, branch="right"
    ).commit_id
    assert set(find_base(repository, ours, theirs).commits) == {left, right}
    plan = plan_merge(repository, ours, Request("left", "right", theirs))
    assert [clash.path for clash in plan.left] == [b"c"]  # even the bases disagree about it
    assert {path: entry and entry.size for path, entry in plan.changes.items()} == {b"a": 1}
    done = merge(repository, dataset, Request("left", "right", theirs, prefer="ours"), author=AUTHOR)
    assert files_of(repository, done.commit) == {b"a": b"0", b"b": b"1", b"c": b"l"}
    assert head(repository, dataset, "left") == done.commit
