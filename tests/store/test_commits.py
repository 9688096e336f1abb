"""Histories: in what order they are told, and where two of them met last."""

import json
from datetime import UTC, datetime, timedelta

import pytest
from blake3 import blake3
from hypothesis import given
from hypothesis import strategies as st

from kamld import clock
from kamld.blobs import MemoryBlobs
from kamld.errors import SystemFault
from kamld.records.history import Commit
from kamld.store import Repository, open_hub
from kamld.store.commits import ancestry, is_ancestor, is_commit, merge_base, read_commit, write_commit
from kamld.store.trees import write_tree
from kamld.store.trees.entries import entries_of
from tests.store.hubs import commit, fresh, head

# Number n has some of the numbers before it as parents; times rise from parent to child.
graphs = st.lists(
    st.tuples(st.lists(st.integers(0, 100), max_size=3), st.integers(1, 5)), min_size=1, max_size=14
)


def history(shape: list[tuple[list[int], int]]) -> tuple[Repository, list[str], list[set[int]]]:
    """(hub, ids, and for each number all that it descends from, itself too)."""
    repository = open_hub(MemoryBlobs())
    ids: list[str] = []
    times: list[int] = []
    above: list[set[int]] = []
    with repository.writer() as writer:
        tree = write_tree(writer, entries_of([])).hex()
        for number, (wanted, later) in enumerate(shape):
            parents = sorted({parent % number for parent in wanted}) if number else []
            times.append(max((times[parent] for parent in parents), default=0) + later)
            time = clock.text(datetime(2026, 1, 1, tzinfo=UTC) + timedelta(microseconds=times[-1]))
            about = Commit(
                tree=tree, time=time, author="a", message=str(number), parents=tuple(ids[p] for p in parents)
            )
            ids.append(write_commit(writer, about))
            above.append({number}.union(*(above[parent] for parent in parents)))
    return repository, ids, above


@given(graphs)
def test_ancestry(shape: list[tuple[list[int], int]]) -> None:
    repository, ids, above = history(shape)
    for number, identifier in enumerate(ids):
        told = list(ancestry(repository.objects, identifier))
        assert sorted(i for i, _ in told) == sorted(ids[n] for n in above[number])
        order = {i: at for at, (i, _) in enumerate(told)}
        for i, about in told:
            assert all(order[i] < order[parent] for parent in about.parents)
        assert [about.time for _, about in told] == sorted((about.time for _, about in told), reverse=True)


@given(graphs)
def test_merge_base(shape: list[tuple[list[int], int]]) -> None:
    repository, ids, above = history(shape)
    for one in range(len(ids)):
        for other in range(len(ids)):
            shared = above[one] & above[other]
            best = {n for n in shared if not any(n in above[m] for m in shared - {n})}
            base = merge_base(repository.objects, ids[one], ids[other])
            assert (base is None) == (not shared)
            assert base is None or ids.index(base) in best
            assert is_ancestor(repository.objects, ids[one], ids[other]) == (one in above[other])


def test_merge_base_reads_no_more_than_is_newer(monkeypatch: pytest.MonkeyPatch) -> None:
    repository, ids, _ = history([([n - 1], 1) for n in range(300)])
    read: list[bytes] = []
    real = repository.objects.read
    monkeypatch.setattr(repository.objects, "read", lambda i: (read.append(i), real(i))[1])
    assert merge_base(repository.objects, ids[-1], ids[-3]) == ids[-3]
    assert len(read) <= 5


def test_a_child_is_younger_than_its_parent_even_where_the_clock_was_set_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    repository, dataset = fresh()
    first = commit(repository, dataset, {b"a": b"1"})
    monkeypatch.setattr(clock, "now", lambda: "2001-01-01T00:00:00.000000Z")
    second = commit(repository, dataset, {b"a": b"2"}, first.commit_id)
    assert first.commit.time < second.commit.time
    assert clock.moment(second.commit.time) - clock.moment(first.commit.time) == timedelta(microseconds=1)


def test_an_id_is_the_hash_of_canonical_json() -> None:
    repository, dataset = fresh()
    made = commit(repository, dataset, {b"a": b"1"}, message="Grüße\n", metadata={"b": 1, "a": [None]})
    data = repository.objects.read(bytes.fromhex(made.commit_id))
    assert blake3(data).hexdigest() == made.commit_id
    text = json.dumps(json.loads(data), sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    assert data == text.encode()


def test_what_is_a_commit() -> None:
    repository, dataset = fresh()
    made = commit(repository, dataset, {b"a": b"1"})
    with repository.writer() as writer:
        others = [
            writer.put(data) for data in (b"", b"{}", b"{", b'{"tree":"zz"}', b"x" * 2_000_000, b'{"tree":7}')
        ]
        loose = {"tree": "00" * 32, "time": "t", "author": "a", "message": "m"}
        others.append(writer.put(json.dumps(loose).encode()))
    assert is_commit(repository.objects, bytes.fromhex(made.commit_id))
    assert not any(is_commit(repository.objects, other) for other in others)
    assert not is_commit(repository.objects, bytes.fromhex(made.commit.tree))
    with pytest.raises(SystemFault) as fault:
        read_commit(repository.objects, made.commit.tree)
    assert fault.value.code == "damaged_record"
    assert head(repository, dataset) == made.commit_id
