"""A hub in a folder, and a dataset's folder beside it."""

from collections.abc import Callable
from pathlib import Path

import pytest

from kamld.blobs import FolderBlobs
from kamld.records.names import Name
from kamld.store import Repository, open_hub
from kamld.workspace import CommitResult, commit_folder

FILES = {
    "labels.csv": b"file,label\na.txt,1\n",
    "1/a.txt": b"first\n",
    "1/b.txt": b"second\n",
    "2/deep/c.bin": bytes(range(256)) * 1000,  # more than 64 KiB: kept in chunks
    "naïve café.txt": b"odd name\n",
    "empty": b"",
}


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return open_hub(FolderBlobs(tmp_path / "hub"), 2)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    top = tmp_path / "photos"
    for name, content in FILES.items():
        path = top / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    (top / "nothing in it").mkdir()
    (top / "1" / "run.sh").write_bytes(b"#!/bin/sh\n")
    (top / "1" / "run.sh").chmod(0o755)
    (top / "link").symlink_to("1/a.txt")
    return top


@pytest.fixture
def commit(repository: Repository, folder: Path) -> Callable[..., CommitResult]:
    def run(message: str = "as delivered", top: Path = folder, name: str | None = "photos") -> CommitResult:
        wanted = Name("default", name) if name else None
        return commit_folder(repository, top, message, name=wanted, kind="dataset", author="me")

    return run


@pytest.fixture
def top(tmp_path: Path) -> Path:
    """An empty folder."""
    folder = tmp_path / "data"
    folder.mkdir()
    return folder
