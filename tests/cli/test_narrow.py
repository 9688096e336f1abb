"""What people see on a narrow terminal: a real one, of 60 columns."""

import fcntl
import os
import pty
import re
import shlex
import struct
import subprocess
import sys
import termios
from pathlib import Path

import pytest

from tests.cli.conftest import Kamld

TRAIN = """
import kamld
for number in range(6):
    kamld.log_metrics({f"metric number {number}": number / 7})
"""


def on_terminal(words: str, columns: int) -> list[str]:
    """The lines that a person sees, without colours."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
    environment = {key: value for key, value in os.environ.items() if key != "COLUMNS"}
    command = [sys.executable, "-m", "kamld", *shlex.split(words)]
    with subprocess.Popen(command, stdout=theirs, stderr=subprocess.DEVNULL, env=environment) as running:
        os.close(theirs)
        said = b""
        try:
            while piece := os.read(ours, 65536):
                said += piece
        except OSError:  # how a terminal says that nobody writes to it any more
            pass
        os.close(ours)
        assert running.wait() == 0
    return re.sub(r"\x1b\[[0-9;]*m", "", said.decode()).replace("\r\n", "\n").splitlines()


@pytest.fixture
def long_names(here: Path, kamld: Kamld) -> Path:
    folder = here / "photographs-of-flowers"
    (folder / "a folder with quite a long name").mkdir(parents=True)
    for name in ("one.png", "a folder with quite a long name/and a file whose name is long too.png"):
        (folder / name).write_text(name)
    kamld("commit photographs-of-flowers -m 'a message that says more than sixty columns have room to show'")
    (folder / "one.png").write_text("changed")
    kamld("commit photographs-of-flowers -m 'another of that kind, which goes on and on until it ends here'")
    kamld("tag photographs-of-flowers as-delivered-by-the-museum")
    return folder


@pytest.mark.parametrize("columns", [60, 80])
def test_no_line_is_wider_than_the_terminal(long_names: Path, kamld: Kamld, here: Path, columns: int) -> None:
    (here / "train.py").write_text(TRAIN)
    parameters = " ".join(f"-p parameter-{number}={number}" for number in range(6))
    kamld(f"run -i photographs-of-flowers {parameters} -- python train.py")
    for words in (
        "ls", "ls photographs-of-flowers -r", "log photographs-of-flowers", "runs", "why run:1",
        "why photographs-of-flowers", "log photographs-of-flowers:one.png", "tag photographs-of-flowers",
    ):  # fmt: skip
        lines = on_terminal(words, columns)
        assert lines, words
        assert max(map(len, lines)) <= columns, (words, lines)
    assert "more parameters and" in on_terminal("runs", columns)[-1]


def test_what_matters_is_still_seen(long_names: Path, kamld: Kamld) -> None:
    head = kamld("log photographs-of-flowers --json").json[0]["commit"][:12]
    newest = on_terminal("log photographs-of-flowers", 60)[0]
    assert newest.startswith(f"{head}  as-deliv")
    assert newest.endswith("  ~1")
    assert "  just now  " in newest
    assert "another" in newest
    listed = on_terminal("ls photographs-of-flowers -r", 60)[0]
    assert "  a folder with" in listed
    assert listed.endswith("long too.png")


def test_elsewhere_nothing_is_cut(long_names: Path, kamld: Kamld) -> None:
    for words in ("log photographs-of-flowers", "ls photographs-of-flowers -r", "why photographs-of-flowers"):
        assert "…" not in kamld(words).out
    assert on_terminal("log photographs-of-flowers", 200) == [
        line.rstrip() for line in kamld("log photographs-of-flowers").out.splitlines()
    ]
