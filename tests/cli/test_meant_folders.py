"""A commit of a folder that nobody named, in a folder of a removed dataset, and of what few mean to keep."""

import os
import shutil
from pathlib import Path

import pytest

from tests.cli.conftest import Kamld


def test_home_is_committed_only_by_name(kamld: Kamld, home: Path, here: Path, hub: Path) -> None:
    (home / "notes.txt").write_text("mine")
    os.chdir(home)
    said = kamld("commit -m 'all my data'", status=1).err
    assert f"{home} is your home folder, and no folder was named." in said
    assert "kamld commit FOLDER -m 'all my data'." in said
    assert not hub.exists()
    assert "1 file" in kamld("commit . --name everything -m x").out
    (home / "notes.txt").write_text("more")
    kamld("commit -m 'it is bound by now'")


def test_nor_all_there_is_nor_where_the_hub_is(
    kamld: Kamld, here: Path, digits: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kamld("--hub place/hub commit digits -m one")
    assert "the folder that the hub is in" in kamld("--hub place/hub commit -m x", status=1).err
    os.chdir("/")
    said = kamld("commit -m x", status=1).err
    assert "/ is the top of the whole file system" in said
    os.chdir(here / "digits/0")
    monkeypatch.setenv("KAMLD_HUB", str(here / "third"))
    assert "inside_another" in kamld("commit -m x", status=1).err


def test_in_a_folder_whose_dataset_was_removed(kamld: Kamld, here: Path, digits: Path) -> None:
    kamld("commit digits -m one")
    assert "rm -r FOLDER/.kamld lets one go" in kamld("rm digits").out
    said = kamld("commit digits/0 -m x", status=1).err
    assert f"part of {digits}, which is a folder of default/digits, and that was removed" in said
    assert f"rm -r {digits / '.kamld'}." in said
    assert "kamld undo digits" in said
    shutil.rmtree(digits / ".kamld")
    kamld("commit digits/0 --name zeros -m x")


def test_what_few_mean_to_keep_is_said_once(kamld: Kamld, here: Path, digits: Path) -> None:
    for path in (".git/HEAD", ".git/objects/ab/c", "0/__pycache__/x.pyc"):
        (digits / path).parent.mkdir(parents=True, exist_ok=True)
        (digits / path).write_text(path)
    said = kamld("commit digits -m one").out.splitlines()
    for name, count in ((".git", "2 files"), ("__pycache__", "1 file")):
        assert f"It includes {name} ({count}); to leave it out: echo {name} >> digits/.kamldignore" in said
    (digits / ".kamldignore").write_text(".git\n__pycache__\n")
    assert "includes" not in kamld("commit digits -m two").out
    assert not any(".git/" in row["path"] for row in kamld("ls digits --json").json)
