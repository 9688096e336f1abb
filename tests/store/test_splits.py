from contextlib import suppress

import msgspec
import numpy as np
import pytest
from blake3 import blake3
from hypothesis import given
from hypothesis import strategies as st

from kamld.blobs import MemoryBlobs
from kamld.errors import Conflict, Invalid, SystemFault
from kamld.records.names import Name, Reference
from kamld.store import Entries, Repository, open_hub
from kamld.store.refs.revisions import Resolved
from kamld.store.splits import Before, Rule, SplitResult, plan, split
from kamld.store.trees import FILE, Entry, entries_of
from tests.store.faults import FaultyBlobs, Killed
from tests.store.faults import Plan as FaultPlan

shares = st.floats(0.05, 0.95)
contents = st.lists(st.binary(min_size=1, max_size=6), min_size=1, max_size=80, unique=True)


def pictures(*numbers: int) -> list[Entry]:
    return [picture(n, b"content %d" % n) for n in numbers]


def picture(number: int, content: bytes) -> Entry:
    return Entry(b"%03d.png" % number, FILE, len(content), blake3(content).digest())


def sides(entries: Entries, rows: list[int]) -> set[bytes]:
    return {entries.paths[row] for row in rows}


@given(contents, shares, st.integers(-(2**63), 2**63 - 1))
def test_the_first_split_is_exact_and_complete(data: list[bytes], share: float, seed: int) -> None:
    entries = entries_of([picture(n, content) for n, content in enumerate(data)])
    made = plan(entries, Rule(share, seed))
    assert len(made.test) == round(len(data) * share)
    assert sorted(made.test + made.train) == list(range(len(data)))


@given(contents, contents, shares)
def test_growth_moves_nobody(data: list[bytes], more: list[bytes], share: float) -> None:
    first = entries_of([picture(n, content) for n, content in enumerate(data)])
    made = plan(first, Rule(share, 7))
    grown = entries_of([picture(n, content) for n, content in enumerate([*data, *more])])
    before = Before(
        {first.paths[at]: at in set(made.test) for at in range(len(first))},
        {first.ids[at].tobytes(): at in set(made.test) for at in range(len(first))},
    )
    again = plan(grown, Rule(share, 7, made.threshold), before)
    assert sides(first, made.test) <= sides(grown, again.test)
    assert sides(first, made.train) <= sides(grown, again.train)


@given(st.lists(st.sampled_from([b"a", b"b", b"c"]), min_size=1, max_size=30), shares)
def test_equal_content_is_never_on_both_sides(data: list[bytes], share: float) -> None:
    entries = entries_of([picture(n, content) for n, content in enumerate(data)])
    made = plan(entries, Rule(share, 1))
    ids = entries.ids
    assert not {ids[i].tobytes() for i in made.test} & {ids[i].tobytes() for i in made.train}


def test_tables_and_documents_go_to_both() -> None:
    rows = [
        *pictures(1, 2),
        Entry(b"README.md", FILE, 1, bytes(32)),
        Entry(b"labels.csv", FILE, 1, bytes(32)),
    ]
    made = plan(entries_of(rows), Rule(0.5, 0))
    assert made.shared == [2, 3]
    assert len(made.test) == len(made.train) == 1


@pytest.mark.parametrize("share", [0.0, 1.0, -1, 30, float("nan")])
def test_a_share_that_is_none(share: float) -> None:
    with pytest.raises(Invalid, match=r"--test 0\.3") as caught:
        plan(entries_of(pictures(1, 2)), Rule(share, 0))
    assert caught.value.code == "bad_share"


def test_tables_alone_cannot_be_split() -> None:
    with pytest.raises(Invalid) as caught:
        plan(entries_of([Entry(b"a.csv", FILE, 1, bytes(32))]), Rule(0.5, 0))
    assert caught.value.code == "nothing_to_split"


# In a hub


@pytest.fixture
def repository() -> Repository:
    return open_hub(MemoryBlobs(), 1)


def deliver(repository: Repository, rows: list[Entry], name: str = "digits") -> Resolved:
    """The next version of a dataset with these rows."""
    full = Name("default", name)
    known = repository.names.find(full)
    dataset = known or repository.create(full, "dataset")
    parents = (repository.resolve(Reference(full)).commit_id,) if known else ()
    with repository.writer() as writer:
        entries = entries_of(sorted(rows, key=lambda row: row.path))
        repository.land_version(
            dataset,
            "main",
            repository.write_version(writer, entries, parents=parents, author="me", message="m"),
            author="me",
        )
    return repository.resolve(Reference(full))


def halves(repository: Repository, result: SplitResult) -> dict[str, set[bytes]]:
    return {
        part.part: set(repository.tree(repository.commit(part.commit_id)).entries().paths)
        for part in result.parts
    }


