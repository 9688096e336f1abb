"""Each way in which a collection beside others could lose something, as that very order of steps."""

import random
from collections.abc import Iterator
from datetime import timedelta

import pytest

from kamld.blobs import Listed, MemoryBlobs
from kamld.errors import Conflict, NotFound, SystemFault
from kamld.records.history import Checkpoint, Dataset
from kamld.records.names import Name
from kamld.store import Repository, open_hub, packs
from kamld.store.gc import collect, look
from kamld.store.index import as_ids
from kamld.store.objects import object_id
from tests.store.hubs import AUTHOR, check_whole, commit, files_of, fresh, head, put

NOW = timedelta(0)


def data(seed: int, size: int = 5000) -> bytes:
    return random.Random(seed).randbytes(size)


def drop(repository: Repository, dataset: Dataset, name: str) -> None:
    at = head(repository, dataset, name)
    repository.refs.move(dataset, name, "branch", None, expected=at, author=AUTHOR, reason="removed")


def garbage(repository: Repository, dataset: Dataset, files: dict[bytes, bytes]) -> str:
    """A commit that nothing leads to any more."""
    made = commit(repository, dataset, files, branch="gone").commit_id
    drop(repository, dataset, "gone")
    return made


def test_a_tag_on_condemned_garbage_brings_it_back_whole() -> None:
    repository, dataset = fresh()
    files = {b"a": data(1), b"b": data(2, 300_000)}
    old = garbage(repository, dataset, files)
    assert collect(repository, 0, NOW).condemned == 1
    other = open_hub(repository.blobs)
    other.set_ref(dataset, "again", "tag", old, author=AUTHOR, known=True)
    done = collect(repository, 0, NOW)
    assert (done.deleted, done.copied) == (1, 0)  # what was needed had been written anew by then
    assert files_of(open_hub(repository.blobs), old) == files


def test_a_tag_that_is_set_while_the_packs_are_being_deleted(monkeypatch: pytest.MonkeyPatch) -> None:
    """After the collection has looked at all refs for the last time."""
    repository, dataset = fresh()
    files = {b"a": data(1)}
    old = garbage(repository, dataset, files)
    collect(repository, 0, NOW)
    other, without = open_hub(repository.blobs), repository.index.without

    def late(*given: object) -> None:
        other.set_ref(dataset, "again", "tag", old, author=AUTHOR, known=True)
        without(*given)  # type: ignore[arg-type]

    monkeypatch.setattr(repository.index, "without", late)
    assert collect(repository, 0, NOW).deleted == 1
    assert files_of(open_hub(repository.blobs), old) == files


def test_what_is_gone_cannot_be_named_even_where_its_commit_is_left() -> None:
    """The commit is in a pack with much that is needed, its file in another."""
    repository, dataset = fresh()
    with repository.writer() as writer:
        large = put(writer, {b"large": data(1, 200_000)})
    with repository.writer() as writer:
        kept = put(writer, {b"kept": data(2, 60_000)})
        gone = repository.write_version(writer, large, parents=(), author=AUTHOR, message="gone")
        stays = repository.write_version(writer, kept, parents=(), author=AUTHOR, message="stays")
    repository.land_version(dataset, "gone", gone, author=AUTHOR)
    repository.land_version(dataset, "main", stays, author=AUTHOR)
    drop(repository, dataset, "gone")
    for _ in range(2):
        collect(repository, 0, NOW)
    assert repository.objects.has(bytes.fromhex(gone.commit_id))
    with pytest.raises(NotFound, match="is not kept any more"):
        repository.set_ref(dataset, "again", "tag", gone.commit_id, author=AUTHOR, known=True)
    assert files_of(repository, stays.commit_id) == {b"kept": data(2, 60_000)}


