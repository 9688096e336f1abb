"""Processes that work on one hub without knowing of each other: what one finds gone, and what nobody
may rely on. Also as on two machines, which cannot wait for each other's turn."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta

import pytest

from kamld.blobs import MemoryBlobs
from kamld.records.history import Dataset
from kamld.store import Repository, open_hub
from kamld.store.gc import collect
from kamld.store.index import FANOUT
from kamld.store.packs import key
from tests.store.faults import FaultyBlobs, Plan
from tests.store.hubs import AUTHOR, check_whole, commit, files_of, fresh, head, put
from tests.store.test_gc import data, drop_branch

NOW = timedelta(0)


class Apart(MemoryBlobs):
    """As if everybody were on a machine of their own: each believes to be alone."""

    @contextmanager
    def turn(self, what: str, seconds: float) -> Iterator[bool]:
        yield True


def named(repository: Repository) -> set[str]:
    return {key(name) for segment in repository.index.segments() for name in segment.packs}


def there(repository: Repository) -> set[str]:
    return {listed.key for listed in repository.blobs.list("packs/")}


def check_main(repository: Repository, dataset: Dataset) -> None:
    for identifier, _ in repository.log(head(repository, dataset)):
        files_of(repository, identifier)


def check_not_relied_on(writing: Repository, collecting: Repository, dataset: Dataset) -> None:
    """What was condemned is deleted while somebody who began later writes the same content."""
    last = head(collecting, dataset)
    with writing.writer() as writer:
        entries = put(writer, {b"found": data(1)})
        assert collect(collecting, 0, NOW).deleted
        version = writing.write_version(writer, entries, parents=(last,), author=AUTHOR, message="m")
    writing.land_version(dataset, "main", version, author=AUTHOR)
    fresh_one = open_hub(collecting.blobs)
    check_main(fresh_one, dataset)
    assert files_of(fresh_one, version.commit_id) == {b"found": data(1)}


def commit_on(repository: Repository, dataset: Dataset, count: int) -> None:
    for number in range(count):
        last = head(repository, dataset)
        commit(repository, dataset, {b"a": b"%d" % number}, last)


def test_what_was_joined_and_then_condemned_is_not_relied_on_by_who_has_not_looked_since() -> None:
    repository, dataset = fresh()
    one = commit(repository, dataset, {b"a": b"x"}).commit_id
    commit(repository, dataset, {b"lost": data(1)}, one, branch="side")
    sleeper = open_hub(repository.blobs)
    assert len(sleeper.index.segments()) == 2
    commit_on(repository, dataset, FANOUT)  # joins the small packs
    drop_branch(repository, dataset, "side")
    assert collect(repository, 0, NOW).condemned == 1
    check_not_relied_on(sleeper, repository, dataset)


def test_rows_that_two_who_merged_at_once_left_are_not_relied_on(monkeypatch: pytest.MonkeyPatch) -> None:
    blobs = Apart()
    repository, dataset = fresh(blobs)
    one = commit(repository, dataset, {b"a": b"x"}).commit_id
    commit(repository, dataset, {b"lost": data(1)}, one, branch="side")
    commit_on(repository, dataset, FANOUT - 3)
    stale, last = open_hub(blobs), head(repository, dataset)
    with stale.writer() as writer:
        writer.put(data(2))
        before = stale.index._load()
        commit(repository, dataset, {b"b": b"1"}, last)  # merges and joins
        monkeypatch.setattr(stale.index, "_load", lambda: [*before, *stale.index.segments()[len(before) :]])
    monkeypatch.undo()
    after = open_hub(blobs)
    assert named(after) - there(after), "no row names a pack that is gone: this tests nothing"
    check_whole(after, dataset)
    drop_branch(after, dataset, "side")
    assert collect(after, 0, NOW).condemned
    late = open_hub(blobs)
    check_not_relied_on(late, after, dataset)


def test_one_look_for_all_packs_that_went(monkeypatch: pytest.MonkeyPatch) -> None:
    """A reader below whom many packs were joined lists them once, not once for each."""
    repository, dataset = fresh()
    commit(repository, dataset, {b"a": data(1)})
    commit_on(repository, dataset, FANOUT - 2)
    reader = open_hub(repository.blobs)
    before = reader.index.segments()
    commit(repository, dataset, {b"a": b"last"}, head(repository, dataset))
    assert len(there(repository)) < len(before)
    misses = []
    monkeypatch.setattr(reader.index, "_packs", lambda: misses.append(1) or set())
    check_whole(reader, dataset)
    assert len(misses) <= 1


def test_who_commits_waits_for_nobody_who_merges() -> None:
    repository, dataset = fresh()
    commit_on_first = commit(repository, dataset, {b"a": data(1)}).commit_id
    with repository.blobs.turn("index", 0) as alone:
        assert alone
        for number in range(2 * FANOUT):  # nobody is waited for by who commits
            commit(repository, dataset, {b"a": b"%d" % number}, head(repository, dataset))
        assert len(repository.index.segments()) > FANOUT
    commit(repository, dataset, {b"a": b"last"}, head(repository, dataset))
    assert len(repository.index.segments()) <= FANOUT
    assert set(files_of(repository, commit_on_first)) == {b"a"}


def test_what_a_small_commit_costs() -> None:
    """One lease, one pack, one part of the index, one move: each waits for the disk, or is seen by all."""
    repository, dataset = fresh()
    one = commit(repository, dataset, {b"a": data(1)}).commit_id
    plan = Plan()
    commit(open_hub(FaultyBlobs(repository.blobs, plan)), dataset, {b"a": data(2)}, one)
    kinds = [write.split("/")[0] for write in plan.writes]
    assert kinds == [
        "post leases", "put packs", "flush", "put index", "flush", "swap refs", "delete leases",
    ]  # fmt: skip


def test_rebuilding_waits_for_who_merges() -> None:
    repository, dataset = fresh()
    commit(repository, dataset, {b"a": data(1)})
    with ThreadPoolExecutor(1) as threads:
        with repository.blobs.turn("index", 0) as alone:
            assert alone
            rebuilding = threads.submit(open_hub(repository.blobs).rebuild_index)
            time.sleep(0.1)
            assert not rebuilding.done()
        assert rebuilding.result()[1] == ()
    check_whole(open_hub(repository.blobs), dataset)
