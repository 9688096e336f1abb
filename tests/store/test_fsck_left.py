"""Files that were left where they are: what a check says of them, and what a repair can do."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from kamld.blobs.foreign import Foreign
from kamld.blobs.web import Found
from kamld.errors import SystemFault
from kamld.records.history import Dataset
from kamld.records.kinds import FILE
from kamld.records.names import Name
from kamld.store import Place, Repository
from kamld.store.chunking import Chunking
from kamld.store.fsck import FolderFile, FolderSource, HubSource, LeftFiles, Report, Source, repair
from kamld.store.fsck import check as check_blobs
from kamld.store.trees.entries import Entry, entries_of
from tests.exchange.servers import web_server
from tests.store.hubs import commit, fresh, head

BLOCK = 1024 * 1024
SINCE = "2026-03-02T10:00:00.000000Z"
Harm = Callable[[Path], object]


def leave(
    repository: Repository, dataset: Dataset, paths: list[Path], *, foreign: Foreign | None = None
) -> None:
    """A version whose files are all left where they are."""
    with repository.writer() as writer:
        rows = []
        for path in sorted(paths):
            found = (foreign or Foreign({})).find(str(path))
            assert found
            place = Place(address=str(path), size=0, since=SINCE, etag=found.etag, modified=found.modified)
            identifier, size = writer.put_place(place, [path.read_bytes()])
            rows.append(Entry(os.fsencode(path.name), FILE, size, identifier))
        version = repository.write_version(
            writer, entries_of(rows), parents=(), author="Ada", message="left"
        )  # fmt: skip
    repository.land_version(dataset, "main", version, author="Ada")


def check(repository: Repository, *, quick: bool = False, foreign: Foreign | None = None) -> Report:
    left = LeftFiles(foreign or Foreign({}), 2, quick=quick)
    return check_blobs(repository.blobs, threads=2, progress=lambda *_: None, quick=quick, left=left)


def mend(repository: Repository, *sources: Source) -> tuple[Report, list[str]]:
    done = repair(repository.blobs, sources, threads=2, progress=lambda *_: None)
    return done.report, [step.what for step in done.steps]


@pytest.fixture
def place(tmp_path: Path) -> Path:
    folder = tmp_path / "disk/photos"
    folder.mkdir(parents=True)
    for n in range(3):
        (folder / f"{n}.bin").write_bytes(bytes([n + 1]) * (BLOCK + 10))
    return folder


@pytest.fixture
def repository(place: Path) -> Repository:
    made, dataset = fresh()
    leave(made, dataset, list(place.iterdir()))
    return made


def same_size(path: Path) -> None:
    """As a flipped bit: nothing but the content tells."""
    state = path.stat()
    data = bytearray(path.read_bytes())
    data[BLOCK + 5] ^= 1
    path.write_bytes(data)
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))


def test_as_they_were(repository: Repository) -> None:
    for quick in (False, True):
        report = check(repository, quick=quick)
        assert (report.findings, report.left, report.left_lost) == ([], 3, 0)


@pytest.mark.parametrize(
    ("harm", "code", "quick"),
    [
        (same_size, "left_file_changed", False),
        (lambda path: path.write_bytes(b"other"), "left_file_changed", True),
        (lambda path: path.write_bytes(bytes(BLOCK + 10)), "left_file_changed", True),
        (lambda path: path.unlink(), "left_file_gone", True),
    ],
)
def test_what_became_of_one_is_said(
    repository: Repository, place: Path, harm: Harm, code: str, quick: bool
) -> None:
    harm(place / "1.bin")
    report = check(repository, quick=quick)
    assert [(one.code, one.key) for one in report.findings] == [
        (code, str(place / "1.bin")), ("lost_files", "p/d"),
    ]  # fmt: skip
    assert [(one.version, one.files, one.total, one.paths) for one in report.affected] == [
        ("main", 1, 3, (b"1.bin",))
    ]
    assert report.left_lost == 1


def test_quickly_only_sizes_and_times_count(repository: Repository, place: Path) -> None:
    same_size(place / "1.bin")
    assert check(repository, quick=True).sound
    os.utime(place / "0.bin")  # touched, and read for that: it is the same
    assert check(repository, quick=True).sound
    os.utime(place / "1.bin")
    assert not check(repository, quick=True).sound


def test_a_disk_that_is_away_is_one_thing(repository: Repository, place: Path) -> None:
    place.parent.rename(place.parent.with_name("away"))
    (found, _) = check(repository).findings
    assert (found.code, found.key) == ("left_file_gone", str(place.parent))
    assert found.what.startswith("3 files that were left there are not there any more: photos/0.bin, ")


def test_one_that_was_left_in_several_places(repository: Repository, place: Path) -> None:
    second = place.parent / "second"
    second.mkdir()
    (second / "x.bin").write_bytes((place / "1.bin").read_bytes())
    other = repository.create(Name("p", "e"), "dataset")
    leave(repository, other, [second / "x.bin"])
    same_size(second / "x.bin")
    assert check(repository).sound
    data = bytearray((place / "1.bin").read_bytes())
    data[0] ^= 1  # each of them has another half
    (place / "1.bin").write_bytes(data)
    assert check(repository).sound
    (second / "x.bin").unlink()
    assert [one.paths for one in check(repository).affected] == [(b"1.bin",), (b"x.bin",)]


class Locked(Foreign):
    def find(self, address: str) -> Found | None:
        raise SystemFault("connection_cut", f"{address} does not answer.", "Try again.")


def test_a_server_that_does_not_answer_is_one_thing() -> None:
    repository, dataset = fresh()
    with web_server() as web:
        paths = [f"{web.address}/{n}" for n in range(6)]
        with repository.writer() as writer:
            rows = []
            for n, path in enumerate(paths):
                web.files[f"/{n}"] = b"content %d" % n
                put = Place(address=path, size=0, since=SINCE)
                identifier, size = writer.put_place(put, [b"content %d" % n])
                rows.append(Entry(b"%d" % n, FILE, size, identifier))
            version = repository.write_version(
                writer, entries_of(rows), parents=(), author="Ada", message="left"
            )  # fmt: skip
        repository.land_version(dataset, "main", version, author="Ada")
        assert check(repository).sound
        web.files["/2"] = b"CONTENT 2"
        del web.files["/3"]
        assert {(one.code, one.key) for one in check(repository).findings[:2]} == {
            ("left_file_changed", paths[2]), ("left_file_gone", paths[3]),
        }  # fmt: skip
        server = web.address
    (found, _) = check(repository, foreign=Locked({})).findings
    assert (found.code, found.key) == ("left_file_unreachable", server)
    assert found.what.startswith("6 files that were left there cannot be reached: 0, 1, ")


class Named(Foreign):
    """A server that says what it has under this name, and gives nothing."""

    def __init__(self, etag: str) -> None:
        super().__init__({})
        self.etag = etag

    def find(self, address: str) -> Found | None:
        return Found(7, self.etag)

    def read(self, address: str, start: int, end: int) -> bytes:
        raise SystemFault("refused_by_server", f"{address} is not for you.")


@pytest.mark.parametrize(("etag", "sound"), [('"1"', True), ('"2"', False), ('W/"1"', False), ("", False)])
def test_what_a_server_calls_the_same_is_not_fetched(etag: str, sound: bool) -> None:
    repository, dataset = fresh()
    with repository.writer() as writer:
        known = etag.replace("2", "1")
        put = Place(address="https://example.org/a", size=0, since=SINCE, etag=known)
        identifier, size = writer.put_place(put, [b"content"])
        rows = entries_of([Entry(b"a", FILE, size, identifier)])
        version = repository.write_version(writer, rows, parents=(), author="Ada", message="left")
    repository.land_version(dataset, "main", version, author="Ada")
    assert check(repository, foreign=Named(etag)).sound == sound


def source(folder: Path) -> FolderSource:
    files = [FolderFile(os.fsencode(one.name), FILE, os.fsencode(one)) for one in sorted(folder.iterdir())]
    return FolderSource(folder, files, Chunking())


def test_repaired_from_a_folder(repository: Repository, place: Path, tmp_path: Path) -> None:
    moved = tmp_path / "moved"
    place.rename(moved)
    assert mend(repository)[1] == []
    report, steps = mend(repository, source(moved))
    assert report.sound
    assert report.left == 0
    assert len(steps) == 1
    again = repository.tree(repository.commit(head(repository, repository.names.all()[0])))
    (row, *_) = again.entries().rows()
    repository.index.refresh()
    assert repository.objects.read(row.id) == (moved / "0.bin").read_bytes()


def test_repaired_from_a_hub_that_has_the_content(repository: Repository, place: Path) -> None:
    other, dataset = fresh()
    commit(other, dataset, {b"any": (place / "1.bin").read_bytes()})
    same_size(place / "1.bin")
    copied, of = fresh()
    leave(copied, of, [place / "0.bin"])  # which knows only places
    assert mend(repository, HubSource(copied.blobs, is_copy=False))[1] == []
    report, steps = mend(repository, HubSource(other.blobs, is_copy=False))
    assert report.sound
    assert steps
    assert mend(repository, HubSource(other.blobs, is_copy=False))[1] == []
