"""What a check says of a damaged hub, and that who works in it meanwhile is no damage."""

import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from kamld.blobs import Blobs, FolderBlobs, Listed, MemoryBlobs
from kamld.records.kinds import FILE
from kamld.records.names import Name
from kamld.store import Repository, open_hub, packs
from kamld.store.fsck import Report
from kamld.store.fsck import check as check_blobs
from kamld.store.fsck.report import SHOWN
from kamld.store.index import Index, build
from kamld.store.objects import Place
from kamld.store.refs.seen import note_refs
from kamld.store.trees.entries import Entry, entries_of
from tests.store.hubs import commit, fresh, head, put

TIME = "2026-03-02T10:00:00.000000Z"


def check(blobs: Blobs, only: frozenset[str] | None = None, *, quick: bool = False) -> Report:
    return check_blobs(blobs, threads=2, progress=lambda *_: None, only=only, quick=quick)


def codes(report: Report) -> set[str]:
    return {finding.code for finding in report.findings}


def replace(blobs: Blobs, key: str, data: bytes) -> None:
    blobs.delete(key)
    blobs.put(key, [data])
    blobs.flush()


def pack_with(blobs: Blobs, content: bytes) -> str:
    found = [n.key for n in blobs.list("packs/") if content in blobs.get(n.key)]
    assert len(found) == 1
    return found[0]


def spoil(blobs: Blobs, content: bytes) -> str:
    key = pack_with(blobs, content)
    replace(blobs, key, blobs.get(key).replace(content, bytes(b ^ 1 for b in content)))
    return key


def small(blobs: Blobs) -> Repository:
    repository, dataset = fresh(blobs)
    first = commit(repository, dataset, {b"a": b"the a", b"b": b"the b"})
    commit(repository, dataset, {b"a": b"the a", b"b": b"another b", b"c": b"the c"}, first.commit_id)
    return repository


# --- what is said


def test_which_files_of_which_versions() -> None:
    repository = small(MemoryBlobs())
    key = spoil(repository.blobs, b"the a")
    report = check(repository.blobs)
    assert [(f.code, f.key) for f in report.findings] == [("damaged_pack", key), ("lost_files", "p/d")]
    assert "1 of its 5 objects cannot be read" in report.findings[0].what
    assert [(one.version, one.files, one.total, one.paths) for one in report.affected] == [
        ("main", 1, 3, (b"a",)),
        ("main~1", 1, 2, (b"a",)),
    ]
    assert not report.mend


def test_a_version_of_which_nothing_is_known() -> None:
    repository = small(MemoryBlobs())
    repository.blobs.delete(pack_with(repository.blobs, b"another b"))
    report = check(repository.blobs)
    assert codes(report) == {"missing_pack", "lost_files"}
    assert [(one.version, one.files) for one in report.affected] == [("main", None)]
    assert (report.versions, report.versions_affected) == (2, 1)


def test_lists_are_bounded() -> None:
    repository, dataset = fresh()
    files = {b"%03d" % n: b"content %d of many" % n for n in range(SHOWN + 5)}
    last: tuple[str, ...] = ()
    for n in range(SHOWN + 3):
        last = (commit(repository, dataset, files | {b"n": b"%d" % n}, *last).commit_id,)
    key = pack_with(repository.blobs, b"content 1 of many")
    data = repository.blobs.get(key)
    for content in files.values():
        data = data.replace(content, content.upper())
    replace(repository.blobs, key, data)
    report = check(repository.blobs)
    assert (len(report.affected), report.versions_affected) == (SHOWN, SHOWN + 3)
    assert [one.version for one in report.affected][:2] == ["main", "main~1"]
    assert (report.affected[0].files, len(report.affected[0].paths)) == (SHOWN + 5, SHOWN)


