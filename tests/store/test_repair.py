"""Repairing a hub: from a copy everything comes back, from a folder all that a folder has; without a
source nothing gets worse. Killed at any write and run again, it ends the same.
"""

import copy
import os
import shutil
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

import pytest
from blake3 import blake3
from hypothesis import given
from hypothesis import strategies as st

from kamld.blobs import Blobs, FolderBlobs, MemoryBlobs
from kamld.errors import SystemFault
from kamld.records.history import Checkpoint
from kamld.records.kinds import FILE
from kamld.records.names import Name
from kamld.store import Repository, open_hub
from kamld.store.chunking import Chunking
from kamld.store.fsck import FolderFile, FolderSource, HubSource, Mended, Source, check, repair
from kamld.store.index import as_ids
from tests.store.faults import FaultyBlobs, Killed, Plan, Stepping
from tests.store.hubs import AUTHOR, check_whole, commit, files_of, fresh, head
from tests.store.test_fsck import cut, delete, everything, files_in, fill, flip, of_sound

LARGE = b"".join(b"%08d " % (n * 2654435761 % 10**8) for n in range(60_000))  # half a megabyte
Harm = Callable[[Path, int, int], None]


def mend(blobs: Blobs, *sources: Source) -> Mended:
    return repair(blobs, sources, threads=2, progress=lambda *_: None)


def copy_of(hub: Path) -> HubSource:
    return HubSource(FolderBlobs(hub), is_copy=True)


def folder(path: Path) -> FolderSource:
    files = [
        FolderFile(os.fsencode(file.relative_to(path)), FILE, os.fsencode(file))
        for file in sorted(path.rglob("*"))
        if file.is_file()
    ]
    return FolderSource(path, sorted(files, key=lambda file: file.path), Chunking())


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("sound") / "hub"
    fill(FolderBlobs(place))
    return place


def harmed(hub: Path, copy: Path, harms: Sequence[tuple[str, Harm, int, int]]) -> None:
    shutil.copytree(hub, copy, copy_function=os.link)
    for name, harm, at, bit in harms:
        harm(copy / name, at, bit)


