import errno
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kamld.errors import NotFound
from kamld.records.names import Name, Reference
from kamld.scan import looking
from kamld.scan.listing import scan
from kamld.store import Repository
from kamld.workspace import CommitResult, check_out, find_binding, folder_status, read_binding
from kamld.workspace import status as status_module
from kamld.workspace.stat_index import read_index


@pytest.fixture
def status(
    repository: Repository, folder: Path, commit: Callable[..., CommitResult]
) -> Callable[[], list[tuple[str, str]]]:
    commit()

    def run() -> list[tuple[str, str]]:
        binding = read_binding(folder)
        assert binding
        found = folder_status(folder, binding, repository)
        return [(os.fsdecode(change.path), change.sort) for change in found.changes]

    return run


def test_nothing_changed(status: Callable[[], list[tuple[str, str]]]) -> None:
    assert status() == []


def test_every_sort_of_change(folder: Path, status: Callable[[], list[tuple[str, str]]]) -> None:
    (folder / "1/a.txt").write_bytes(b"FIRST\n")  # the same length
    (folder / "1/b.txt").unlink()
    (folder / "new").write_bytes(b"")
    (folder / "link").unlink()
    (folder / "link").symlink_to("1/b.txt")
    (folder / "nothing in it/now").write_bytes(b"1")
    assert status() == [
        ("1/a.txt", "changed"),
        ("1/b.txt", "removed"),
        ("link", "changed"),
        ("new", "added"),
        ("nothing in it", "removed"),
        ("nothing in it/now", "added"),
    ]


def test_a_change_within_the_clocks_grain_and_of_equal_length_is_seen(
    folder: Path, status: Callable[[], list[tuple[str, str]]]
) -> None:
    file = folder / "1/a.txt"
    for number in range(40):
        file.write_bytes(b"%05d\n" % number)
        state = file.stat()
        assert status() == [("1/a.txt", "changed")]
        file.write_bytes(b"first\n")
        os.utime(file, ns=(state.st_atime_ns, state.st_mtime_ns))
        assert status() == []


def test_only_files_that_may_have_changed_are_read(
    folder: Path, status: Callable[[], list[tuple[str, str]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    time.sleep(0.05)
    status()
    status()
    read: list[Path] = []
    monkeypatch.setattr(status_module, "hash_file", lambda path, _: read.append(path) or bytes(32))
    os.utime(folder / "labels.csv")
    assert status() == [("labels.csv", "changed")]
    assert read == [folder / "labels.csv"]


def test_a_damaged_stat_index_only_costs_time(
    folder: Path, status: Callable[[], list[tuple[str, str]]]
) -> None:
    index = folder / ".kamld/stat-index"
    data = bytearray(index.read_bytes())
    data[len(data) // 2] ^= 1
    index.write_bytes(data)
    assert status() == []
    index.write_bytes(b"")
    assert status() == []


def test_the_folder_is_found_from_below(folder: Path, status: object) -> None:
    assert find_binding(folder / "2/deep")[0] == folder


def test_a_folder_of_no_dataset(tmp_path: Path) -> None:
    with pytest.raises(NotFound) as caught:
        find_binding(tmp_path)
    assert caught.value.code == "not_bound"


@pytest.fixture
def coarse(monkeypatch: pytest.MonkeyPatch) -> None:
    """A file system that keeps every second second only, as FAT does."""
    add = looking.Found.add

    def rounded(found: Any, path: bytes, kind: int, state: tuple[int, int, int, int]) -> None:
        size, mtime, ctime, inode = state
        add(found, path, kind, (size, _even(mtime), _even(ctime), inode))

    def even(state: os.stat_result) -> tuple[int, int, int, int]:
        return state.st_size, _even(state.st_mtime_ns), _even(state.st_ctime_ns), state.st_ino

    monkeypatch.setattr(looking.Found, "add", rounded)
    monkeypatch.setattr(looking, "_STAMPS", even)


def _even(stamp: int) -> int:
    return stamp // 2_000_000_000 * 2_000_000_000


def test_an_edit_of_equal_length_is_seen_where_stamps_are_coarse(
    coarse: None, repository: Repository, folder: Path, commit: Callable[..., CommitResult]
) -> None:
    def status() -> list[str]:
        binding = read_binding(folder)
        assert binding
        return [os.fsdecode(c.path) for c in folder_status(folder, binding, repository).changes]

    while time.time() % 2 > 0.5:
        time.sleep(0.01)  # so that all of it is within one tick of that clock
    (folder / "1/a.txt").write_bytes(b"FIRST\n")
    commit()
    time.sleep(0.1)
    assert status() == []
    (folder / "1/a.txt").write_bytes(b"first\n")
    assert time.time() % 2 < 1.9
    assert status() == ["1/a.txt"]


def test_a_checkout_waits_where_stamps_are_coarse(
    coarse: None, repository: Repository, folder: Path, tmp_path: Path, commit: Callable[..., CommitResult]
) -> None:
    commit()
    resolved = repository.resolve(Reference(Name("default", "photos")))
    work = tmp_path / "work"
    assert check_out(repository, resolved, repository.tree(resolved.commit).entries(), work, threads=2)
    index = read_index(work)
    assert index.states[:, 1].min() > 0  # all of it is trusted
    assert _even(time.time_ns()) > index.states[:, 1].max()


def test_a_file_that_vanishes_during_the_scan_takes_no_other_with_it(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    vanished: list[bytes] = []

    states = looking._states

    def vanishing(entries: list[os.DirEntry[str]]) -> Any:
        if not vanished and [entry.name for entry in entries if entry.name == "a.txt"]:
            vanished.append(b"1/a.txt")  # its folder has been listed
            os.unlink(folder / "1/a.txt")
        return states(entries)

    before = set(scan(folder).paths)
    monkeypatch.setattr(looking, "_states", vanishing)
    assert set(scan(folder).paths) == before - set(vanished)
    assert len(vanished) == 1


def test_where_no_file_can_be_mapped(
    folder: Path, commit: Callable[..., CommitResult], monkeypatch: pytest.MonkeyPatch
) -> None:
    commit()
    mapped = read_index(folder)

    def refused(*_: object, **__: object) -> None:
        raise OSError(errno.ENODEV, "as on some network file systems")

    monkeypatch.setattr("mmap.mmap", refused)
    read = read_index(folder)
    assert len(read) > 0
    assert (read.paths, read.tree) == (mapped.paths, mapped.tree)
