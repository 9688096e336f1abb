"""A single file that is exported is that file, as with cp; and checked out, it is told how to have it so."""

import os
from pathlib import Path

from tests.cli.conftest import Kamld


def test_a_file_becomes_a_file(kamld: Kamld, here: Path, digits: Path) -> None:
    (digits / "1/run.sh").write_text("#!/bin/sh")
    (digits / "1/run.sh").chmod(0o755)
    (digits / "1/link").symlink_to("a.txt")
    (digits / "old.zip").write_bytes(b"no archive of ours")
    kamld("commit digits -m one")
    said = kamld("export digits:labels.csv labels.csv").out
    assert said.startswith("labels.csv   ")
    assert (here / "labels.csv").read_text() == (digits / "labels.csv").read_text()
    assert "target_exists" in kamld("export digits:labels.csv labels.csv", status=1).err
    kamld("export digits:1/run.sh deep/er/run")
    assert os.access(here / "deep/er/run", os.X_OK)
    kamld("export digits:1/link link")
    assert os.readlink(here / "link") == "a.txt"
    kamld("export digits:old.zip again.zip")
    assert (here / "again.zip").read_bytes() == b"no archive of ours"
    shown = kamld("export digits:labels.csv x.csv --json").json
    assert (shown["target"], shown["target_kind"]) == (str(here / "x.csv"), "file")
    assert [name for name in os.listdir(here) if name.startswith(".")] == []


def test_into_a_folder(kamld: Kamld, here: Path, digits: Path) -> None:
    kamld("commit digits -m one")
    assert kamld("export digits:1/a.txt new/").out.startswith("new/a.txt ")
    assert (here / "new/a.txt").read_text() == "1/a\n"
    assert kamld("export digits:1/b.txt new").out.startswith("new/b.txt ")
    assert "target_exists" in kamld("export digits:1/a.txt new", status=1).err
    kamld("export digits:1/a.txt some.zip")
    assert (here / "some.zip").read_bytes().startswith(b"PK")
    kamld("export 'digits:1/a*' part")
    assert (here / "part/1/a.txt").is_file()  # a pattern may be many


def test_what_was_purged_is_told(kamld: Kamld, here: Path, digits: Path) -> None:
    kamld("commit digits -m one")
    kamld("purge digits:1/a.txt --reason x --yes")
    assert "purged_file" in kamld("export digits:1/a.txt out.txt", status=1).err
    assert not (here / "out.txt").exists()


def test_a_checkout_of_one_file_says_how_to_have_the_file(kamld: Kamld, here: Path, digits: Path) -> None:
    kamld("commit digits -m one")
    assert "The file alone: kamld export digits:1/a.txt FILE" in kamld("checkout digits:1/a.txt y").out
    assert "The file alone" not in kamld("checkout digits:1 z").out
    (digits / "1").rename(here / "away")
    for words in ("checkout digits@main:1 digits/1", "checkout digits:1/a.txt digits/x"):
        said = kamld(words, status=1).err
        assert "inside_its_folder" in said
        assert f"kamld restore {digits} 1" in said
        assert not (digits / "1").exists()
    kamld(f"restore {digits} 1 --from main")
    assert (digits / "1/a.txt").is_file()
