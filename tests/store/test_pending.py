"""Merges that wait: who changes one says what it was, so that no decision of another is lost."""

import msgspec
import pytest

from kamld.blobs import MemoryBlobs
from kamld.errors import Conflict
from kamld.records.merging import PendingMerge, Resolution
from kamld.store.refs import PendingMerges
from tests.store.faults import FaultyBlobs, Plan
from tests.store.hubs import fresh

COMMIT = "00" * 32


def test_no_decision_of_another_is_lost() -> None:
    blobs = MemoryBlobs()
    _, dataset = fresh(blobs)
    merges = PendingMerges(blobs)
    first = PendingMerge(
        dataset=dataset.id,
        branch="größer/main",
        source="side",
        theirs=COMMIT,
        ours=COMMIT,
        author="a",
        time="t",
    )
    merges.keep(dataset, None, first)
    assert merges.find(dataset, first.branch) == first
    assert merges.find(dataset, "main") is None
    mine = msgspec.structs.replace(first, resolutions=(Resolution(path="x", seen="1", side="ours"),))
    yours = msgspec.structs.replace(first, resolutions=(Resolution(path="y", seen="2", side="theirs"),))
    merges.keep(dataset, first, yours)
    with pytest.raises(Conflict) as changed:
        merges.keep(dataset, first, mine)
    assert changed.value.code == "merge_changed"
    assert merges.find(dataset, first.branch) == yours
    assert list(merges.all()) == [yours]
    merges.drop(dataset, yours)
    merges.drop(dataset, yours)
    assert list(merges.all()) == []


def test_a_lost_reply_is_no_conflict() -> None:
    blobs = MemoryBlobs()
    _, dataset = fresh(blobs)
    merges = PendingMerges(FaultyBlobs(blobs, Plan(1, "lost")))
    pending = PendingMerge(
        dataset=dataset.id, branch="main", source="side", theirs=COMMIT, ours=COMMIT, author="a", time="t"
    )
    merges.keep(dataset, None, pending)
    assert merges.find(dataset, "main") == pending
