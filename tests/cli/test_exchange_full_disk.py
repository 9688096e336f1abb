"""Imports and exports where the disk is full in the middle: nothing half-written stays, and it is said."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.conftest import SmallDisk
from tests.exchange.dvc_repositories import Repository, description, keep
from tests.exchange.servers import web_server

pytestmark = pytest.mark.needs("small disk")
KAMLD = (sys.executable, "-m", "kamld")


@pytest.fixture
def disk(small_disk: SmallDisk, here: Path, monkeypatch: pytest.MonkeyPatch) -> SmallDisk:
    """Where the hub is; it has a version already."""
    monkeypatch.setenv("KAMLD_HUB", str(small_disk.path / "hub"))
    (here / "small").mkdir()
    (here / "small/a").write_text("a")
    assert small_disk.run(*KAMLD, "import", "small").returncode == 0
    return small_disk


def refused(disk: SmallDisk, *words: str) -> str:
    done = disk.run(*KAMLD, *words)
    assert done.returncode == 3, done.stdout + done.stderr
    assert "(no_space)" in done.stderr
    assert disk.run("find", disk.path / "hub/tmp", "-type", "f").stdout == ""
    log = disk.run(*KAMLD, "ls", "--json")
    assert log.stdout.count('"commit"') == 1, "nothing has landed"
    return done.stderr


def aside(disk: SmallDisk) -> int:
    return int(disk.run("du", "-sk", disk.path / "hub/local/imports").stdout.split()[0])


def test_imports(disk: SmallDisk, here: Path) -> None:
    (here / "large").mkdir()
    for n in range(20):
        (here / f"large/{n}").write_bytes(os.urandom(1_000_000))
    refused(disk, "import", "large")
    with zipfile.ZipFile(here / "large.zip", "w") as archive:
        for path in sorted((here / "large").iterdir()):
            archive.write(path, path.name)
    refused(disk, "import", "large.zip")
    for path in sorted((here / "large").iterdir())[2:]:
        path.unlink()
    assert disk.run(*KAMLD, "import", "large").returncode == 0


def test_from_the_web(disk: SmallDisk, here: Path) -> None:
    with web_server() as web:
        web.files["/large.bin"] = os.urandom(20_000_000)
        refused(disk, "import", f"{web.address}/large.bin")
        assert aside(disk) < 100, "it does not fill the disk for ever"
        web.files["/large.bin"] = os.urandom(1_000_000)
        done = disk.run(*KAMLD, "import", f"{web.address}/large.bin")
        assert done.returncode == 0, done.stderr
    assert aside(disk) < 100, "what was put aside is gone"


@pytest.mark.needs("git")
def test_a_history(disk: SmallDisk, here: Path) -> None:
    made = Repository(here / "repo", by_dvc=False)
    for n in range(12):
        data = os.urandom(1_000_000)
        made.write({"data.dvc": description(keep(made.top / ".dvc/cache", data), "data")})
        made.commit(f"{n}")
    refused(disk, "import", "repo")


def test_exports(disk: SmallDisk, here: Path) -> None:
    large = os.urandom(6_000_000)
    (here / "six").mkdir()
    (here / "six/large").write_bytes(large)
    subprocess.run([*KAMLD, "--hub", str(here / "hub"), "import", "six"], check=True, capture_output=True)
    with open(here / "fill", "wb") as file:
        file.write(bytes(3_000_000))
    assert disk.run("cp", here / "fill", disk.path / "fill").returncode == 0
    for target in ("six.tar", "six.zip", "six.tar.zst", "six"):
        done = disk.run(*KAMLD, "--hub", here / "hub", "export", "six", disk.path / target)
        assert done.returncode == 3, target
        assert "(no_space)" in done.stderr
        assert sorted(disk.run("ls", "-A", disk.path).stdout.split()) == ["fill", "hub"], target