@given(st.data())
def test_from_a_copy_of_the_hub_everything_comes_back(
    hub: Path, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    damaged = tmp_path_factory.mktemp("damaged") / "hub"
    names = [name for name in files_in(hub) if name != "kamld-hub.json"]
    one = st.sampled_from([flip, cut, delete])
    some = data.draw(st.lists(st.sampled_from(names), unique=True, min_size=1, max_size=4))
    harms = [
        (name, data.draw(one), data.draw(st.integers(0, 10**7)), data.draw(st.integers(0, 7)))
        for name in some
    ]
    try:
        harmed(hub, damaged, harms)
        done = mend(FolderBlobs(damaged), copy_of(hub))
        assert done.report.findings == []
        assert everything(FolderBlobs(damaged)) == of_sound(hub)
    finally:
        shutil.rmtree(damaged)


@given(st.data())
def test_without_a_source_nothing_gets_worse(
    hub: Path, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    """What could be read before can be read after; what is lost is still said."""
    damaged = tmp_path_factory.mktemp("damaged") / "hub"
    names = [name for name in files_in(hub) if name.startswith(("packs/", "index/"))]
    name, harm = data.draw(st.sampled_from(names)), data.draw(st.sampled_from([flip, cut, delete]))
    try:
        harmed(hub, damaged, [(name, harm, data.draw(st.integers(0, 10**7)), data.draw(st.integers(0, 7)))])
        before = check(FolderBlobs(damaged), threads=2, progress=lambda *_: None)
        had = readable(damaged) if not before.mend else readable(hub)
        after = mend(FolderBlobs(damaged)).report
        assert readable(damaged) >= had
        assert after.versions_affected <= before.versions_affected
        assert bool(after.affected) == bool(before.affected)
        assert {one.code for one in after.findings} <= {"lost_files"}
    finally:
        shutil.rmtree(damaged)


def readable(hub: Path) -> set[bytes]:
    """Objects that can be had."""
    repository = open_hub(FolderBlobs(hub), threads=1)
    found = set()
    with suppress(SystemFault):
        for segment in repository.index.segments():
            for identifier in segment.between(0, 2**64 - 1):
                with suppress(SystemFault):
                    repository.objects.read(identifier)
                    found.add(identifier)
    return found


@pytest.mark.parametrize("harm", [flip, cut, delete])
def test_from_the_folder_it_was_committed_from(tmp_path: Path, harm: Harm) -> None:
    """Commits are not in a folder: they are in a pack of their own here, which stays whole."""
    files = {b"a/%d.txt" % n: b"small %d\n" % n * 50 for n in range(20)} | {b"large": LARGE, b"empty": b""}
    work = tmp_path / "work"
    for path, data in files.items():
        place = work / os.fsdecode(path)
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(data)
    hub = tmp_path / "hub"
    repository, dataset = fresh(FolderBlobs(hub))
    with repository.writer() as writer:
        for data in files.values():
            writer.put(data)
    contents = list(hub.glob("packs/*/*.pack"))
    made = commit(repository, dataset, files)
    for number in range(40):
        damaged = tmp_path / f"damaged-{number}"
        harmed(hub, damaged, [(str(path.relative_to(hub)), harm, 7919 * number, 5) for path in contents])
        blobs = FolderBlobs(damaged)
        done = mend(blobs, folder(work))
        assert done.report.findings == []
        assert files_of(open_hub(blobs), made.commit_id) == files
        shutil.rmtree(damaged)


def test_trees_from_a_folder(tmp_path: Path) -> None:
    """The pages of a version that has just what is in the folder."""
    files = {b"a": b"one", b"b/c": b"two"}
    (tmp_path / "b").mkdir()
    (tmp_path / "a").write_bytes(b"one")
    (tmp_path / "b/c").write_bytes(b"two")
    blobs = MemoryBlobs()
    repository, dataset = fresh(blobs)
    made = commit(repository, dataset, files)
    tree = repository.tree(repository.commit(made.commit_id))
    for identifier in (tree.id, tree.pages[0].id):
        lose(blobs, identifier)
    assert check(blobs, threads=1, progress=lambda *_: None).affected
    assert mend(blobs, folder(tmp_path)).report.findings == []
    assert files_of(open_hub(blobs), made.commit_id) == files


def lose(blobs: MemoryBlobs, identifier: bytes) -> None:
    """Overwrite an object where it is kept."""
    places = open_hub(blobs).index.find(as_ids([identifier]))
    name = places.packs[int(places.pack[0])]
    key = f"packs/{name[:1].hex()}/{name.hex()}.pack"
    data, start = bytearray(blobs.get(key)), int(places.offset[0])
    data[start : start + int(places.stored[0])] = b"x" * int(places.stored[0])
    blobs._objects[key] = bytes(data)


def test_another_version_in_a_folder_has_most_parts_of_a_lost_one(tmp_path: Path) -> None:
    """The parts of a large file that both have are the same."""
    blobs = MemoryBlobs()
    repository, dataset = fresh(blobs)
    made = commit(repository, dataset, {b"large": LARGE})
    chunks = repository.objects.chunks(repository.tree(made.commit).entries().ids[0].tobytes())
    assert len(chunks) > 4
    lose(blobs, chunks[2][0])
    (tmp_path / "newer").write_bytes(LARGE + b"more")
    assert mend(blobs, folder(tmp_path)).report.findings == []
    assert files_of(open_hub(blobs), made.commit_id) == {b"large": LARGE}


def test_from_a_hub_that_is_no_copy(tmp_path: Path) -> None:
    """Content is content; names of another hub are not."""
    blobs, other = MemoryBlobs(), MemoryBlobs()
    repository, dataset = fresh(blobs)
    made = commit(repository, dataset, {b"large": LARGE, b"a": b"one"})
    foreign, there = fresh(other)
    commit(foreign, there, {b"anything": LARGE, b"b": b"one", b"c": b"not asked for"})
    for identifier in [chunk for chunk, _ in repository.objects.chunks(made_id(LARGE))] + [made_id(b"one")]:
        lose(blobs, identifier)
    before = set(blobs._objects)
    assert mend(blobs, HubSource(other, is_copy=False)).report.findings == []
    assert files_of(open_hub(blobs), made.commit_id) == {b"large": LARGE, b"a": b"one"}
    new = {key.split("/")[0] for key in set(blobs._objects) - before}
    assert new == {"packs", "index", "damaged"}


def made_id(data: bytes) -> bytes:
    return blake3(data).digest()


def test_what_a_source_has_damaged_too_is_not_taken(tmp_path: Path) -> None:
    blobs = MemoryBlobs()
    repository, dataset = fresh(blobs)
    commit(repository, dataset, {b"a": b"one" * 100, b"b": b"two"})
    other = MemoryBlobs()
    other._objects = copy.copy(blobs._objects)
    lose(blobs, made_id(b"one" * 100))
    lose(other, made_id(b"one" * 100))
    report = mend(blobs, HubSource(other, is_copy=True)).report
    assert [one.code for one in report.findings] == ["lost_files"]
    assert report.affected[0].paths == (b"a",)


@pytest.mark.parametrize("kind", ["kill", "kill late", "refuse"])
def test_killed_at_every_write_and_run_again(kind: str) -> None:
    sound = MemoryBlobs()
    fill(sound)
    start = MemoryBlobs()
    start._objects = copy.copy(sound._objects)
    pack = max((k for k in start._objects if k.startswith("packs/")), key=lambda k: len(start._objects[k]))
    data = bytearray(start._objects[pack])
    data[20] ^= 1
    data[-1] ^= 1
    start._objects[pack] = bytes(data)
    run = next(key for key in start._objects if key.startswith("runs/"))
    start._objects[run] = b"x"
    index = next(key for key in start._objects if key.startswith("index/"))
    del start._objects[index]
    wanted = everything(sound)

    def attempt(plan: Plan) -> MemoryBlobs:
        blobs = MemoryBlobs()
        blobs._objects = copy.copy(start._objects)
        with suppress(Killed, SystemFault):
            mend(FaultyBlobs(blobs, plan), HubSource(sound, is_copy=True))
        return blobs

    counted = Plan()
    attempt(counted)
    assert len(counted.writes) > 10
    for at in range(1, len(counted.writes) + 1):
        blobs = attempt(Plan(at, kind))
        assert mend(blobs, HubSource(sound, is_copy=True)).report.findings == [], counted.writes[at - 1]
        assert everything(blobs) == wanted, counted.writes[at - 1]


def test_what_expired_or_was_collected_is_not_brought_back() -> None:
    blobs = MemoryBlobs()
    repository, dataset = fresh(blobs)
    last: tuple[str, ...] = ()
    for number in range(4):
        files = {b"weights": b"%d" % number * 900}
        made = commit(repository, dataset, files, *last, checkpoint=Checkpoint(keep_last=1))
        last = (made.commit_id,)
    old = MemoryBlobs()
    old._objects = copy.copy(blobs._objects)
    lose(blobs, made_id(b"0" * 900))
    lose(blobs, made_id(b"3" * 900))
    done = mend(blobs, HubSource(old, is_copy=True))
    assert done.report.findings == []
    assert done.steps[-1].what == "1 lost object fetched from there"
    assert files_of(open_hub(blobs), last[0]) == {b"weights": b"3" * 900}


def test_a_sound_hub_is_not_changed_by_an_old_copy_of_it() -> None:
    """What has moved, was removed, collected, or settled since is not brought back."""
    blobs = MemoryBlobs()
    repository, dataset = fill(blobs)
    repository.set_ref(dataset, "short-lived", "branch", head(repository, dataset), author=AUTHOR)
    second = repository.create(Name("p", "second"), "dataset")
    made = commit(repository, second, {b"a": b"of the second"})
    old = copied(blobs)
    commit(repository, second, {b"a": b"amended"}, made.commit_id)
    at = head(repository, dataset)
    repository.refs.move(dataset, "short-lived", "branch", None, expected=at, author=AUTHOR, reason="remove")
    removed = next(iter(repository.names.removed()))
    for room in ("refs", "log"):
        for listed in list(blobs.list(f"{room}/{removed.dataset.id}/")):
            blobs.delete(listed.key)
    blobs.delete(f"removed/{removed.dataset.id}.json")
    assert check(blobs, threads=1, progress=lambda *_: None).findings == []
    before = {key: value for key, value in blobs._objects.items() if not key.startswith("leases/")}
    done = mend(blobs, HubSource(old, is_copy=True))
    assert (done.steps, done.report.findings) == ([], [])
    assert {k: v for k, v in blobs._objects.items() if not k.startswith("leases/")} == before


@pytest.mark.parametrize("lost_index", [False, True])
def test_somebody_who_commits_at_any_moment_loses_nothing(lost_index: bool) -> None:
    """Also where their commit joins the small packs of the ones before."""
    start = MemoryBlobs()
    repository, dataset = fresh(start)
    last: tuple[str, ...] = ()
    for number in range(7):
        made = commit(repository, dataset, {b"a": b"%d" % number * 99, b"b": b"same" * 50}, *last)
        last = (made.commit_id,)
    old = copied(start)
    other = open_hub(copied(start))
    lose(start, made_id(b"3" * 99))
    if lost_index:
        del start._objects[next(key for key in start._objects if key.startswith("index/"))]
    wanted = {b"a": b"new" * 40, b"b": b"same" * 50}
    at, done = 1, False
    while not done:
        blobs = copied(start)
        other = open_hub(blobs)
        assert other.index.segments() or lost_index
        made_then: list[str] = []

        def step(number: int, other: Repository = other, made: list[str] = made_then, at: int = at) -> None:
            if number == at:
                made.append(commit(other, dataset, wanted, *last).commit_id)

        plan = Stepping(step=step)
        assert mend(FaultyBlobs(blobs, plan), HubSource(old, is_copy=True)).report.findings == []
        done = len(plan.writes) < at
        if not done:
            assert files_of(open_hub(blobs), made_then[0]) == wanted, plan.writes[at - 1]
            assert len(check_whole(open_hub(blobs), dataset)) == 8
        at += 1
    assert at > 10


def copied(blobs: MemoryBlobs) -> MemoryBlobs:
    other = MemoryBlobs()
    other._objects = copy.copy(blobs._objects)
    return other


def test_readers_that_began_before_go_on() -> None:
    """A reader knows the old packs; those are gone."""
    blobs = MemoryBlobs()
    repository, dataset = fresh(blobs)
    made = commit(repository, dataset, {b"%d" % n: b"%d" % n * 30 for n in range(40)})
    reader = open_hub(blobs)
    assert reader.index.segments()
    lose(blobs, made_id(b"7" * 30))
    report = mend(blobs).report
    assert report.affected[0].paths == (b"7",)
    for row in reader.tree(made.commit).entries().rows():
        if row.path != b"7":
            assert reader.objects.read(row.id) == row.path * 30