def test_files_taken_from_condemned_garbage_are_written_anew() -> None:
    repository, dataset = fresh()
    old = garbage(repository, dataset, {b"a": data(1), b"b": data(2, 300_000)})
    entries = repository.tree(repository.commit(old)).entries()
    collect(repository, 0, NOW)
    with repository.writer() as writer:  # nothing is put
        part = repository.write_version(writer, entries.take([1]), parents=(), author=AUTHOR, message="part")
    repository.land_version(dataset, "part", part, author=AUTHOR)
    collect(repository, 0, NOW)
    assert files_of(open_hub(repository.blobs), part.commit_id) == {b"b": data(2, 300_000)}


def test_files_that_are_gone_cannot_be_taken() -> None:
    repository, dataset = fresh()
    old = garbage(repository, dataset, {b"a": data(1)})
    entries = repository.tree(repository.commit(old)).entries()
    for _ in range(2):
        collect(repository, 0, NOW)
    with pytest.raises(SystemFault, match='"a" any more'), repository.writer() as writer:
        repository.write_version(writer, entries, parents=(), author=AUTHOR, message="part")


def test_a_list_of_chunks_does_not_outlive_the_chunks() -> None:
    """Else who has the same file again would find the list, and write no chunk."""
    repository, dataset = fresh()
    with repository.writer() as writer:
        writer.put(data(1, 300_000))
        writer.flush()
        kept = put(writer, {b"kept": data(2, 60_000)})
        version = repository.write_version(writer, kept, parents=(), author=AUTHOR, message="m")
    repository.land_version(dataset, "main", version, author=AUTHOR)
    for _ in range(2):
        collect(repository, 0, NOW)
    again = commit(repository, dataset, {b"large": data(1, 300_000)}, branch="again").commit_id
    assert files_of(open_hub(repository.blobs), again) == {b"large": data(1, 300_000)}


def test_a_writer_who_finds_only_the_list_writes_the_chunks() -> None:
    repository, _ = fresh()
    with repository.writer() as writer:
        identifier = writer.put(data(1, 300_000))
    chunk = repository.objects.parts([identifier])[0]
    place = repository.index.find(as_ids([chunk]))
    condemned = frozenset([place.packs[int(place.pack[0])]])
    with repository.writer() as writer:
        writer._packing._relied.avoid = condemned
        writer.adopt(identifier, *repository.objects.stored(identifier))  # the list alone, in another pack
    with repository.writer() as writer:
        assert writer.has([identifier]) == [True]
        writer._packing._relied.avoid = condemned
        assert writer._packing.has([identifier]) == [True]
        assert writer.has([identifier]) == [False]


def test_rows_of_packs_that_are_gone_count_for_nothing() -> None:
    """As two machines that merge at once leave them: they would be relied on, and stand for a copy."""
    repository, dataset = fresh()
    one = commit(repository, dataset, {b"a": data(1)}).commit_id
    (segment,) = repository.index.segments()
    place = repository.index.find(as_ids([bytes.fromhex(one)]))
    footer = repository_footer(repository, place.packs[0])
    repository.index.write([(b"\1" * 32, footer)])  # a pack that nobody has
    repository.index.refresh()
    with repository.writer() as writer:
        writer.put(data(2))
        builder = writer._packing
        builder.flush()
    again = open_hub(repository.blobs)
    repository.blobs.delete(f"index/{segment.name.hex()}.idx")
    collect(again, 0, NOW)
    collect(again, 0, NOW)
    assert files_of(open_hub(repository.blobs), one) == {b"a": data(1)}
    assert all(b"\1" * 32 not in s.packs for s in open_hub(repository.blobs).index.segments())


def repository_footer(repository: Repository, name: bytes) -> packs.Footer:
    return packs.read_footer(repository.blobs.view(packs.key(name)), "it")


