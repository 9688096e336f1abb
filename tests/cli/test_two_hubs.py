"""A folder of another hub than the one that commands use: what is suggested there acts on the folder's own,
and a name that is typed there is told apart."""

import os
from pathlib import Path

import pytest

from tests.cli.conftest import Kamld


@pytest.fixture
def bob(kamld: Kamld, here: Path) -> Path:
    """A folder of `dup` in the hub `other`, which alone has `sole`; the default hub has another `dup`."""
    for name in ("dup", "bob"):
        (here / name).mkdir()
        (here / name / "a").write_text(name)
    kamld("commit dup -m mine")
    kamld("--hub other commit bob --name dup -m theirs")
    kamld("--hub other import bob sole")
    return here / "bob"


def test_what_is_suggested_names_the_hub_of_the_folder(kamld: Kamld, here: Path, bob: Path) -> None:
    hub = f"kamld --hub {here / 'other'}"
    (bob / "b").write_text("b")
    assert f"{hub} commit bob -m" in kamld("status bob").out
    said = kamld("commit bob --amend").out
    assert f"This takes it back: {hub} undo dup" in said
    kamld(f"--hub {here / 'other'} undo dup")
    assert f"{hub} switch bob main" in kamld("status bob").out
    assert "--hub" not in kamld("status dup").out + kamld("show dup").out
    os.chdir(bob)
    assert f"{hub} checkout dup@" in kamld("show").out
    assert f"{hub} cat " in kamld("show :a").out
    assert f"{hub} " in kamld("undo").out


def test_errors_name_it_too(kamld: Kamld, here: Path, bob: Path) -> None:
    kamld(f"--hub {here / 'other'} branch dup@main --protect")
    (bob / "b").write_text("b")
    assert f"kamld --hub {here / 'other'} commit " in kamld("commit bob -m no", status=1).err


def test_a_name_that_both_have(kamld: Kamld, here: Path, hub: Path, bob: Path) -> None:
    told = f"You are in a folder of the hub at {here / 'other'}; this is about dup in the one at {hub}."
    assert told not in kamld("log dup").err
    assert "The folder bob" not in kamld("log dup").err
    os.chdir(bob)
    for words in ("log dup", "show dup", "cat dup:a", "ls dup", "tag dup@main first", "export dup out"):
        assert kamld(words).err.count(told) == 1, words
    assert told not in kamld("log dup --json").err
    assert told not in kamld("show").err
    assert told not in kamld(f"--hub {here / 'other'} log dup").err
    os.chdir(here / "dup")
    assert kamld("log dup").err == ""


def test_a_name_that_only_the_hub_of_the_folder_has(kamld: Kamld, here: Path, bob: Path) -> None:
    os.chdir(bob)
    for words in ("log sole -n 3", "cat sole:a", "tag sole@main first", "checkout sole ../new"):
        said = kamld(words, status=1).err
        assert "unknown_name" in said
        assert f"the folder that you are in: kamld --hub {here / 'other'} {words}" in said
        kamld(f"--hub {here / 'other'} {words}")
    assert "the folder that you are in" not in kamld("log nothing", status=1).err
    assert "the folder that you are in" not in kamld("--hub ../third log sole", status=1).err
    kamld("--project other log sole", status=1)


def test_log_tells_of_a_folder_of_another_hub(kamld: Kamld, here: Path, bob: Path) -> None:
    (here / "dup").rename(here / "mine")
    bob.rename(here / "dup")
    where = f"default/dup in another hub, {here / 'other'}, on main"
    assert f"The folder dup is of {where}: kamld log ./dup" in kamld("log dup").err


def test_a_hub_that_was_named_is_used_or_refused(kamld: Kamld, here: Path, bob: Path, hub: Path) -> None:
    os.chdir(bob)
    assert "bound_elsewhere" in kamld(f"--hub {hub} show", status=1).err
    assert "mine" in kamld(f"--hub {hub} show dup").out
    assert "bound_elsewhere" in kamld(f"--hub {hub} undo", status=1).err
