"""A hub with one dataset, and mounts of it, which are ended with the test."""

import json
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from kamld.cli.main import run
from kamld.mount.launch import unmount
from kamld.mount.records import mounted_folders

Files = dict[str, bytes]


class Hub:
    """Commands as a person types them, in a folder of the test's own."""

    def __init__(self, here: Path, capfd: pytest.CaptureFixture[str]) -> None:
        self.here = here
        self._capfd = capfd

    def __call__(self, words: str, status: int = 0) -> str:
        self._capfd.readouterr()
        got = run(shlex.split(words))
        said = self._capfd.readouterr()
        assert got == status, f"kamld {words}\n{said.out}\n{said.err}"
        return said.out + said.err

    def mount(self, name: str = "data", folder: str = "m", *, write: bool = False) -> Path:
        self(f"mount {name} {folder}{' --write' if write else ''}")
        return self.here / folder

    def layer(self, folder: Path) -> Path:
        """Where a mount keeps what was written."""
        return Path((folder / ".kamld").readlink()).parent


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Iterator[Hub]:
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    monkeypatch.setenv("KAMLD_AUTHOR", "Ann <ann@example.org>")
    monkeypatch.setenv("KAMLD_HUB", str(tmp_path / "hub"))
    monkeypatch.setenv("PYTHONWARNINGS", "error")
    yield Hub(here, capfd)
    for mounted in mounted_folders():
        if mounted.startswith(f"{tmp_path}/"):
            unmount(Path(mounted), gone=True)


@pytest.fixture
def make(hub: Hub) -> Callable[..., Path]:
    """`make({"a/b": b"..."})`: a folder with these files, committed as `data`."""

    def made(files: Files, **others: Any) -> Path:
        folder = hub.here / "data"
        for name, data in files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        for name, target in others.get("links", {}).items():
            (folder / name).symlink_to(target)
        for name in others.get("empty", ()):
            (folder / name).mkdir(parents=True)
        for name in others.get("executable", ()):
            (folder / name).chmod(0o755)
        hub("commit data -m first")
        return folder

    return made


def server_of(hub: Hub, folder: Path) -> int:
    """The process that serves a mount."""
    found = json.loads(hub("mount --json"))
    return next(int(m["pid"]) for m in found if m["folder"] == str(folder))


def kill(process: int) -> None:
    """At once, and until it is gone."""
    os.kill(process, signal.SIGKILL)
    while Path(f"/proc/{process}").exists():
        with suppress(ChildProcessError):  # it is a child of this process, which has to hear of its end
            os.waitpid(process, os.WNOHANG)
        time.sleep(0.005)


def python(script: str, *words: object) -> str:
    done = subprocess.run(
        [sys.executable, "-c", script, *map(str, words)],
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