def test_removed_and_had_back_or_forgotten_but_never_both() -> None:
    repository, dataset = fresh()
    commit(repository, dataset, {b"a": data(1)})
    repository.names.remove(dataset, author=AUTHOR)
    (removed,) = repository.names.removed()
    assert repository.names.forget(removed)  # a collection has decided, and was killed then
    with pytest.raises(NotFound, match="cannot be had back"):
        repository.names.restore(removed)
    assert repository.names.removed_from(Name("p", "d")) is None
    assert collect(repository, 30, NOW).forgotten == ()  # nothing is condemned yet, so nothing is forgotten
    assert list(repository.blobs.list("refs/"))
    assert collect(repository, 30, NOW).forgotten == ("p/d",)  # and the next goes on
    assert not list(repository.blobs.list("refs/"))
    assert list(repository.blobs.list("removed/"))  # whoever is still bringing it back must find it
    other = repository.create(Name("p", "e"), "dataset")
    for _ in range(2):
        with repository.writer() as writer:
            writer.put(data(2))
            writer.flush()
        collect(repository, 30, NOW)
        collect(repository, 30, NOW)
    assert not list(repository.blobs.list("removed/"))
    commit(repository, other, {b"a": data(1)})
    repository.names.remove(other, author=AUTHOR)
    (removed,) = repository.names.removed()
    repository.names.restore(removed)
    assert not repository.names.forget(removed)


