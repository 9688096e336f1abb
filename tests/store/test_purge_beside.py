"""Purging beside those who write, and beside other purges: whoever writes loses nothing, and what was
purged does not come back."""

from contextlib import suppress
from dataclasses import dataclass

import pytest

from kamld.blobs import MemoryBlobs
from kamld.errors import Conflict
from kamld.records.history import Dataset
from kamld.records.kinds import FILE
from kamld.store import Repository, open_hub
from kamld.store.fsck import repair
from kamld.store.gc import collect
from kamld.store.leases import Held
from kamld.store.purge import finish, unfinished
from kamld.store.trees.entries import Entry, entries_of
from tests.store.faults import FaultyBlobs, Stepping
from tests.store.hubs import AUTHOR, commit, files_of, fresh
from tests.store.test_purge import (
    LARGE,
    OTHER,
    SECRET,
    copied,
    everything_is_sound,
    identifier,
    remove,
    traces,
)


@pytest.mark.parametrize("commits", [1, 6], ids=["plain", "small packs are joined"])
def test_a_writer_at_any_two_moments_of_a_purge(commits: int) -> None:
    """It opens at one, and puts a file that shares chunks with what is purged, and lands at the other."""
    start = MemoryBlobs()
    repository, dataset = fresh(start)
    base = commit(repository, dataset, {b"large": LARGE, b"b": b"two" * 30}).commit_id
    for number in range(1, commits):
        files = {b"large": LARGE, b"b": b"two" * 30, b"n": b"%d" % number}
        base = commit(repository, dataset, files, base).commit_id
    counted = Stepping()
    remove(open_hub(FaultyBlobs(copied(start), counted)), "large")
    count = len(counted.writes)
    for opens in range(1, count + 1):
        for lands in range(opens, count + 2):
            blobs = copied(start)
            other, reader = open_hub(blobs), open_hub(blobs)
            assert reader.objects.read(identifier(b"two" * 30))
            during = _Commit(other, dataset, base, opens, lands)
            plan = Stepping(step=during.step)
            with suppress(Conflict):
                remove(open_hub(FaultyBlobs(blobs, plan)), "large")
            during.step(count + 1)
            where = (counted.writes[opens - 1], lands)
            finish(open_hub(blobs), author="Ada")
            assert unfinished(open_hub(blobs)) == [], where
            assert traces(blobs, [LARGE[-60:-20]]) == [], where
            assert files_of(open_hub(blobs), during.made)[b"other"] == OTHER, where
            assert reader.objects.read(identifier(b"two" * 30)) == b"two" * 30, where
            everything_is_sound(blobs)


@dataclass
class _Commit:
    repository: Repository
    dataset: Dataset
    base: str
    opens: int
    lands: int
    made: str = ""

    def step(self, number: int) -> None:
        if number == self.opens:
            self.writer = self.repository.writer()
            self.writer.__enter__()
        if number >= self.lands and not self.made and number >= self.opens:
            rows = [Entry(b"b", FILE, 90, self.writer.put(b"two" * 30))]
            rows.append(Entry(b"other", FILE, len(OTHER), self.writer.put(OTHER)))
            version = self.repository.write_version(
                self.writer, entries_of(rows), parents=(self.base,), author=AUTHOR, message="m"
            )
            self.writer.__exit__(None, None, None)
            self.made = version.commit_id
            self.repository.land_version(self.dataset, "main", version, author=AUTHOR)


def test_who_writes_for_long_is_waited_for_and_then_told() -> None:
    blobs = MemoryBlobs()
    repository, dataset = fresh(blobs)
    base = commit(repository, dataset, {b"secret": SECRET, b"b": b"two"})
    with open_hub(blobs).writer():
        with pytest.raises(Conflict) as busy:
            remove(repository, "secret", patience=0.1)
        assert busy.value.code == "hub_in_use"
        assert "kamld purge --finish" in busy.value.hint
        assert repository.objects.read(identifier(SECRET)) == SECRET  # not removed yet
        with pytest.raises(Conflict):
            commit(open_hub(blobs), dataset, {b"new": SECRET}, base.commit_id)
        for other in (lambda: collect(open_hub(blobs), keep_days=30), lambda: mend(blobs)):
            with pytest.raises(Conflict) as going:
                other()
            assert going.value.code == "purging"
    assert finish(repository, author="Ada").packs == 1
    assert traces(blobs, [SECRET[-40:]]) == []
    assert finish(repository, author="Ada").packs == 0


def mend(blobs: MemoryBlobs) -> None:
    repair(blobs, [], threads=1, progress=lambda *_: None)


def test_a_writer_that_slept_through_a_purge_does_not_bring_it_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its lease was lost, so nobody has waited for it; what it had read before it slept is purged."""
    blobs = MemoryBlobs()
    repository, dataset = fresh(blobs)
    base = commit(repository, dataset, {b"b": b"two"}).commit_id
    other = open_hub(blobs)
    sleeper = other.writer()
    sleeper.put(SECRET)  # which the hub does not have yet
    commit(repository, dataset, {b"secret": SECRET, b"b": b"two"}, base)
    for key in [key for key in blobs._objects if key.startswith("leases/")]:
        del blobs._objects[key]
    monkeypatch.setattr(Held, "lost", property(lambda held: True))
    remove(repository, "secret")
    assert traces(blobs, [SECRET[-40:]]) == []
    with pytest.raises(Conflict) as refused:
        sleeper.flush()
    assert refused.value.code == "purged_content"
    assert unfinished(repository)  # so that everybody is told
    finish(open_hub(blobs), author="Ada")
    assert traces(blobs, [SECRET[-40:]]) == []
    assert unfinished(repository) == []


def test_two_purges_at_once() -> None:
    blobs = MemoryBlobs()
    repository, dataset = fresh(blobs)
    commit(repository, dataset, {b"secret": SECRET, b"b": b"two"})
    with open_hub(blobs).leases.take("purge"), pytest.raises(Conflict) as going:
        remove(repository, "secret")
    assert going.value.code == "purging"
