"""A checkout that a copy of the process shares writes what one alone does, whatever happens to the copy."""

import errno
import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from kamld.blobs import FolderBlobs
from kamld.errors import SystemFault
from kamld.records.kinds import EXECUTABLE, FILE
from kamld.store import Entries, Repository, open_hub
from kamld.store.trees.entries import Entry, entries_of
from kamld.workspace import materialise
from kamld.workspace.placing import files
from kamld.workspace.placing.handles import Handles

Write = Callable[..., int]


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return open_hub(FolderBlobs(tmp_path / "hub"), 2)


@pytest.fixture
def entries(repository: Repository) -> Entries:
    rows = []
    with repository.writer() as writer:
        for number in range(300):
            data = os.urandom(70_000) if number % 100 == 0 else b"%d" % number * number
            kind = EXECUTABLE if number % 7 == 0 else FILE
            rows.append(Entry(b"%02d/%03d" % (number // 15, number), kind, len(data), writer.put(data)))
        writer.flush()
    return entries_of(rows)


@pytest.fixture(autouse=True)
def shares(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "_BATCH", 10)
    monkeypatch.setattr(files, "_WORTH_A_PROCESS", 1)
    monkeypatch.setattr(files, "may_fork", lambda: True)


def written(repository: Repository, entries: Entries, folder: Path) -> dict[bytes, tuple[bytes, bool]]:
    folder.mkdir()
    told = []
    materialise(repository.objects, entries, folder, threads=2, progress=lambda *of: told.append(of))
    assert sum(count for count, _ in told) == len(entries)
    assert sum(size for _, size in told) == int(entries.sizes.sum())
    return {
        os.fsencode(path.relative_to(folder)): (path.read_bytes(), os.access(path, os.X_OK))
        for path in folder.rglob("*")
        if path.is_file()
    }


def wanted(repository: Repository, entries: Entries) -> dict[bytes, tuple[bytes, bool]]:
    return {row.path: (repository.objects.read(row.id), row.kind == EXECUTABLE) for row in entries.rows()}


def elsewhere(monkeypatch: pytest.MonkeyPatch, happens: Callable[[bytes], None]) -> None:
    """`happens` in the copy only, before each of its files is written."""
    first, write = os.getpid(), Handles.write

    def writing(self: Handles, path: bytes, *more: object) -> int:
        if os.getpid() != first:
            happens(path)
        return write(self, path, *more)  # type: ignore[arg-type]

    monkeypatch.setattr(Handles, "write", writing)


def test_all_is_written(
    repository: Repository, entries: Entries, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def tell(path: bytes) -> None:
        with open(tmp_path / "told", "ab") as file:
            file.write(path + b"\n")

    elsewhere(monkeypatch, tell)
    assert written(repository, entries, tmp_path / "out") == wanted(repository, entries)
    assert 0 < len((tmp_path / "told").read_bytes().split()) < len(entries)  # the copy did its part


@pytest.mark.parametrize("path", [b"01/015", b"09/139", b"19/299"])
def test_the_copy_is_killed(
    repository: Repository, entries: Entries, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: bytes
) -> None:
    def die(here: bytes) -> None:
        if here >= path:
            os.kill(os.getpid(), signal.SIGKILL)

    elsewhere(monkeypatch, die)
    assert written(repository, entries, tmp_path / "out") == wanted(repository, entries)


def test_what_the_copy_cannot_write_is_told(
    repository: Repository, entries: Entries, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = Handles.write

    def refused(self: Handles, path: bytes, *more: object) -> int:
        if path == b"01/017":
            raise OSError(errno.EIO, "as on a broken disk", os.fsdecode(path))
        return write(self, path, *more)  # type: ignore[arg-type]

    monkeypatch.setattr(Handles, "write", refused)
    with pytest.raises(SystemFault, match="01/017"):
        written(repository, entries, tmp_path / "out")


def test_no_copy_is_to_be_had(
    repository: Repository, entries: Entries, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused() -> int:
        raise BlockingIOError("no further process")

    monkeypatch.setattr(os, "fork", refused)
    assert written(repository, entries, tmp_path / "out") == wanted(repository, entries)
