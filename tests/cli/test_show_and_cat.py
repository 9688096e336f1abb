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
    assert second["parents"] == [first["commit"]]
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


def test_log_and_show_of_a_path(words: Path, kamld: Kamld) -> None:
    (words / "t.csv").write_text("a,b\n1,x\n")
    kamld("commit words -m three")
    assert [c["message"] for c in kamld("log words:in --json").json] == ["two", "one"]
    of_tables = kamld("log 'words:*.csv' --json").json
    assert [(c["message"], c["files_added"]) for c in of_tables] == [("three", 1)]
    assert "two" in kamld("log words:in/a.txt -n 1").out
    assert "more with: kamld log words:in/a.txt -n 5" in kamld("log words:in/a.txt -n 1").out
    assert "unknown_path" in kamld("log words:im", status=1).err
    shown = kamld("show words:t.csv --json").json
    assert shown["columns"] == [{"name": "a", "type": "int64"}, {"name": "b", "type": "string"}]
    assert (shown["kind"], shown["size"], shown["last_commit"]["message"]) == ("file", 8, "three")
    assert kamld("show words:link --json").json["target"] == "in/a.txt"
    assert "changed  " in kamld("show words:in").out
    said = kamld("show words:inn", status=1).err
    assert 'Did you mean "in"?' in said


def test_the_history_of_what_is_gone(words: Path, kamld: Kamld) -> None:
    (words / "in" / "a.txt").unlink()
    kamld("commit words -m three")
    said = kamld("log words:in/a.txt").out.splitlines()
    assert [line.split("  ")[-1] for line in said] == ["removed, 7 B", "6 B → 7 B", "new, 6 B"]


def test_show_says_what_was_purged(words: Path, kamld: Kamld) -> None:
    (words / "t.csv").write_text("name,age\nanna,7\n")
    kamld("commit words -m three")
    kamld("purge words:t.csv --reason 'consent withdrawn' --yes")
    said = kamld("show words:t.csv").out
    assert "consent withdrawn; its content is gone" in said
    assert "kamld cat" not in said
    assert kamld("show words:t.csv --json").json["hole"]["reason"] == "consent withdrawn"
    assert kamld("du words --json").json["datasets"][0]["version_count"] == 3
