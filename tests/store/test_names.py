"""Names: renamed, removed and had back; whatever write goes wrong, and whoever else is at it."""

from collections.abc import Callable
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kamld.blobs import Blobs, MemoryBlobs
from kamld.errors import Conflict, NotFound, SystemFault
from kamld.records.history import Dataset
from kamld.records.names import Name
from kamld.store.refs import Names
from tests.store.faults import KINDS, FaultyBlobs, Killed, Plan

OLD, NEW, THIRD = Name("p", "old"), Name("q", "new"), Name("p", "third")


def made(_: Dataset) -> bool:
    return True


def begun(_: Dataset) -> bool:
    return False


def holders(names: Names, dataset: Dataset) -> list[Name]:
    """The names under which the dataset is found."""
    return [name for name in (OLD, NEW, THIRD) if (f := names.find(name)) and f.id == dataset.id]


def with_fault(blobs: Blobs, at: int, kind: str, do: Callable[[Names], object]) -> bool:
    """Whether the write that was to go wrong was reached."""
    plan = Plan(at, kind)
    with suppress(SystemFault, Killed):
        do(Names(FaultyBlobs(blobs, plan)))
    return len(plan.writes) >= at


@pytest.mark.parametrize("kind", KINDS)
def test_a_renaming_that_goes_wrong_leaves_one_name_and_can_be_repeated(kind: str) -> None:
    at = 0
    while True:
        at += 1
        blobs = MemoryBlobs()
        names = Names(blobs)
        dataset = names.create(OLD, "dataset", begun)
        reached = with_fault(blobs, at, kind, lambda n: n.rename(OLD, NEW, author="a"))
        where = holders(names, dataset)
        assert len(where) == 1
        assert [found.id for found in names.all()] == [dataset.id]
        assert names.bound(dataset.id, OLD) == names.find(where[0])
        if where == [OLD]:
            names.rename(OLD, NEW, author="a")
        assert holders(names, dataset) == [NEW]
        other = names.create(OLD, "dataset", begun)
        assert other.id != dataset.id
        assert holders(names, dataset) == [NEW]
        if not reached:
            break
    assert at >= 3  # the claim, the giving up, the clearing


@pytest.mark.parametrize("kind", KINDS)
def test_who_takes_the_new_name_stops_a_renaming_that_was_killed(kind: str) -> None:
    """Between the two swaps the claim binds nobody, and the first owner keeps the old name."""
    for at in (1, 2, 3):
        blobs = MemoryBlobs()
        names = Names(blobs)
        dataset = names.create(OLD, "dataset", begun)
        with_fault(blobs, at, kind, lambda n: n.rename(OLD, NEW, author="a"))
        if holders(names, dataset) == [NEW]:
            with pytest.raises(Conflict):
                names.create(NEW, "dataset", made)
            continue
        other = names.create(NEW, "model", begun)
        assert other.id != dataset.id
        assert holders(names, dataset) == [OLD]
        with pytest.raises(Conflict) as refused:
            names.rename(OLD, NEW, author="a")
        assert refused.value.code == "name_taken"


class Meddled(FaultyBlobs):
    """Somebody else does something right before one of the writes."""

    def __init__(self, inner: Blobs, at: int, what: Callable[[], object]) -> None:
        super().__init__(inner, Plan())
        self._at, self._what, self._count = at, what, 0

    def swap(self, key: str, expected: bytes | None, to: bytes) -> None:
        self._count += 1
        if self._count == self._at:
            self._what()
        super().swap(key, expected, to)


