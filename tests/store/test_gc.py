"""Giving room back: what is kept, what goes, and that nobody who works meanwhile loses anything."""

import os
import random
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kamld.blobs import FolderBlobs, MemoryBlobs
from kamld.errors import KamldError
from kamld.records.history import Dataset
from kamld.store import Entries, Repository, Writer, leases, open_hub
from kamld.store.gc import collect, find_roots, kept_by, look
from kamld.store.gc.roots import since
from kamld.store.index import as_ids
from kamld.store.leases import condemned
from tests.store.faults import FaultyBlobs, Plan
from tests.store.hubs import AUTHOR, check_whole, commit, files_of, fresh, head, put

NOW = timedelta(0)
DAYS = 30


def data(seed: int, size: int = 5000) -> bytes:
    return random.Random(seed).randbytes(size)


def packs(repository: Repository) -> list[str]:
    return [listed.key for listed in repository.blobs.list("packs/")]


def drop_branch(repository: Repository, dataset: Dataset, name: str) -> None:
    at = head(repository, dataset, name)
    repository.refs.move(dataset, name, "branch", None, expected=at, author=AUTHOR, reason="removed")


def abandoned(repository: Repository, seed: int, size: int = 5000) -> bytes:
    """Something that a writer put and nobody named."""
    with repository.writer() as writer:
        return writer.put(data(seed, size))


def test_nothing_is_garbage_in_a_hub_of_commits() -> None:
    repository, dataset = fresh()
    one = commit(repository, dataset, {b"a": data(1), b"b": data(2, 300_000)}).commit_id
    commit(repository, dataset, {b"a": data(3)}, one)
    found = look(repository, DAYS, NOW)
    assert (found.bytes, found.objects) == (0, 0)
    assert collect(repository, DAYS, NOW).condemned == 0


@pytest.mark.parametrize("size", [5000, 400_000])
def test_what_nobody_named_goes_and_all_else_stays(size: int) -> None:
    repository, dataset = fresh()
    commit(repository, dataset, {b"a": data(1)})
    lost = abandoned(repository, 2, size)
    assert look(repository, DAYS, NOW).bytes >= size
    first = collect(repository, DAYS, NOW)
    assert (first.deleted, first.condemned) == (0, 1)
    assert repository.objects.has(lost)
    second = collect(repository, DAYS, NOW)
    assert second.deleted == 1
    assert second.freed > size
    assert not repository.objects.has(lost)
    assert look(repository, DAYS, NOW).bytes == 0
    check_whole(open_hub(repository.blobs), dataset)


@pytest.mark.parametrize("lost", range(3))
def test_a_lost_part_of_the_index_is_no_garbage(lost: int) -> None:
    """Its packs look like those that an interrupted commit left, and what they lead to like garbage."""
    repository, dataset = fresh()
    one = commit(repository, dataset, {b"a": data(1)}).commit_id
    two = commit(repository, dataset, {b"a": data(1), b"b": data(2)}, one).commit_id
    commit(repository, dataset, {b"c": data(3)}, two)
    before = files_of(repository, head(repository, dataset))
    segments = [listed.key for listed in repository.blobs.list("index/")]
    repository.blobs.delete(segments[lost])
    for _ in range(2):
        collect(open_hub(repository.blobs), DAYS, NOW)
    again = open_hub(repository.blobs)
    check_whole(again, dataset)
    assert files_of(again, head(again, dataset)) == before


def test_beside_a_damaged_pack_that_the_index_lost_nothing_is_deleted() -> None:
    repository, dataset = fresh()
    commit(repository, dataset, {b"a": data(1)})
    repository.blobs.put(f"packs/00/{'00' * 32}.pack", [b"no pack at all"])
    with pytest.raises(KamldError, match="is damaged"):
        collect(repository, DAYS, NOW)
    check_whole(repository, dataset)


def test_the_minimum_age() -> None:
    repository, _ = fresh()
    abandoned(repository, 1)
    assert collect(repository, DAYS).condemned == 1
    again = collect(repository, DAYS)
    assert (again.deleted, again.condemned, again.waits_for) == (0, 1, ())


