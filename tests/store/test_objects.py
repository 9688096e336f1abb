"""Objects: any bytes come back as they were, from memory or from files; nothing wrong ever comes back."""

import os
import random
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import pytest
from blake3 import blake3
from hypothesis import given
from hypothesis import strategies as st

from kamld.blobs import FolderBlobs, MemoryBlobs
from kamld.errors import SystemFault
from kamld.store import Repository, Source, Writer, open_hub
from kamld.store.chunking import WHOLE_MAX, Chunking
from kamld.store.index import Index, as_ids
from kamld.store.objects import Objects, files
from tests.conftest import Unprivileged
from tests.store.hubs import commit, files_of, fresh

SMALL = Chunking(smallest=64, average=256, largest=1024)
sizes = st.integers(0, 300) | st.sampled_from([WHOLE_MAX - 1, WHOLE_MAX, WHOLE_MAX + 1, 70_000, 200_000])


def noise(seed: int, size: int) -> bytes:
    return random.Random(seed).randbytes(size)


def repeated(block: bytes, size: int) -> bytes:
    return (block * (size // len(block) + 1))[:size]


contents = (
    st.binary(max_size=200)
    | st.builds(noise, st.integers(0, 9), sizes)
    | st.builds(repeated, st.binary(min_size=1, max_size=20), sizes)
)


def store(blobs: MemoryBlobs, chunking: Chunking = SMALL) -> tuple[Objects, Callable[[], Writer]]:
    index = Index(blobs)
    return Objects(blobs, index), lambda: Writer(blobs, index, chunking, 2)


@given(st.lists(contents, max_size=8))
def test_what_is_put_comes_back(values: list[bytes]) -> None:
    blobs = MemoryBlobs()
    _, writing = store(blobs)
    with writing() as writer:
        ids = [writer.put(value) for value in values]
    objects, _ = store(blobs)
    assert ids == [blake3(value).digest() for value in values]
    assert [objects.read(identifier) for identifier in ids] == values
    assert objects.lengths(ids) == [len(value) for value in values]
    found = {at: b"".join(pieces) for at, pieces in objects.read_many(ids)}
    assert found == dict(enumerate(values))


@given(st.lists(contents, max_size=5))
def test_nothing_is_kept_twice(values: list[bytes]) -> None:
    blobs = MemoryBlobs()
    _, writing = store(blobs)
    for _ in range(2):
        with writing() as writer:
            for value in values * 2:
                writer.put(value)
        objects, added = writer.objects_added, writer.bytes_added
    assert (objects, added) == (0, 0)


@given(contents)
def test_how_it_is_cut_is_nobodys_business(value: bytes) -> None:
    blobs = MemoryBlobs()
    ids = set()
    for chunking in (SMALL, Chunking()):
        _, writing = store(blobs, chunking)
        with writing() as writer:
            ids.add(writer.put(value))
    assert len(ids) == 1
    assert store(blobs)[0].read(ids.pop()) == value


def test_large_and_repetitive() -> None:
    blobs = MemoryBlobs()
    objects, writing = store(blobs, Chunking())
    value = bytes(20_000_000)
    with writing() as writer:
        identifier = writer.put(value)
    assert objects.read(identifier) == value
    assert sum(listed.size for listed in blobs.list("")) < 20_000
    assert max(len(piece) for piece in objects.stream(identifier)) <= Chunking().largest


def test_files(tmp_path: Path) -> None:
    """Small ones in batches, large ones in windows; each comes back, and is what memory makes of it."""
    wanted = [0, 1, 100, WHOLE_MAX, WHOLE_MAX + 1, 300_000, 4 * 2**20, 4 * 2**20 + 1, 20_000_000]
    values = {str(tmp_path / str(n)): noise(n, n) for n in [*wanted, *range(2, 800)]}
    for path, value in values.items():
        Path(path).write_bytes(value)
    blobs = MemoryBlobs()
    objects, writing = store(blobs, Chunking())
    told: list[tuple[int, int]] = []
    with writing() as writer:
        sources = [Source(path, len(value)) for path, value in values.items()]
        written = list(writer.put_files(sources, lambda files, size: told.append((files, size))))
    assert {one.source.path: one.id for one in written} == {p: blake3(v).digest() for p, v in values.items()}
    assert all(one.state.size == len(values[one.source.path]) for one in written)
    assert all(objects.read(one.id) == values[one.source.path] for one in written)
    assert sum(files for files, _ in told) == len(values)
    assert sum(size for _, size in told) == sum(map(len, values.values()))
    with writing() as writer:
        assert {writer.put(value) for value in values.values()} == {one.id for one in written}
    assert writer.objects_added == 0


@pytest.mark.parametrize("guess", [0, 100, 5 * 2**20])
@pytest.mark.parametrize("size", [0, 1, WHOLE_MAX, WHOLE_MAX + 1, 6 * 2**20])
def test_a_wrong_guess_of_the_size(tmp_path: Path, guess: int, size: int) -> None:
    (tmp_path / "file").write_bytes(noise(1, size))
    objects, writing = store(MemoryBlobs())
    with writing() as writer:
        (written,) = writer.put_files([Source(str(tmp_path / "file"), guess)])
    assert objects.read(written.id) == noise(1, size)


# --- files that cannot be read


def refused(source: Source) -> SystemFault:
    blobs = MemoryBlobs()
    _, writing = store(blobs)
    with pytest.raises(SystemFault) as fault:
        put_all(writing, [source])
    assert list(blobs.list("")) == []
    return fault.value


def put_all(writing: Callable[[], Writer], sources: list[Source]) -> None:
    with writing() as writer:
        list(writer.put_files(sources))


@pytest.mark.parametrize("size", [10, 5 * 2**20])
def test_unreadable(tmp_path: Path, unprivileged: Unprivileged, size: int) -> None:
    (tmp_path / "closed").write_bytes(b"x")
    (tmp_path / "closed").chmod(0)
    (tmp_path / "link").symlink_to("closed")
    os.mkfifo(tmp_path / "pipe")
    with unprivileged.here():
        for name in ("closed", "gone", "link", "pipe", "."):
            fault = refused(Source(str(tmp_path / name), size))
            assert fault.code == "unreadable_file"
            assert str(tmp_path) in fault.message


def whenever_read(monkeypatch: pytest.MonkeyPatch, act: Callable[[], object]) -> None:
    """After each reading of a part of a file."""

    def acting(read: Callable[..., object]) -> Callable[..., object]:
        def acted(*given: object) -> object:
            found = read(*given)
            act()
            return found

        return acted

    for name in ("read", "readv"):
        monkeypatch.setattr(os, name, acting(getattr(os, name)))


@pytest.mark.parametrize("size", [1000, 5 * 2**20])
def test_a_file_that_never_settles(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    path = tmp_path / "log"
    path.write_bytes(noise(1, size))

    def grow() -> None:
        with open(path, "ab") as log:
            log.write(b"!")

    whenever_read(monkeypatch, grow)
    assert refused(Source(str(path), size)).code == "changing_file"


@pytest.mark.parametrize("size", [1000, 5 * 2**20])
def test_a_file_that_changed_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    path = tmp_path / "log"
    path.write_bytes(noise(1, size))
    changes = [noise(2, size + 7)]
    whenever_read(monkeypatch, lambda: changes and path.write_bytes(changes.pop()))
    objects, writing = store(MemoryBlobs())
    with writing() as writer:
        (written,) = writer.put_files([Source(str(path), size)])
    assert objects.read(written.id) == path.read_bytes()


@pytest.mark.parametrize("seen_before", [True, False])
def test_a_server_whose_clock_is_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seen_before: bool
) -> None:
    """A change while a file is read has a stamp of a second ago; it is none that the file had before."""
    path, behind = tmp_path / "file", 1_000_000_000
    path.write_bytes(b"before")
    time.sleep(0.03)

    def stamps(of: os.stat_result) -> tuple[int, ...]:
        return of.st_size, of.st_mtime_ns - behind, of.st_ctime_ns - behind, of.st_ino, of.st_mode

    monkeypatch.setattr(files, "_STAMPS", stamps)
    seen = files.columns([os.stat(path)])[:, :4] if seen_before else None
    changes = [b"after!"]
    whenever_read(monkeypatch, lambda: changes and path.write_bytes(changes.pop()))
    data, states = files.read_many(b"", [os.fsencode(path)], [6], seen)
    assert data == [b"after!"]
    assert states[0, 1] == path.stat().st_mtime_ns - behind


def test_files_numbered_by_hashes() -> None:
    state = SimpleNamespace(st_size=7, st_mtime_ns=1, st_ctime_ns=2, st_ino=2**64 - 5, st_mode=0o100644)
    assert files.columns([state]).tolist() == [[7, 1, 2, 2**63 - 5, 0o100644]]  # type: ignore[list-item]


def test_an_exception_keeps_nothing(tmp_path: Path) -> None:
    blobs = MemoryBlobs()
    _, writing = store(blobs)
    writer = writing()
    writer.put(b"value")
    with pytest.raises(KeyboardInterrupt), writer:
        raise KeyboardInterrupt
    assert list(blobs.list("")) == []


# --- many at once


def test_threads_share_a_hub(tmp_path: Path) -> None:
    """Writers and readers of one process beside each other, over packs of several sizes."""
    repository = open_hub(FolderBlobs(tmp_path / "hub"), threads=2)
    start = threading.Barrier(4)

    def work(number: int) -> None:
        start.wait()
        values = [noise(number * 1000 + n % 5, 20_000 * (n % 9)) for n in range(60)]
        for part in range(0, 60, 10):
            with repository.writer() as writer:
                ids = [writer.put(value) for value in values[part : part + 10]]
            assert [repository.objects.read(i) for i in ids] == values[part : part + 10]

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(work, range(4)))


# --- damage


def hub_with_a_large_file() -> tuple[MemoryBlobs, Repository, str, dict[bytes, bytes]]:
    blobs = MemoryBlobs()
    repository, dataset = fresh(blobs)
    files = {b"a": b"small " * 50, b"b": b"x", b"large": b"".join(b"%d " % (n * n) for n in range(13_000))}
    return blobs, repository, commit(repository, dataset, files).commit_id, files


def with_damage(blobs: MemoryBlobs, key: str, value: bytes) -> Repository:
    other = MemoryBlobs()
    other._objects = blobs._objects | {key: value}
    return open_hub(other)


@pytest.mark.parametrize("folder", ["packs/", "index/"])
def test_damage_never_comes_back_as_data(folder: str) -> None:
    """Any byte flipped, any end missing: the right content or a SystemFault, never anything else."""
    blobs, _, commit_id, files = hub_with_a_large_file()
    (listed,) = blobs.list(folder)
    whole, numbers = blobs.get(listed.key), random.Random(0)
    step = max(1, len(whole) // 3000)
    places = range(0, len(whole), step)
    damages = [whole[:at] + bytes([whole[at] ^ numbers.randint(1, 255)]) + whole[at + 1 :] for at in places]
    damages += [whole[:at] for at in range(0, len(whole), step * 50)]
    faults, codes = 0, set[str]()
    for damage in damages:
        repository = with_damage(blobs, listed.key, damage)
        try:
            found = files_of(repository, commit_id)
        except SystemFault as fault:
            codes.add(fault.code)
            faults += 1
            continue
        assert found == files
    assert faults > len(damages) / 3
    assert codes <= {"missing_object", "missing_pack", "damaged_object", "damaged_index"}


def test_a_damaged_index_is_made_anew() -> None:
    blobs, _, commit_id, files = hub_with_a_large_file()
    (listed,) = blobs.list("index/")
    for damage in (b"", b"KMLDIDX1", bytes(500)):
        repository = with_damage(blobs, listed.key, damage)
        with pytest.raises(SystemFault) as fault:
            files_of(repository, commit_id)
        assert "kamld rebuild" in fault.value.hint
        assert repository.rebuild_index()[0] > 0
        assert files_of(repository, commit_id) == files


def test_a_lost_pack() -> None:
    blobs, _, commit_id, _ = hub_with_a_large_file()
    (listed,) = blobs.list("packs/")
    blobs.delete(listed.key)
    with pytest.raises(SystemFault) as fault:
        files_of(open_hub(blobs), commit_id)
    assert fault.value.code == "missing_pack"
    assert listed.key in fault.value.message


def test_a_recipe_of_another_object_is_noticed() -> None:
    """Two files of one size whose entries in the index were mixed up: as one flipped byte could."""
    blobs = MemoryBlobs()
    objects, writing = store(blobs)
    with writing() as writer:
        one, other = (writer.put(noise(n, 100_000)) for n in (1, 2))
    index = Index(blobs)
    (segment,) = index.segments()
    rows = [int(row) for row in segment.find(as_ids([one, other]))]
    mixed = {name: column.copy() for name, column in segment.columns.items()}
    for name in ("offset", "stored"):
        mixed[name][rows] = mixed[name][rows[::-1]]
    index._segments = [type(segment)(segment.name, segment.packs, [], mixed, segment.data)]
    mixed_up = Objects(blobs, index)
    for identifier in (one, other):
        assert len(objects.read(identifier)) == 100_000
        with pytest.raises(SystemFault) as fault:
            mixed_up.read(identifier)
        assert fault.value.code == "damaged_object"


def test_prefixes_see_what_others_added() -> None:
    blobs = MemoryBlobs()
    objects, _ = store(blobs)
    assert objects.with_prefix("00") == []
    _, writing = store(blobs)
    with writing() as writer:
        identifier = writer.put(b"by another process")
    for length in (4, 12, 16, 17, 40, 64):
        assert objects.with_prefix(identifier.hex()[:length]) == [identifier]
    assert objects.with_prefix("ffff" + identifier.hex()[:8]) == []
