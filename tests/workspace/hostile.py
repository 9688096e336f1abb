"""Folders that are hard to keep: what their tests share."""

import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from kamld.blobs import FolderBlobs
from kamld.errors import KamldError
from kamld.records.names import Name, parse_reference
from kamld.store import Repository, Writer, open_hub
from kamld.workspace import check_out, commit_folder, folder_status, read_binding

Tree = dict[bytes, tuple[str, bytes]]


def read(top: Path) -> Tree:
    """All that is in a folder but kamld's own, by handles, so that no path is too long."""
    found: Tree = {}

    def look(handle: int, prefix: bytes) -> None:
        for name in sorted(map(os.fsencode, os.listdir(handle))):
            if prefix + name == b".kamld":
                continue
            mode = os.stat(name, dir_fd=handle, follow_symlinks=False).st_mode
            if stat.S_ISLNK(mode):
                found[prefix + name] = ("link", os.readlink(name, dir_fd=handle))
            elif stat.S_ISDIR(mode):
                found[prefix + name] = ("folder", b"")
                inner = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=handle)
                look(inner, prefix + name + b"/")
                os.close(inner)
            else:
                file = os.open(name, os.O_RDONLY, dir_fd=handle)
                sort = "program" if mode & stat.S_IXUSR else "file"
                found[prefix + name] = (sort, os.read(file, 10_000_000))
                os.close(file)

    handle = os.open(top, os.O_RDONLY | os.O_DIRECTORY)
    look(handle, b"")
    os.close(handle)
    return found


def keep(top: Path, place: Path) -> Repository:
    repository = open_hub(FolderBlobs(place / "hub"), 2)
    commit_folder(repository, top, "m", name=Name("p", "d"), kind="dataset", author="me")
    return repository


def get(repository: Repository, target: Path) -> None:
    resolved = repository.resolve(parse_reference("d", "p"))
    check_out(repository, resolved, repository.tree(resolved.commit).entries(), target, threads=2)


def comes_back(top: Path, place: Path) -> Repository:
    """Commit, check out, and see that both are the same for a person, and for `status`."""
    before = read(top)
    repository = keep(top, place)
    get(repository, place / "back")
    assert read(place / "back") == before
    for folder in (top, place / "back"):
        binding = read_binding(folder)
        assert binding is not None
        assert folder_status(folder, binding, repository).changes == []
    return repository


def refused(top: Path, place: Path, code: str, *named: str) -> None:
    with pytest.raises(KamldError) as raised:
        keep(top, place)
    assert raised.value.code == code
    for name in named:
        assert name in raised.value.message
    assert not (top / ".kamld").exists()
    assert open_hub(FolderBlobs(place / "hub"), 1).names.find(Name("p", "d")) is None


def before_reading(monkeypatch: pytest.MonkeyPatch, act: Callable[[], object]) -> None:
    """Once, between the look at the folder and the reading of its files."""
    put_below, done = Writer.put_below, list[bool]()

    def acted(self: Writer, *given: object) -> object:
        if not done:
            done.append(True)
            act()
        return put_below(self, *given)  # type: ignore[arg-type]

    monkeypatch.setattr(Writer, "put_below", acted)