def test_a_branch_that_was_removed_can_be_had_back_for_as_long_as_was_said() -> None:
    repository, dataset = fresh()
    one = commit(repository, dataset, {b"a": data(1)}).commit_id
    other = commit(repository, dataset, {b"a": data(2)}, one, branch="try").commit_id
    drop_branch(repository, dataset, "try")
    assert look(repository, DAYS, NOW).bytes == 0
    (why,) = kept_by(repository, other, find_roots(repository, since(DAYS, NOW)))
    assert why.about.startswith("p/d@try named it until ")
    collect(repository, 0, NOW)
    collect(repository, 0, NOW)
    assert not repository.objects.has(bytes.fromhex(other))
    assert set(files_of(repository, one)) == {b"a"}
    assert kept_by(repository, other, find_roots(repository, since(0, NOW))) == []


def test_a_removed_dataset() -> None:
    repository, dataset = fresh()
    one = commit(repository, dataset, {b"a": data(1)}).commit_id
    repository.names.remove(dataset, author=AUTHOR)
    assert look(repository, DAYS, NOW).bytes == 0
    collect(repository, 0, NOW)
    (removed,) = repository.names.removed()
    repository.names.restore(removed)  # after it was condemned: it is all there
    assert collect(repository, 0, NOW).copied > 0
    assert files_of(open_hub(repository.blobs), one) == {b"a": data(1)}
    repository.names.remove(dataset, author=AUTHOR)
    collect(repository, 0, NOW)
    assert collect(repository, 0, NOW).forgotten == ("p/d",)
    assert packs(repository) == []


def test_a_sparse_pack_is_written_anew() -> None:
    repository, dataset = fresh()
    with repository.writer() as writer:
        entries = put(writer, {b"a": data(1)})
        writer.put(data(2))
        version = repository.write_version(writer, entries, parents=(), author=AUTHOR, message="m")
    repository.land_version(dataset, "main", version, author=AUTHOR)
    reader = open_hub(repository.blobs)
    assert reader.objects.lengths([entries.ids[0].tobytes()]) == [5000]  # it has an index from before
    collect(repository, DAYS, NOW)
    done = collect(repository, DAYS, NOW)
    assert (done.deleted, done.copied) == (1, 4)  # the file, page, tree and commit
    assert len(packs(repository)) == 1
    assert files_of(reader, version.commit_id) == {b"a": data(1)}
    assert files_of(repository, version.commit_id) == {b"a": data(1)}


def test_who_began_before_is_waited_for_and_may_rely_on_it() -> None:
    repository, dataset = fresh()
    abandoned(repository, 1)
    other = open_hub(repository.blobs)
    with other.writer() as writer:
        added = writer.objects_added
        entries = put(writer, {b"a": data(1)})
        assert writer.objects_added == added  # it relies on what nobody names
        assert collect(repository, DAYS, NOW).condemned == 1
        version = other.write_version(writer, entries, parents=(), author=AUTHOR, message="m")
    assert collect(repository, DAYS, NOW).waits_for == ("writer",)  # until what it wrote has landed
    other.land_version(dataset, "main", version, author=AUTHOR)
    assert collect(repository, DAYS, NOW).copied == 1
    assert files_of(open_hub(repository.blobs), head(repository, dataset)) == {b"a": data(1)}


def test_who_begins_afterwards_relies_on_nothing_condemned_even_under_the_same_name() -> None:
    repository, dataset = fresh()
    abandoned(repository, 1)
    collect(repository, DAYS, NOW)
    with repository.writer() as writer:
        writer.put(data(1))  # alone in its pack, as before
        assert writer.objects_added == 1
        writer.flush()
        collect(repository, DAYS, NOW)
        entries = put(writer, {b"a": data(1)})
        version = repository.write_version(writer, entries, parents=(), author=AUTHOR, message="m")
    repository.land_version(dataset, "main", version, author=AUTHOR)
    check_whole(open_hub(repository.blobs), dataset)


def test_a_version_that_is_forgotten_holds_nobody_up() -> None:
    repository, _ = fresh()
    with repository.writer() as writer:
        entries = put(writer, {b"a": data(1)})
        version = repository.write_version(writer, entries, parents=(), author=AUTHOR, message="m")
    assert len(repository.leases.all()) == 1
    del version, writer
    assert repository.leases.all() == {}