def test_parts_are_datasets_that_know_their_rule(repository: Repository) -> None:
    source = deliver(repository, pictures(*range(100)))
    result = split(repository, source, 0.3, 7, prefix="digits", author="me")
    test = repository.resolve(Reference(Name("default", "digits-test")))
    assert test.commit.origin
    assert test.commit.origin.commit == source.commit_id
    assert test.commit.split
    assert (test.commit.split.part, test.commit.split.seed) == ("test", 7)
    assert [(part.name, part.share) for part in test.commit.split.parts] == [("test", 0.3), ("train", 0.7)]
    assert [len(bounds) for bounds in test.commit.split.thresholds.values()] == [1]
    assert [part.examples for part in result.parts] == [70, 30]


def test_repeating_it_changes_nothing_and_growth_keeps_sides(repository: Repository) -> None:
    first = split(repository, deliver(repository, pictures(*range(60))), 0.3, 7, prefix="d", author="me")
    source = repository.resolve(Reference(Name("default", "digits")))
    again = split(repository, source, 0.3, 7, prefix="d", author="me")
    assert [part.committed for part in again.parts] == [None, None]
    assert again.bytes_added == 0
    corrected = [picture(0, b"corrected"), *pictures(*range(1, 90))]
    grown = split(repository, deliver(repository, corrected), 0.3, 7, prefix="d", author="me")
    before, after = halves(repository, first), halves(repository, grown)
    assert before["test"] <= after["test"]
    assert before["train"] <= after["train"]
    assert len(after["test"]) + len(after["train"]) == 90


def test_another_rule_under_the_same_names_is_refused(repository: Repository) -> None:
    source = deliver(repository, pictures(*range(10)))
    split(repository, source, 0.3, 7, prefix="digits", author="me")
    with pytest.raises(Conflict, match="--prefix") as caught:
        split(repository, source, 0.2, 7, prefix="digits", author="me")
    assert caught.value.code == "other_rule"


def test_a_dataset_of_that_name_is_left_alone(repository: Repository) -> None:
    source = deliver(repository, pictures(*range(10)))
    theirs = deliver(repository, pictures(1), "digits-test")
    with pytest.raises(Conflict) as caught:
        split(repository, source, 0.3, 7, prefix="digits", author="me")
    assert caught.value.code == "name_taken"
    assert repository.resolve(Reference(Name("default", "digits-test"))).commit_id == theirs.commit_id
    assert repository.names.find(Name("default", "digits-train")) is None


def test_content_on_both_sides_is_counted(repository: Repository) -> None:
    """A file keeps its side by its path, also when it becomes equal to one of the other side."""
    rows = pictures(*range(20))
    first = split(repository, deliver(repository, rows), 0.3, 7, prefix="d", author="me")
    assert first.on_both_sides == 0
    sides = halves(repository, first)
    train, test = min(sides["train"]), min(sides["test"])
    known = {row.path: row for row in rows}
    known[train] = Entry(train, FILE, known[test].size, known[test].id)
    again = split(repository, deliver(repository, list(known.values())), 0.3, 7, prefix="d", author="me")
    assert again.on_both_sides == 2
    assert halves(repository, again) == sides


@pytest.mark.parametrize("kind", ["refuse", "late", "kill", "kill late"])
def test_a_split_that_was_stopped_can_be_repeated(kind: str) -> None:
    """At every write there is: the next split finishes it, and nobody has changed sides."""
    for at in range(1, 100):
        blobs = MemoryBlobs()
        repository = open_hub(blobs, 1)
        source = deliver(repository, pictures(*range(20)))
        plan = FaultPlan(at, kind)
        with suppress(SystemFault, Killed):
            split(open_hub(FaultyBlobs(blobs, plan), 1), source, 0.3, 7, prefix="d", author="me")
        done = split(open_hub(blobs, 1), source, 0.3, 7, prefix="d", author="me")
        assert [part.examples for part in done.parts] == [14, 6], plan.writes
        for part in done.parts:
            name = Name("default", f"d-{part.part}")
            assert repository.resolve(Reference(name)).commit_id == part.commit_id, plan.writes
        if len(plan.writes) < at:
            return
    pytest.fail("it never ended")


def test_a_rule_of_a_later_version(repository: Repository) -> None:
    source = deliver(repository, pictures(*range(10)))
    split(repository, source, 0.3, 7, prefix="d", author="me")
    made = repository.resolve(Reference(Name("default", "d-test")))
    assert made.commit.split
    rule = msgspec.structs.replace(made.commit.split, by="label")
    with repository.writer() as writer:
        entries = repository.tree(made.commit).entries()
        version = repository.write_version(
            writer, entries, parents=(made.commit_id,), author="a", message="m",
            origin=made.commit.origin, split=rule,
        )  # fmt: skip
    repository.land_version(made.dataset, "main", version, author="a")
    with pytest.raises(SystemFault) as fault:
        split(repository, source, 0.3, 7, prefix="d", author="me")
    assert fault.value.code == "newer_record"


def test_no_content_is_added(repository: Repository) -> None:
    rng = np.random.default_rng(0)
    with repository.writer() as writer:
        blobs = [rng.bytes(5000) for _ in range(50)]
        rows = [Entry(b"%02d.bin" % n, FILE, 5000, writer.put(b)) for n, b in enumerate(blobs)]
    result = split(repository, deliver(repository, rows), 0.3, 7, prefix="digits", author="me")
    assert result.bytes_added < 5000  # fifty files of 5 KB are in both parts together
