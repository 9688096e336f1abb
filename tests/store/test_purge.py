"""Purging: the bytes are gone from every file of the hub, everything else is as it was; whoever writes or
reads at the same moment loses nothing; killed at any write it is ended by the next.
"""

import copy
import random
from contextlib import suppress
from pathlib import Path

import msgspec
import pytest
from blake3 import blake3

from kamld.blobs import Changed, FolderBlobs, MemoryBlobs
from kamld.errors import Conflict, NotFound, SystemFault
from kamld.records.history import Dataset
from kamld.records.kinds import FILE
from kamld.records.names import Name
from kamld.store import Repository, open_hub
from kamld.store.fsck import HubSource, check, repair
from kamld.store.gc import collect
from kamld.store.objects import Place, read
from kamld.store.objects.holes import Holes
from kamld.store.purge import Purged, contents, find, finish, purge, unfinished, weigh
from kamld.store.trees.entries import Entry, entries_of
from tests.store.faults import FaultyBlobs, Killed, Plan
from tests.store.hubs import AUTHOR, commit, files_of, fresh, head

_RANDOM = random.Random(7)
SECRET = b"the patient's name is " + _RANDOM.randbytes(60)
LARGE = _RANDOM.randbytes(700_000)
OTHER = LARGE[:350_000] + _RANDOM.randbytes(200_000)  # shares the first chunks


def remove(
    repository: Repository, path: str, *, every_version: bool = False, patience: float = 0.0,
    name: str = "d",
) -> Purged:  # fmt: skip
    dataset = repository.names.get(Name("p", name))
    ids = contents(repository, dataset, head(repository, dataset), path, every_version=every_version)
    touched = find(repository, ids)
    return purge(repository, ids, touched, author="Ada", reason="consent withdrawn", patience=patience)


def identifier(data: bytes) -> bytes:
    return blake3(data).digest()


def stored(repository: Repository, data: bytes) -> list[bytes]:
    """The bytes of packs that are this content, and any 40 bytes of it as they are."""
    chunks = [chunk for chunk, _ in repository.objects.chunks(identifier(data))]
    kept = [repository.objects.stored(chunk)[1] for chunk in chunks]
    return kept + [data[at : at + 40] for at in range(0, len(data), 5000)]


def traces(blobs: MemoryBlobs, parts: list[bytes]) -> list[str]:
    return [key for key, value in blobs._objects.items() if any(part in value for part in parts)]


def everything_is_sound(blobs: MemoryBlobs) -> None:
    assert check(blobs, threads=1, progress=lambda *_: None).findings == []


def test_a_small_file_is_gone_and_the_rest_is_as_it_was() -> None:
    blobs = MemoryBlobs()
    repository, dataset = fresh(blobs)
    made = commit(repository, dataset, {b"a": b"one" * 50, b"secret": SECRET, b"b": b"two"})
    parts = stored(repository, SECRET)
    assert traces(blobs, parts)
    done = remove(repository, "secret")
    assert (done.packs, done.shared, len(done.holes)) == (1, 0, 1)
    assert traces(blobs, parts) == []
    for now in (repository, open_hub(blobs)):
        tree = now.tree(now.commit(made.commit_id))
        assert [row.path for row in tree.entries().rows()] == [b"a", b"b", b"secret"]
        assert now.objects.read(identifier(b"one" * 50)) == b"one" * 50
        with pytest.raises(NotFound) as gone:
            now.objects.read(identifier(SECRET))
        assert gone.value.code == "purged_file"
        assert "p/d:secret was purged by Ada on 20" in gone.value.message
        assert "consent withdrawn" in gone.value.message
        assert now.objects.purged([identifier(SECRET), identifier(b"two")]) == {identifier(SECRET)}
    everything_is_sound(blobs)
    assert check(blobs, threads=1, progress=lambda *_: None).purged == 1