def test_a_small_commit_takes_one_lease() -> None:
    plan = Plan()
    repository, dataset = fresh(FaultyBlobs(MemoryBlobs(), plan))
    commit(repository, dataset, {b"a": data(1)})
    writes = [what.split("/")[0] for what in plan.writes if "leases/" in what]
    assert writes == ["post leases", "delete leases"]


def test_leases_end(monkeypatch: pytest.MonkeyPatch) -> None:
    repository, _ = fresh()
    with repository.leases.take("reader", ("ab" * 32,)) as held:
        assert [lease.what for lease in repository.leases.all().values()] == ["reader"]
        assert not held.lost
    assert repository.leases.all() == {}
    with repository.leases.take("reader", seconds=-301) as held:
        assert held.lost
        assert len(repository.leases.all()) == 1  # as long as this process lives
        monkeypatch.setattr(leases, "_host", lambda: "another machine")  # which cannot know that
        assert repository.leases.all() == {}


def test_the_lease_of_a_dead_process_does_not_count(tmp_path: Path) -> None:
    repository = open_hub(FolderBlobs(tmp_path / "hub"))
    ours = repository.leases.begin("reader")
    child = os.fork()
    if child == 0:
        held = open_hub(FolderBlobs(tmp_path / "hub")).leases.begin("writer")
        repository.leases.end(ours)  # which it only has a copy of
        os._exit(len(repository.leases.all()) if held else 0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 2
    assert [lease.what for lease in repository.leases.all().values()] == ["reader"]


def test_a_lost_object_stops_it() -> None:
    repository, dataset = fresh()
    one = commit(repository, dataset, {b"a": data(1)}).commit_id
    abandoned(repository, 2)
    tree = bytes.fromhex(repository.commit(one).tree)
    place = repository.index.find(as_ids([tree]))
    repository.blobs.delete(f"packs/{place.packs[0].hex()[:2]}/{place.packs[0].hex()}.pack")
    before = packs(repository)
    with pytest.raises(KamldError):
        collect(open_hub(repository.blobs), DAYS, NOW)
    assert packs(repository) == before
    assert condemned(repository.blobs)[0].packs == ()


steps = st.lists(
    st.tuples(st.integers(0, 2), st.sampled_from(("put", "land", "drop", "gc", "gc", "read"))), max_size=30
)


@given(steps, st.integers(0, 5))
def test_schedules(schedule: list[tuple[int, str]], seed: int) -> None:
    """Three that write and one that collects, in any order: what was landed and named stays whole."""
    blobs = MemoryBlobs()
    repository, dataset = fresh(blobs)
    others = [open_hub(blobs, threads=1) for _ in range(3)]
    open_writers: dict[int, tuple[Writer, dict[bytes, bytes], Entries]] = {}
    numbers = random.Random(seed)
    for who, what in schedule:
        hub = others[who]
        if what == "put" and who not in open_writers:
            writer = hub.writer().__enter__()
            files = {b"%d" % n: data(n, 400) for n in numbers.sample(range(4), 2)}
            open_writers[who] = (writer, files, put(writer, files))
            if numbers.random() < 0.5:
                writer.flush()
        elif what == "land" and who in open_writers:
            writer, files, entries = open_writers.pop(who)
            version = hub.write_version(writer, entries, parents=(), author=AUTHOR, message=f"{who}")
            writer.__exit__(None, None, None)
            if numbers.random() < 0.3:
                collect(repository, 0, NOW)
            landed = hub.land_version(dataset, f"b{who}", version, author=AUTHOR).landed
            assert files_of(open_hub(blobs), version.commit_id) == files
            files_of(open_hub(blobs), landed.head)
        elif what == "drop" and (ref := repository.refs.find(dataset, f"b{who}")) and ref.commit:
            drop_branch(repository, dataset, f"b{who}")
        elif what == "gc":
            collect(repository, 0, NOW)
        elif what == "read":
            for ref in hub.live_refs(dataset):
                files_of(hub, ref.commit or "")
    for writer, _, _ in open_writers.values():
        writer.__exit__(ValueError, None, None)
    for _ in range(3):
        collect(repository, 0, NOW)
    after = open_hub(blobs)
    for ref in after.live_refs(dataset):
        files_of(after, ref.commit or "")
    assert look(after, 0, NOW).bytes == 0
