"""The format of a hub: old ones are used as they are, deleting asks for the step, the step is one write."""

import copy
from contextlib import suppress

import pytest

from kamld.blobs import Changed, MemoryBlobs
from kamld.errors import Conflict, SystemFault
from kamld.store import open_hub
from kamld.store.envelope import seal, unseal
from kamld.store.hub import FORMAT, HUB, Hub, read_hub, upgrade
from tests.store.faults import KINDS, FaultyBlobs, Killed, Plan
from tests.store.hubs import commit, files_of, fresh, head


def old() -> MemoryBlobs:
    """A hub as the first kamld made it, with a field that nobody knows."""
    blobs = MemoryBlobs()
    repository, dataset = fresh(blobs)
    commit(repository, dataset, {b"a": b"one"})
    hub = unseal(blobs.get(HUB), Hub, HUB)
    first = seal(Hub(format=1, id=hub.id, created=hub.created, chunking=hub.chunking))
    blobs.swap(HUB, blobs.get(HUB), first)
    return blobs


def test_a_new_hub_has_the_newest_format() -> None:
    assert open_hub(MemoryBlobs()).hub.format == FORMAT == 2


def test_an_old_hub_is_read_and_written_as_it_is() -> None:
    blobs = old()
    repository = open_hub(blobs)
    dataset = repository.names.all()[0]
    made = commit(repository, dataset, {b"a": b"two"}, head(repository, dataset))
    assert files_of(repository, made.commit_id) == {b"a": b"two"}
    assert open_hub(blobs).hub.format == 1
    with pytest.raises(Conflict) as conflict:
        repository.hub.check_deleting("kamld gc")
    assert conflict.value.code == "older_hub"
    assert "doctor --upgrade" in conflict.value.hint


def test_it_is_upgraded_in_one_write_whatever_goes_wrong() -> None:
    start = old()
    counted = Plan()
    upgrade(FaultyBlobs(copied(start), counted))
    assert counted.writes == [f"swap {HUB}"]
    for kind in KINDS:
        blobs = copied(start)
        with suppress(SystemFault, Killed, Changed):
            upgrade(FaultyBlobs(blobs, Plan(1, kind)))
        assert read_hub(blobs).format in (1, 2)
        before, after = upgrade(blobs)
        assert (before.id, after.format) == (after.id, 2)
        assert upgrade(blobs)[0].format == 2  # again, and nothing is left to be done
        repository = open_hub(blobs)
        repository.hub.check_deleting("kamld gc")
        assert files_of(repository, head(repository, repository.names.all()[0])) == {b"a": b"one"}


def copied(blobs: MemoryBlobs) -> MemoryBlobs:
    other = MemoryBlobs()
    other._objects = copy.copy(blobs._objects)
    return other