def test_what_is_handed_from_a_lease_to_a_ref_is_not_missed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Refs are listed before it is named, leases after that lease has ended: so leases come first."""
    repository, dataset = fresh()
    garbage(repository, dataset, {b"a": data(1)})
    with repository.writer() as writer:
        entries = put(writer, {b"a": data(1)})
        version = repository.write_version(writer, entries, parents=(), author=AUTHOR, message="m")
    blobs = repository.blobs
    assert isinstance(blobs, MemoryBlobs)
    listing, order = blobs.list, []

    def listed(prefix: str) -> Iterator[Listed]:
        order.append(prefix)
        return listing(prefix)

    monkeypatch.setattr(blobs, "list", listed)
    look(repository, 0, NOW)
    first = {prefix: order.index(prefix) for prefix in ("leases/", "merges/", "runs/", "refs/")}
    assert sorted(first, key=first.__getitem__) == ["leases/", "merges/", "runs/", "refs/"]
    del version


def test_one_collects_at_a_time() -> None:
    repository, _ = fresh()
    with repository.leases.take("collection"), pytest.raises(Conflict, match="Somebody else"):
        collect(open_hub(repository.blobs), 30, NOW)
    collect(repository, 30, NOW)


def test_a_file_that_equals_a_page_hides_nothing() -> None:
    """It was marked as a file first: as a page it is to be followed all the same."""
    repository, dataset = fresh()
    one = commit(repository, dataset, {b"a": data(1)}).commit_id
    page = repository.tree(repository.commit(one)).pages[0].id
    whole = {b"page": repository.objects.read(page), b"commit": repository.objects.read(bytes.fromhex(one))}
    commit(repository, dataset, whole, branch="copy")
    drop(repository, dataset, "main")
    repository.set_ref(dataset, "again", "tag", one, author=AUTHOR, known=True)
    for _ in range(4):
        collect(repository, 0, NOW)
    assert files_of(open_hub(repository.blobs), one) == {b"a": data(1)}
    assert object_id(data(1)) in [row.id for row in repository.tree(repository.commit(one)).entries().rows()]


def test_expired_checkpoints_lose_their_files_and_nothing_else() -> None:
    repository, dataset = fresh()
    parents: tuple[str, ...] = ()
    made = []
    for number in range(6):
        done = commit(
            repository, dataset, {b"weights": data(number, 50_000), b"same": data(99)}, *parents,
            checkpoint=Checkpoint(keep_last=2),
        )  # fmt: skip
        made.append(done.commit_id)
        parents = (done.commit_id,)
    repository.set_ref(dataset, "good", "tag", made[1], author=AUTHOR)
    assert 150_000 < look(repository, 30, NOW).bytes < 200_000  # of 0, 2 and 3
    for _ in range(2):
        collect(repository, 30, NOW)
    again = open_hub(repository.blobs)
    for number in (1, 4, 5):
        assert files_of(again, made[number])[b"weights"] == data(number, 50_000)
    for number in (0, 2, 3):
        with pytest.raises(NotFound, match="the last 2 are kept"):
            again.tree(again.commit(made[number]))
    assert [identifier for identifier, _ in again.log(made[5])] == made[::-1]
    assert look(again, 30, NOW).bytes == 0


def test_commits_that_were_amended_away_go_after_the_minimum_age() -> None:
    repository, dataset = fresh()
    first = commit(repository, dataset, {b"a": data(1)}).commit_id
    replaced = [commit(repository, dataset, {b"a": data(2)}, first).commit_id]
    for number in (3, 4):
        with repository.writer() as writer:
            entries = put(writer, {b"a": data(number)})
            version = repository.write_version(writer, entries, parents=(first,), author=AUTHOR, message="m")
        repository.land_on(dataset, "main", version, expected=replaced[-1], author=AUTHOR, amends=True)
        replaced.append(version.commit_id)
    for _ in range(2):
        collect(repository, 30, NOW)
    again = open_hub(repository.blobs)
    assert not again.objects.has(bytes.fromhex(replaced[0]))
    assert files_of(again, replaced[1]) == {b"a": data(3)}  # the last amend can be undone
    assert files_of(again, replaced[2]) == {b"a": data(4)}


def test_a_pack_joined_and_not_deleted_goes() -> None:
    """Its joiner was killed in between: all that it has is in another."""
    repository, dataset = fresh()
    commit(repository, dataset, {b"a": data(1)})
    (key,) = (listed.key for listed in repository.blobs.list("packs/"))
    pack = bytes.fromhex(key[9:-5])
    footer = repository_footer(repository, pack)
    whole = repository.blobs.get(key)
    builder = packs.PackBuilder()
    for at in range(len(footer.codecs)):
        start = int(footer.offsets[at])
        stored = whole[start : start + int(footer.stored[at])]
        builder.add(footer.ids[at].tobytes(), int(footer.codecs[at]), stored, int(footer.raw[at]))
    builder.add(object_id(b"x"), 0, b"x", 1)  # so that its name is another
    name, parts, made = builder.seal()
    repository.blobs.put(f"packs/{name[:1].hex()}/{name.hex()}.pack", parts)
    repository.index.add([(name, made)])
    (segment,) = (s for s in repository.index.segments() if pack in s.packs)
    repository.blobs.delete(f"index/{segment.name.hex()}.idx")
    for _ in range(2):
        collect(open_hub(repository.blobs), 30, NOW)
    assert [listed.key[9:-5] for listed in repository.blobs.list("packs/")] == [name.hex()]
    check_whole(open_hub(repository.blobs), dataset)


def test_what_lost_refs_led_to_is_no_garbage() -> None:
    repository, dataset = fresh()
    one = commit(repository, dataset, {b"a": data(1)}).commit_id
    two = commit(repository, dataset, {b"b": data(2)}, one, branch="dev").commit_id
    garbage(repository, dataset, {b"c": data(3)})
    assert collect(repository, 0, NOW).condemned
    assert collect(repository, 0, NOW).deleted
    for room in ("main", "dev"):
        (key,) = [one.key for one in repository.blobs.list("refs/") if one.key.endswith(f"/{room}")]
        kept = repository.blobs.get(key)
        repository.blobs.delete(key)
        for _ in range(2):
            with pytest.raises(SystemFault) as caught:
                collect(open_hub(repository.blobs), 0, NOW)
            assert caught.value.code == "lost_refs"
        repository.blobs.swap(key, None, kept)
    assert collect(repository, 0, NOW).deleted == 0
    assert [files_of(repository, commit_id) for commit_id in (one, two)] == [{b"a": data(1)}, {b"b": data(2)}]


def test_a_dataset_whose_refs_are_all_lost_stops_the_first_collection_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("kamld.store.refs.seen._BEGUN", NOW)
    repository, dataset = fresh()
    commit(repository, dataset, {b"a": data(1)})
    for listed in list(repository.blobs.list("refs/")):
        repository.blobs.delete(listed.key)
    with pytest.raises(SystemFault, match="which version p/d was") as caught:
        collect(repository, 0, NOW)
    assert caught.value.code == "lost_refs"
    assert "kamld rm p/d" in caught.value.hint
