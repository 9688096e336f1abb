"""Mounts of people who are not root: by fusermount3, which Debian's fuse3 lets everybody start."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import mkdtemp

import pytest

from tests.mount.somebody import UID, as_somebody

pytestmark = pytest.mark.needs("fuse without root")

_BEGIN = """
import contextlib, io, json, os, pathlib, signal, sys, time
from kamld.cli.main import run

def kamld(words, status=0):
    out = io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
        got = run(words.split() if isinstance(words, str) else words)
    assert got == status, (words, got, out.getvalue())
    return out.getvalue()

assert os.geteuid()
top = pathlib.Path.cwd()
(top / "data/sub").mkdir(parents=True)
(top / "data/a").write_text("one")
(top / "data/sub/b").write_bytes(bytes(300_000))
kamld("commit data -m first")
m = top / "m"
"""


@pytest.fixture
def somebody(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], None]]:
    """Runs a script as somebody with an empty home. All in one process: only it sees its mounts."""
    home = Path(mkdtemp(prefix="somebody-"))
    if os.geteuid() == 0:
        os.chown(home, UID, UID)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("LOGNAME", "somebody")
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")

    def play(script: str) -> None:
        command = as_somebody(sys.executable, "-c", _BEGIN + script)
        done = subprocess.run(command, cwd=home, capture_output=True, text=True, timeout=100, check=False)
        assert done.returncode == 0, done.stdout + done.stderr

    yield play
    shutil.rmtree(home)


def test_to_be_read(somebody: Callable[[str], None]) -> None:
    somebody(
        """
kamld("mount data m")
assert sorted(os.listdir(m)) == ["a", "sub"]
assert ((m / "a").read_text(), (m / "sub/b").read_bytes()) == ("one", bytes(300_000))
assert (m / "a").stat().st_uid == os.geteuid()
try:
    (m / "a").write_text("two")
except OSError as error:
    assert error.strerror == "Read-only file system"
else:
    raise AssertionError("it was written to")
with open(m / "a"):
    assert f"({os.getpid()})" in kamld("umount m", 1)
kamld("umount m")
assert not m.exists()
assert "Nothing is mounted" in kamld("mount")
"""
    )


def test_to_be_written(somebody: Callable[[str], None]) -> None:
    somebody(
        """
kamld("mount data m --write")
(m / "new").write_text("new")
(m / "sub").rename(m / "moved")
with open(m / "moved/b", "r+b") as file:
    file.seek(100_000)
    file.write(b"here")
(m / "a").chmod(0o755)
os.utime(m / "new", (1e9, 1e9))
assert len(json.loads(kamld("status m --json"))["changes"]) == 4
kamld("commit m -m second")
assert "Nothing has changed" in kamld("status m")
(m / "later").write_text("kept")
assert "1 change is not committed" in kamld("umount m")
kamld("mount data m --write")
assert (m / "later").read_text() == "kept"
kamld("umount m --discard")
kamld("checkout data out")
assert (top / "out/moved/b").read_bytes() == bytes(100_000) + b"here" + bytes(199_996)
assert os.access(top / "out/a", os.X_OK)
assert (top / "out/new").read_text() == "new"
kamld("fsck")
"""
    )


def test_where_its_server_was_killed(somebody: Callable[[str], None]) -> None:
    somebody(
        """
kamld("mount data m --write")
(m / "b").write_text("two")
(pid,) = [mount["pid"] for mount in json.loads(kamld("mount --json"))]
os.kill(pid, signal.SIGKILL)
until = time.monotonic() + 30  # its other threads end after the first, and hold its lock until then
while "broken" not in kamld("mount") and time.monotonic() < until:
    time.sleep(0.01)
assert "broken" in kamld("mount")
assert "Nobody served it any more" in kamld("umount m")
kamld("mount data m --write")
assert (m / "b").read_text() == "two"
kamld("umount m")
"""
    )


def test_what_the_system_refuses_is_said(somebody: Callable[[str], None]) -> None:
    """A folder of somebody else's: fusermount3 says so, and its words are passed on."""
    somebody(
        """
os.makedirs("closed/inside")
os.chmod("closed/inside", 0o500)
said = kamld("mount data closed/inside", 3)
assert "(mount_failed)" in said
assert "fusermount3" in said, said
os.chmod("closed/inside", 0o700)
assert "Nothing is mounted" in kamld("mount")
"""
    )