def test_what_is_kept_twice_is_not_lost() -> None:
    repository = small(MemoryBlobs())
    other = open_hub(repository.blobs, threads=1)
    dataset = other.create(Name("p", "e"), "dataset")
    with other.writer() as writer, repository.writer() as same:  # neither knows of the other
        for one in (writer, same):
            put(one, {b"x": b"kept by both"})
        writer.put(b"something else")
        same.flush()
        tree = put(writer, {b"x": b"kept by both"})
        version = other.write_version(writer, tree, parents=(), author="Ada", message="m")
    other.land_version(dataset, "main", version, author="Ada")
    both = [n.key for n in repository.blobs.list("packs/") if b"kept by both" in repository.blobs.get(n.key)]
    assert len(both) == 2
    sound = repository.blobs.get(both[0]), repository.blobs.get(both[1])
    for key, data in zip(both, sound, strict=True):
        replace(repository.blobs, key, data.replace(b"kept by both", b"KEPT BY BOTH"))
        report = check(repository.blobs)
        assert codes(report) == {"damaged_pack"}
        assert "1 of them are kept elsewhere too" in report.findings[0].what
        replace(repository.blobs, key, data)
    repository.blobs.delete(both[0])
    repository.blobs.delete(both[1])
    assert "lost_files" in codes(check(repository.blobs))


def test_an_index_that_is_gone_only_has_to_be_made_anew() -> None:
    repository = small(MemoryBlobs())
    for listed in list(repository.blobs.list("index/")):
        repository.blobs.delete(listed.key)
    report = check(repository.blobs)
    assert (codes(report), report.mend, report.versions_affected) == ({"damaged_index"}, True, 0)
    open_hub(repository.blobs).rebuild_index()
    assert check(repository.blobs).findings == []


def test_an_index_that_says_other_things_than_the_packs() -> None:
    repository = small(MemoryBlobs())
    name = packs.name_of(pack_with(repository.blobs, b"another b"))
    assert name
    footer = packs.read_footer(repository.blobs.view(packs.key(name)), "it")
    wrong = packs.Footer(footer.ids, footer.offsets + np.uint32(1), footer.stored, footer.raw, footer.codecs)
    index = Index(repository.blobs)
    segment = build([name], [wrong], index.names())
    for listed in list(repository.blobs.list("index/")):
        repository.blobs.delete(listed.key)
    replace(repository.blobs, f"index/{segment[-32:].hex()}.idx", segment)
    assert "wrong_index" in codes(check(repository.blobs))


def test_a_pack_that_nobody_needs_may_be_in_no_index() -> None:
    """As a writer leaves it that was killed, or that is at work."""
    repository = small(MemoryBlobs())
    before = {listed.key for listed in repository.blobs.list("index/")}
    with repository.writer() as writer:
        writer.put(b"for nobody")
        writer.flush()
    for key in {listed.key for listed in repository.blobs.list("index/")} - before:
        repository.blobs.delete(key)
    assert check(repository.blobs).findings == []
    spoil(repository.blobs, b"for nobody")
    assert codes(check(repository.blobs)) == {"damaged_pack"}


def test_only_some_datasets_and_only_quickly() -> None:
    repository = small(MemoryBlobs())
    dataset = repository.create(Name("p", "e"), "dataset")
    commit(repository, dataset, {b"x": b"only of e" * 100, b"large": bytes(range(256)) * 4096})
    other = repository.names.get(Name("p", "d"))
    spoil(repository.blobs, b"the c")
    assert check(repository.blobs, quick=True).findings == []
    assert check(repository.blobs, frozenset([dataset.id])).findings == []
    found = check(repository.blobs, frozenset([other.id]))
    assert codes(found) == {"damaged_pack", "lost_files"}
    assert [one.paths for one in found.affected] == [(b"c",)]
    repository.blobs.delete(pack_with(repository.blobs, b"another b"))
    assert codes(check(repository.blobs, quick=True)) == {"missing_pack", "lost_files"}


def test_a_chunk_of_a_large_file() -> None:
    repository, dataset = fresh()
    large = np.random.default_rng(1).bytes(1_000_000)
    commit(repository, dataset, {b"large": large, b"small": b"small"})
    spoil(repository.blobs, large[500_000:500_020])
    for only in (None, frozenset([dataset.id])):
        report = check(repository.blobs, only)
        assert [(one.files, one.total, one.paths) for one in report.affected] == [(1, 2, (b"large",))]


