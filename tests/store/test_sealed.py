"""Numbers of runs and events: the hint beside them may be behind, and is never trusted further."""

from collections.abc import Iterator
from contextlib import suppress

import pytest

from kamld.blobs import Listed, MemoryBlobs
from kamld.errors import SystemFault
from kamld.records.deployment import DeploymentEvent
from kamld.records.names import Name
from kamld.store import open_hub
from kamld.store.sealed import Sealed
from tests.store.faults import FaultyBlobs, Killed, Plan

KINDS = ("refuse", "late", "kill", "kill late")


class Unlisted(MemoryBlobs):
    def list(self, prefix: str) -> Iterator[Listed]:
        pytest.fail(f"{prefix} was listed")


def event(seq: int) -> DeploymentEvent:
    return DeploymentEvent(
        key="", endpoint="e", project="p", seq=seq, time="2026-03-02T10:00:00.000000Z", author="a",
        action="stop",
    )  # fmt: skip


def test_numbers_are_claimed_without_a_listing() -> None:
    sealed = Sealed(Unlisted())
    assert [sealed.claim_number("p", f"{n:032x}") for n in range(5)] == [1, 2, 3, 4, 5]
    assert sealed.claim_number("q", "ab" * 16) == 1
    for seq in (1, 2):
        sealed.add_event(event(seq))
    assert [one.seq for one in sealed.history(Name("p", "e"), after=1)] == [2]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("at", [1, 2])
def test_a_claim_that_was_stopped(kind: str, at: int) -> None:
    blobs = MemoryBlobs()
    assert Sealed(blobs).claim_number("p", "1" * 32) == 1
    with suppress(SystemFault, Killed):
        Sealed(FaultyBlobs(blobs, Plan(at, kind))).claim_number("p", "2" * 32)
    numbers = Sealed(blobs).numbers("p")
    assert Sealed(blobs).claim_number("p", "3" * 32) == max(numbers) + 1
    assert Sealed(blobs).claim_number("p", "4" * 32) == max(numbers) + 2


@pytest.mark.parametrize("value", [b"", b"{}", b"999"])
def test_a_damaged_hint_is_made_anew(value: bytes) -> None:
    blobs = MemoryBlobs()
    for number in (1, 2):
        Sealed(blobs).claim_number("p", f"{number:032x}")
    key = "run-numbers/p/last.json"
    blobs.swap(key, blobs.get(key), value)
    assert [Sealed(blobs).claim_number("p", f"{n:032x}") for n in (3, 4)] == [3, 4]
    assert blobs.get(key).startswith(b'{"last":4}\n')


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("at", [1, 2, 3, 4])
@pytest.mark.parametrize("before", [0, 1])
def test_an_event_that_was_stopped(kind: str, at: int, before: int) -> None:
    """It happened or it did not: listing, history and the next event agree about that."""
    blobs = MemoryBlobs()
    sealed = open_hub(blobs).sealed
    for seq in range(1, before + 1):
        sealed.add_event(event(seq))
    with suppress(SystemFault, Killed):
        Sealed(FaultyBlobs(blobs, Plan(at, kind))).add_event(event(before + 1))
    name, told = Name("p", "e"), sealed.history(Name("p", "e"))
    assert len(told) in (before, before + 1)
    assert sealed.last_events() == ({name: len(told)} if told else {})
    after = sealed.add_event(event(len(told) + 1))
    assert sealed.history(name) == [*told, after]
    assert sealed.last_events() == {name: len(told) + 1}