def test_who_has_read_it_before_soon_cannot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that lives long has the old pack open, and knows the old index."""
    blobs = FolderBlobs(tmp_path / "hub")
    repository, dataset = fresh(blobs)
    commit(repository, dataset, {b"a": b"one" * 50, b"secret": SECRET, b"large": LARGE})
    monkeypatch.setattr(read, "HEED_S", 0.0)
    reader = open_hub(blobs)
    assert reader.objects.read(identifier(SECRET)) == SECRET
    remove(repository, "secret")
    remove(repository, "large")
    for data in (SECRET, LARGE):
        with pytest.raises(NotFound) as gone:
            reader.objects.read(identifier(data))
        assert gone.value.code == "purged_file"
    assert reader.objects.read(identifier(b"one" * 50)) == b"one" * 50


def test_committing_it_again_is_refused_and_the_rest_goes_on() -> None:
    blobs = MemoryBlobs()
    repository, dataset = fresh(blobs)
    made = commit(repository, dataset, {b"secret": SECRET, b"large": LARGE, b"b": b"two"})
    remove(repository, "secret")
    remove(repository, "large")
    for data in (SECRET, LARGE):
        for opened in (repository, open_hub(blobs)):
            before = dict(blobs._objects)
            with pytest.raises(Conflict) as refused:
                commit(opened, dataset, {b"x": data}, made.commit_id)
            assert refused.value.code == "purged_content"
            assert {key for key in blobs._objects if key not in before} == set()
    same = repository.tree(repository.commit(made.commit_id)).entries()
    with repository.writer() as writer:  # a version that still lists it, as a merge or a split makes
        version = repository.write_version(
            writer, same, parents=(made.commit_id,), author=AUTHOR, message="same"
        )
    repository.land_version(dataset, "main", version, author=AUTHOR)
    again = commit(repository, dataset, {b"b": b"two", b"c": b"three"}, head(repository, dataset))
    assert files_of(repository, again.landed.head)[b"c"] == b"three"


def test_what_other_files_share_stays() -> None:
    blobs = MemoryBlobs()
    repository, dataset = fresh(blobs)
    commit(repository, dataset, {b"large": LARGE, b"other": OTHER})
    own = [chunk for chunk, _ in repository.objects.chunks(identifier(LARGE))]
    theirs = {chunk for chunk, _ in repository.objects.chunks(identifier(OTHER))}
    parts = [repository.objects.stored(chunk)[1] for chunk in own if chunk not in theirs]
    assert 0 < len(parts) < len(own)
    expected = weigh(repository, [identifier(LARGE)])
    done = remove(repository, "large")
    assert (done.bytes, done.shared) == (expected.bytes, expected.shared)
    assert done.shared == len(own) - len(parts)
    assert done.bytes > sum(map(len, parts))  # the list of chunks too
    assert traces(blobs, parts) == []
    assert repository.objects.read(identifier(OTHER)) == OTHER
    with pytest.raises(NotFound):
        repository.objects.read(identifier(LARGE))
    everything_is_sound(blobs)
    remove(repository, "other")
    assert traces(blobs, [LARGE[:40], OTHER[-40:]]) == []
    everything_is_sound(blobs)


def test_a_file_that_is_a_chunk_of_the_purged_one_stays() -> None:
    """What is a file of its own is not only a part."""
    blobs = MemoryBlobs()
    repository, dataset = fresh(blobs)
    commit(repository, dataset, {b"large": LARGE})
    chunks = repository.objects.chunks(identifier(LARGE))
    piece = LARGE[: chunks[0][1]]
    other = repository.create(Name("p", "other"), "dataset")
    made = commit(repository, other, {b"piece": piece})
    assert identifier(piece) == chunks[0][0]
    assert repository.objects.chunks(identifier(piece)) == [chunks[0]]
    assert remove(repository, "large").shared == 1
    assert files_of(open_hub(blobs), made.commit_id) == {b"piece": piece}


def test_in_every_version() -> None:
    blobs = MemoryBlobs()
    repository, dataset = fresh(blobs)
    first = commit(repository, dataset, {b"x/1": b"old secret" * 9, b"b": b"two"})
    second = commit(repository, dataset, {b"x/1": b"new secret" * 9, b"b": b"two"}, first.commit_id)
    other = repository.create(Name("p", "copy"), "dataset")
    commit(repository, other, {b"elsewhere": b"new secret" * 9})
    ids = contents(repository, dataset, second.commit_id, "x", every_version=False)
    assert set(ids) == {identifier(b"new secret" * 9)}
    touched = find(repository, ids)
    places = [
        (place.dataset.name if place.dataset else "", place.path, place.versions) for place in touched.places
    ]
    assert places == [("copy", b"elsewhere", ("main",)), ("d", b"x/1", ("main",))]
    remove(repository, "x/1", every_version=True)
    assert traces(blobs, [b"old secret", b"new secret"]) == []
    assert sorted(len(hole.files) for hole in Holes(blobs).all()) == [1, 2]
    with pytest.raises(NotFound) as unknown:
        contents(repository, dataset, second.commit_id, "nothing", every_version=True)
    assert unknown.value.code == "unknown_path"


def test_gc_and_repair_go_on_afterwards(monkeypatch: pytest.MonkeyPatch) -> None:
    blobs = MemoryBlobs()
    repository, dataset = fresh(blobs)
    commit(repository, dataset, {b"large": LARGE, b"secret": SECRET, b"b": b"two" * 30})
    old = MemoryBlobs()
    old._objects = copy.copy(blobs._objects)
    remove(repository, "large")
    remove(repository, "secret")
    collect(open_hub(blobs), keep_days=30)
    mended = repair(blobs, [HubSource(old, is_copy=True)], threads=1, progress=lambda *_: None)
    assert mended.report.findings == []
    assert traces(blobs, [LARGE[5000:5040], SECRET[-40:]]) == []  # the old copy still had it
    assert repository.objects.read(identifier(b"two" * 30)) == b"two" * 30


def test_what_killed_commits_have_left_goes_too() -> None:
    """In packs that no index knows."""
    start = MemoryBlobs()
    _, dataset = fresh(start)
    counted = Plan()
    commit(open_hub(FaultyBlobs(copied(start), counted)), dataset, {b"large": LARGE})
    at = next(n for n, write in enumerate(counted.writes, 1) if write.startswith("put index/"))
    blobs = copied(start)
    with suppress(Killed):
        commit(open_hub(FaultyBlobs(blobs, Plan(at, "kill"))), dataset, {b"large": LARGE})
    for key in [key for key in blobs._objects if key.startswith("leases/")]:
        del blobs._objects[key]
    assert any(key.startswith("packs/") for key in blobs._objects)
    repository = open_hub(blobs)
    with repository.writer() as writer:
        place = Place(address="/elsewhere", size=len(LARGE), since="2026-03-02T10:00:00.000000Z")
        kept, size = writer.put_place(place, [LARGE])
        rows = [Entry(b"large", FILE, size, kept)]
        version = repository.write_version(writer, entries_of(rows), parents=(), author=AUTHOR, message="m")
    repository.land_version(dataset, "main", version, author=AUTHOR)
    remove(repository, "large")
    assert traces(blobs, [LARGE[at : at + 40] for at in range(0, len(LARGE), 9000)]) == []
    everything_is_sound(blobs)


def copied(blobs: MemoryBlobs) -> MemoryBlobs:
    other = MemoryBlobs()
    other._objects = copy.copy(blobs._objects)
    return other


def test_what_a_repair_took_away_goes_too() -> None:
    blobs = MemoryBlobs()
    repository, dataset = fresh(blobs)
    commit(repository, dataset, {b"secret": SECRET, b"b": b"two" * 30})
    pack = next(key for key in blobs._objects if key.startswith("packs/"))
    blobs._objects[pack] = blobs._objects[pack][:-1] + b"x"
    repair(blobs, [], threads=1, progress=lambda *_: None)
    assert any(key.startswith("damaged/") for key in traces(blobs, [SECRET[-40:]]))
    remove(open_hub(blobs), "secret")
    assert traces(blobs, [SECRET[-40:]]) == []


@pytest.mark.parametrize("kind", ["kill", "kill late", "refuse", "lost"])
def test_killed_at_every_write_and_ended(kind: str) -> None:
    start = MemoryBlobs()
    repository, dataset = fresh(start)
    first = commit(repository, dataset, {b"large": LARGE, b"b": b"two" * 30, b"other": OTHER})
    commit(repository, dataset, {b"large": LARGE, b"c": b"3" * 30, b"other": OTHER}, first.commit_id)
    parts = [
        repository.objects.stored(chunk)[1]
        for chunk in {chunk for chunk, _ in repository.objects.chunks(identifier(LARGE))}
        - {chunk for chunk, _ in repository.objects.chunks(identifier(OTHER))}
    ]

    def attempt(plan: Plan) -> MemoryBlobs:
        blobs = MemoryBlobs()
        blobs._objects = copy.copy(start._objects)
        with suppress(Killed, SystemFault, Conflict, Changed):
            remove(open_hub(FaultyBlobs(blobs, plan)), "large")
        return blobs

    counted = Plan()
    attempt(counted)
    assert len(counted.writes) > 12
    for at in range(1, len(counted.writes) + 1):
        where = f"{kind} at {counted.writes[at - 1]}"
        blobs = attempt(Plan(at, kind))
        for key in [key for key in blobs._objects if key.startswith("leases/")]:
            del blobs._objects[key]  # its process is gone
        files = files_of_all(open_hub(blobs), dataset)
        assert files == {b"b": b"two" * 30, b"c": b"3" * 30, b"other": OTHER}, where
        again = open_hub(blobs)
        if Holes(blobs).listed():
            finish(again, author="Ada")
        else:
            remove(again, "large")
        assert unfinished(again) == [], where
        assert traces(blobs, parts) == [], where
        assert files_of_all(open_hub(blobs), dataset) == files, where
        everything_is_sound(blobs)


def files_of_all(repository: Repository, dataset: Dataset) -> dict[bytes, bytes]:
    """Of all versions, but what is purged or being purged."""
    found = {}
    for _, one in repository.log(head(repository, dataset)):
        for row in repository.tree(one).entries().rows():
            if row.id != identifier(LARGE):
                found[row.path] = repository.objects.read(row.id)
    return found


def test_the_place_of_a_file_that_was_left_elsewhere_goes(tmp_path: Path) -> None:
    """Where it is, and what hashes its parts have, are in the hub; the file itself never was."""
    blobs = MemoryBlobs()
    repository, dataset = fresh(blobs)
    file = tmp_path / "left.bin"
    file.write_bytes(LARGE)
    with repository.writer() as writer:
        place = Place(address=str(file), size=len(LARGE), since="2026-03-02T10:00:00.000000Z")
        kept, size = writer.put_place(place, [LARGE])
        rows = [Entry(b"left", FILE, size, kept), Entry(b"z", FILE, 3, writer.put(b"two"))]
        version = repository.write_version(writer, entries_of(rows), parents=(), author=AUTHOR, message="m")
    repository.land_version(dataset, "main", version, author=AUTHOR)
    assert repository.objects.read(kept) == LARGE
    assert traces(blobs, [str(file).encode()])
    remove(repository, "left")
    assert traces(blobs, [str(file).encode()]) == []
    for now in (repository, open_hub(blobs)):
        with pytest.raises(NotFound) as gone:
            now.objects.read(kept)
        assert gone.value.code == "purged_file"
    assert file.exists()  # it is not ours
    everything_is_sound(blobs)


def test_an_old_hub_is_not_purged_from() -> None:
    blobs = MemoryBlobs()
    repository, dataset = fresh(blobs)
    commit(repository, dataset, {b"secret": SECRET})
    repository.hub = msgspec.structs.replace(repository.hub, format=1)
    with pytest.raises(Conflict) as old:
        remove(repository, "secret")
    assert old.value.code == "older_hub"
    assert not Holes(blobs).listed()
