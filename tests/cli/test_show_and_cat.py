"""`kamld show` and `kamld cat`: one version, one file of it, without a checkout."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.conftest import Kamld


@pytest.fixture
def words(here: Path, kamld: Kamld) -> Path:
    """A dataset of two versions; the files of the first are text and a megabyte of noise."""
    folder = here / "words"
    (folder / "in").mkdir(parents=True)
    (folder / "in" / "a.txt").write_text("first\n")
    (folder / "noise.bin").write_bytes(os.urandom(1_000_000))
    os.symlink("in/a.txt", folder / "link")
    kamld("commit words -m one")
    (folder / "in" / "a.txt").write_text("second\n")
    kamld("commit words -m two")
    return folder


def test_show_tells_what_is_known(words: Path, kamld: Kamld) -> None:
    kamld("tag words@main~1 begin")
    first = kamld("show words@begin --json").json
    assert (first["message"], first["names"], first["parents"], first["changes"]) == (
        "one",
        ["begin"],
        [],
        [],
    )
    second = kamld("show words --json").json
    assert second["parents"] == [first["id"]]
    assert [(c["path"], c["change"]) for c in second["changes"]] == [("in/a.txt", "changed")]
    said = kamld("show words").out
    assert "default/words" in said
    assert "names   main" in said
    assert "in/a.txt" in said


def test_cat_writes_the_very_bytes(words: Path, kamld: Kamld) -> None:
    assert kamld("cat words@main~1:in/a.txt words:in/a.txt").out == "first\nsecond\n"
    with subprocess.Popen(
        [sys.executable, "-m", "kamld", "cat", "words:noise.bin"], stdout=subprocess.PIPE
    ) as running:
        written, _ = running.communicate(timeout=60)
    assert written == (words / "noise.bin").read_bytes()


@pytest.mark.parametrize(
    ("asked", "code"),
    [
        ("words", "no_path"), ("words:in", "not_a_file"), ("words:link", "not_a_file"),
        ("words:in/b", "unknown_path"), ("words@gone:in/a.txt", "unknown_revision"),
    ],
)  # fmt: skip
def test_cat_of_what_is_no_file(words: Path, kamld: Kamld, asked: str, code: str) -> None:
    said = kamld(f"cat words:in/a.txt {asked}", status=1)
    assert code in said.err
    assert said.out == ""  # nothing is written unless all can be
