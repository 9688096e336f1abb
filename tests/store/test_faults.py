"""Every write of a commit goes wrong in every way: the old head stays, the next commit succeeds."""

import copy
from contextlib import suppress

import pytest

from kamld.blobs import MemoryBlobs
from kamld.errors import SystemFault
from kamld.records.deployment import DeploymentEvent
from kamld.records.history import Kind
from kamld.records.names import Name
from kamld.store import open_hub
from tests.store.faults import KINDS, FaultyBlobs, Killed, Plan
from tests.store.hubs import check_whole, commit, files_of, fresh, head

BEFORE = {b"a": b"one", b"large": bytes(range(256)) * 1024}
AFTER = {b"a": b"two", b"b": b"new", b"large": bytes(range(255)) * 1024}


def before(kind: Kind, commits: int, moves: int = 0) -> MemoryBlobs:
    blobs = MemoryBlobs()
    repository, dataset = fresh(blobs, kind)
    older: tuple[str, ...] = ()
    last: tuple[str, ...] = ()
    for number in range(commits):
        made = commit(repository, dataset, BEFORE | {b"n": b"%d" % number}, *last)
        older, last = last, (made.commit_id,)
    for _ in range(moves // 2):  # back and forth, until the ref is full
        for now, then in ((last, older), (older, last)):
            repository.refs.move(dataset, "main", "branch", then[0], expected=now[0], author="a", reason="r")
    return blobs


def copied(blobs: MemoryBlobs) -> MemoryBlobs:
    other = MemoryBlobs()
    other._objects = copy.copy(blobs._objects)
    return other


def attempt(blobs: MemoryBlobs, plan: Plan) -> str | None:
    """Commit with this fault; the commit's id if it was said to be done."""
    repository = open_hub(FaultyBlobs(blobs, plan))
    dataset = repository.names.get(Name("p", "d"))
    with suppress(SystemFault, Killed):
        return commit(repository, dataset, AFTER, head(repository, dataset)).commit_id
    return None


@pytest.mark.parametrize("kind", ["dataset", "model"])
@pytest.mark.parametrize(
    ("commits", "moves"), [(1, 0), (7, 0), (2, 62)], ids=["plain", "index is merged", "log is sealed"]
)
def test_commit(kind: Kind, commits: int, moves: int) -> None:
    start = before(kind, commits, moves)
    counted = Plan()
    assert attempt(copied(start), counted)
    writes = len(counted.writes)
    assert writes >= 5
    assert commits != 7 or any(write.startswith("delete index/") for write in counted.writes)
    assert not moves or any(write.startswith("put log/") for write in counted.writes)
    for how in KINDS:
        for at in range(1, writes + 1):
            _check(copied(start), Plan(at, how), commits)


def _check(blobs: MemoryBlobs, plan: Plan, commits: int) -> None:
    said = attempt(blobs, plan)
    where = f"{plan.kind} at {plan.writes[plan.at - 1]}"
    repository = open_hub(blobs)  # as another process finds it
    dataset = repository.names.get(Name("p", "d"))
    history = check_whole(repository, dataset)
    assert len(history) in (commits, commits + 1), where
    now = files_of(repository, head(repository, dataset))
    landed = now == AFTER
    assert landed or now == BEFORE | {b"n": b"%d" % (commits - 1)}, where
    assert landed or said is None, where
    assert said is None or said == head(repository, dataset), where
    assert landed or plan.kind != "lost", where
    again = commit(repository, dataset, AFTER | {b"c": b"next"}, head(repository, dataset))
    assert again.landed.how == "moved", where
    fresh_one = open_hub(blobs)
    assert check_whole(fresh_one, dataset) == history | {again.commit_id}, where
    numbers = sorted(fresh_one.refs.versions(dataset))
    assert numbers == (list(range(1, len(history) + 2)) if dataset.kind == "model" else []), where
    fresh_one.rebuild_index()
    assert check_whole(open_hub(blobs), dataset) == history | {again.commit_id}, where


@pytest.mark.parametrize("how", KINDS)
@pytest.mark.parametrize("at", [1, 2, 3])
def test_rebuild(how: str, at: int) -> None:
    blobs = before("dataset", 5)
    repository = open_hub(blobs)
    dataset = repository.names.get(Name("p", "d"))
    whole = check_whole(repository, dataset)
    with suppress(SystemFault, Killed):
        open_hub(FaultyBlobs(blobs, Plan(at, how))).rebuild_index()
    assert check_whole(open_hub(blobs), dataset) == whole


def test_a_lost_reply_is_no_conflict() -> None:
    """Each of the small records, too, is written by a swap whose reply can be lost."""
    blobs = MemoryBlobs()
    lost = Plan(1, "lost")
    repository = open_hub(FaultyBlobs(blobs, lost))
    assert open_hub(blobs).hub == repository.hub

    def again() -> None:
        lost.writes.clear()

    again()
    dataset = repository.create(Name("p", "d"), "dataset")
    assert repository.names.get(Name("p", "d")) == dataset
    again()
    assert repository.sealed.claim_number("p", "ab" * 16) == 1
    assert repository.sealed.numbers("p") == [1]
    event = DeploymentEvent(
        key="",
        endpoint="e",
        project="p",
        seq=1,
        time="2026-03-02T10:00:00.000000Z",
        author="a",
        action="stop",
    )
    for lost.at in (1, 2):
        again()
        made = repository.sealed.add_event(event)
        assert [listed.key for listed in blobs.list("events/")] == [f"events/{made.key}.json"]
        assert repository.sealed.history(Name("p", "e")) == [made]
        for key in ("deployments/p/e/00000001", f"events/{made.key}.json"):
            blobs.delete(key)


def test_a_lost_reply_is_no_conflict_even_when_others_came_after() -> None:
    """The swap landed; before our retry somebody else moved the ref on, 70 times."""
    repository, dataset = fresh()
    one = commit(repository, dataset, {b"a": b"1"}).commit_id
    two = commit(repository, dataset, {b"a": b"2"}, one).commit_id

    class Retrying(FaultyBlobs):
        def swap(self, key: str, expected: bytes | None, to: bytes) -> None:
            if self._before("swap") and "champion" in key:
                self._inner.swap(key, expected, to)
                for _ in range(70):
                    repository.set_ref(dataset, "champion", "alias", one, author="other")
            self._inner.swap(key, expected, to)

    mine = open_hub(Retrying(repository.blobs, Plan(1, "lost")))
    move = mine.set_ref(dataset, "champion", "alias", two, author="me")
    history = list(repository.refs.history(dataset, "champion"))
    assert [made.author for made in history].count("me") == 1
    assert history[-1] == move