def test_files_that_were_left_elsewhere(tmp_path: Path) -> None:
    repository, dataset = fresh()
    (tmp_path / "a").write_bytes(b"there")
    with repository.writer() as writer:
        place = Place(address=f"{tmp_path}/a", size=5, since=TIME)
        identifier, size = writer.put_place(place, [b"there"])
        entries = entries_of([Entry(b"a", FILE, size, identifier), Entry(b"b", FILE, 4, writer.put(b"here"))])
        version = repository.write_version(writer, entries, parents=(), author="Ada", message="m")
    repository.land_version(dataset, "main", version, author="Ada")
    for only in (None, frozenset([dataset.id])):
        report = check(repository.blobs, only)
        assert (report.findings, report.left) == ([], 1)
    spoil(repository.blobs, b"%b/a" % bytes(tmp_path))
    assert [one.paths for one in check(repository.blobs).affected] == [(b"a",)]


# --- beside others


class Busy(MemoryBlobs):
    """Each time that its packs are listed, somebody has just committed."""

    repository: Repository | None = None
    commits = 0

    def list(self, prefix: str) -> Iterator[Listed]:
        if prefix == "packs/" and self.repository and self.commits < 20:
            self.commits += 1
            dataset = self.repository.names.get(Name("p", "d"))
            before = head(self.repository, dataset)
            commit(self.repository, dataset, {b"n": b"%d" % self.commits}, before)
        return super().list(prefix)


def test_commits_in_between_are_no_damage() -> None:
    blobs = Busy()
    small(blobs)
    blobs.repository = open_hub(blobs, threads=1)
    assert check(blobs).findings == []
    assert blobs.commits


def test_beside_a_writer(tmp_path: Path) -> None:
    repository = small(FolderBlobs(tmp_path / "hub"))
    dataset = repository.names.get(Name("p", "d"))
    over = threading.Event()

    def work() -> None:
        number = 0
        while not over.is_set():
            number += 1
            commit(repository, dataset, {b"n": b"%d" % number}, head(repository, dataset))

    writer = threading.Thread(target=work)
    writer.start()
    try:
        reports = [check(FolderBlobs(tmp_path / "hub"))]
        while len(reports) < 15 or (reports[-1].versions == reports[0].versions and len(reports) < 1000):
            reports.append(check(FolderBlobs(tmp_path / "hub")))  # a busy disk may keep the writer waiting
    finally:
        over.set()
        writer.join()
    assert [report.findings for report in reports] == [[]] * len(reports)
    assert reports[-1].versions > reports[0].versions


class Vanishing(MemoryBlobs):
    """A pack that is away when it is looked for first, as while somebody moves a hub's files back."""

    away: str | None = None

    def list(self, prefix: str) -> Iterator[Listed]:
        listed = [one for one in super().list(prefix) if one.key != self.away]
        if prefix == "packs/":
            self.away = None
        return iter(listed)


def test_what_was_away_is_looked_for_again() -> None:
    blobs = Vanishing()
    small(blobs)
    blobs.away = pack_with(blobs, b"another b")
    assert check(blobs).findings == []


class Shrinking(FolderBlobs):
    """Its packs are cut off while they are read."""

    def part(self, key: str, start: int, length: int) -> bytes:
        data = super().part(key, start, length)
        path = Path(self.location, key)
        path.write_bytes(path.read_bytes()[: start + 10])
        return data


def test_cut_off_while_it_is_read(tmp_path: Path) -> None:
    small(FolderBlobs(tmp_path / "hub"))
    assert {"damaged_pack", "lost_files"} <= codes(check(Shrinking(tmp_path / "hub")))


def test_interrupted_it_leaves_nothing_running() -> None:
    repository = small(MemoryBlobs())

    def stop(_: int, __: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        check_blobs(repository.blobs, threads=2, progress=stop)
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("fsck")]


def test_a_ref_that_a_collection_saw_and_that_is_gone() -> None:
    blobs = MemoryBlobs()
    small(blobs)
    note_refs(blobs)
    assert check(blobs).sound
    (key,) = [listed.key for listed in blobs.list("refs/") if listed.key.endswith("/main")]
    blobs.delete(key)
    report = check(blobs)
    assert "lost_ref" in codes(report)
    assert not report.sound
    assert 'the branch, tag or alias "main" of' in " ".join(one.what for one in report.findings)