@pytest.mark.parametrize("at", [1, 2, 3])
@pytest.mark.parametrize("what", ["create", "rename", "elsewhere", "remove", "again"])
def test_others_meddle_between_the_swaps(at: int, what: str) -> None:
    blobs = MemoryBlobs()
    names = Names(blobs)
    dataset = names.create(OLD, "dataset", begun)
    third = names.create(THIRD, "dataset", begun)
    meddling: dict[str, Callable[[], object]] = {
        "create": lambda: names.create(NEW, "model", made),
        "rename": lambda: names.rename(THIRD, NEW, author="b"),
        "elsewhere": lambda: names.rename(OLD, Name("p", "else"), author="b"),
        "remove": lambda: names.remove(names.get(OLD), author="b"),
        "again": lambda: names.rename(OLD, NEW, author="b"),
    }
    done = set()

    def meddle() -> None:
        with suppress(Conflict, NotFound):
            meddling[what]()
            done.add("theirs")

    with suppress(Conflict, NotFound):
        Names(Meddled(blobs, at, meddle)).rename(OLD, NEW, author="a")
        done.add("ours")
    everywhere = names.all()
    assert len({one.id for one in everywhere}) == len(everywhere)  # nothing has two names
    ids = {one.id for one in everywhere} | {one.dataset.id for one in names.removed()}
    assert {dataset.id, third.id} <= ids  # nothing is lost
    assert len(done) == 1  # the first to get there; nobody believes in vain to have done it
    if "ours" in done:
        assert names.get(NEW).id == dataset.id


@pytest.mark.parametrize("kind", KINDS)
def test_a_removal_that_goes_wrong_leaves_the_dataset_or_its_way_back(kind: str) -> None:
    for at in (1, 2, 3):
        blobs = MemoryBlobs()
        names = Names(blobs)
        dataset = names.create(OLD, "dataset", begun)
        with_fault(blobs, at, kind, lambda n, d=dataset: n.remove(d, author="a"))
        removed = names.removed_from(OLD)
        assert (names.find(OLD) is None) == (removed is not None)
        if removed is None:
            names.remove(dataset, author="a")
            removed = names.removed_from(OLD)
        assert removed
        with_fault(blobs, at, kind, lambda n, r=removed: n.restore(r))
        if (again := names.removed_from(OLD)) is not None:
            names.restore(again)
        assert names.find(OLD) == dataset
        assert list(names.removed()) == []


def test_a_removed_name_is_free_and_its_dataset_waits() -> None:
    names = Names(MemoryBlobs())
    first = names.create(OLD, "dataset", begun)
    names.remove(first, author="ann")
    with pytest.raises(NotFound) as gone:
        names.get(OLD)
    assert "removed by ann" in gone.value.message
    assert "kamld undo p/old" in gone.value.hint
    second = names.create(OLD, "dataset", begun)
    removed = names.removed_from(OLD)
    assert removed
    with pytest.raises(Conflict) as taken:
        names.restore(removed)
    assert taken.value.code == "name_taken"
    names.rename(OLD, NEW, author="a")
    assert names.restore(removed) == first
    assert (names.get(OLD).id, names.get(NEW).id) == (first.id, second.id)


steps = st.lists(
    st.tuples(st.sampled_from([OLD, NEW, THIRD]), st.sampled_from([OLD, NEW, THIRD])), max_size=12
)


@given(steps)
def test_renamings_against_a_plain_model(moves: list[tuple[Name, Name]]) -> None:
    names = Names(MemoryBlobs())
    model = {name: names.create(name, "dataset", begun).id for name in (OLD, NEW)}
    started = {id_: name for name, id_ in model.items()}
    for old, new in moves:
        if old in model and new not in model:
            names.rename(old, new, author="a")
            model[new] = model.pop(old)
        else:
            with pytest.raises((Conflict, NotFound)):
                names.rename(old, new, author="a")
    assert {Name(one.project, one.name): one.id for one in names.all()} == model
    for id_, name in started.items():  # who knew it by its first name finds it
        now = names.bound(id_, name)
        assert now is not None
        assert model[Name(now.project, now.name)] == id_


def test_what_is_forgotten_is_not_promised_back() -> None:
    names = Names(MemoryBlobs())
    dataset = names.create(OLD, "dataset", begun)
    names.remove(dataset, author="Ada")
    with pytest.raises(NotFound, match="removed by Ada") as told:
        names.get(OLD)
    assert told.value.hint == "This brings it back: kamld undo p/old"
    (removed,) = names.removed()
    assert names.forget(removed)
    with pytest.raises(NotFound, match="removed by Ada") as told:
        names.get(OLD)
    assert told.value.hint.startswith("The setting keep_days")
