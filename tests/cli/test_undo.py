"""undo, mv and rm, as a person sees them."""

from pathlib import Path

from tests.cli.conftest import Kamld


def test_undo_and_back(kamld: Kamld, digits: Path) -> None:
    one = kamld("commit digits -m one --json").json["id"]
    (digits / "new").write_text("x")
    two = kamld("commit digits -m two --json").json["id"]
    said = kamld("undo digits").out
    assert f"digits@main   {one[:12]}  one   (was {two[:12]})" in said
    assert "To take that back: kamld undo digits" in said
    assert [c["id"] for c in kamld("log digits@main --json").json] == [one]
    done = kamld("undo digits --json").json
    assert (done["commit"], done["was"], done["undone"]) == (two, one, "undo: commit: two")
    assert "first_version" not in kamld("undo digits").out
    assert "usage" in kamld("undo digits@main~1", status=2).err
    assert "usage" in kamld("undo digits:0", status=2).err


def test_a_removed_branch_comes_back(kamld: Kamld, digits: Path) -> None:
    kamld("commit digits -m one")
    kamld("branch digits clean")
    assert kamld("branch digits clean --remove --json").json["commit"] is None
    assert "unknown_revision" in kamld("log digits@clean", status=1).err
    assert "digits@clean is back" in kamld("undo digits@clean").out
    kamld("log digits@clean")
    assert "digits@clean is removed again" in kamld("undo digits@clean").out


def test_a_folder_follows_its_dataset(kamld: Kamld, digits: Path) -> None:
    kamld("commit digits -m one")
    assert "default/digits is vision/hand now." in kamld("mv digits vision/hand").out
    (digits / "new").write_text("x")
    kamld("commit digits -m two")
    assert [c["message"] for c in kamld("log vision/hand --json").json] == ["two", "one"]
    gone = kamld("log digits@main", status=1).err
    assert "renamed to vision/hand by ann" in gone
    kamld("mv vision/hand digits")
    assert kamld("log vision/digits --json").json
    assert "usage" in kamld("mv vision/digits digits", status=2).err


def test_what_was_removed_comes_back(kamld: Kamld, digits: Path) -> None:
    kamld("commit digits -m one")
    kamld("tag digits delivered")
    assert "kamld undo digits" in kamld("rm digits").out
    assert kamld("ls --json").json == []
    assert "removed by ann" in kamld("checkout digits", status=1).err
    assert "removed" in kamld("status digits", status=1).err
    assert "digits is back" in kamld("undo digits").out
    kamld("log digits@delivered")
    kamld("status digits")
    assert "usage" in kamld("rm digits@delivered", status=2).err
    assert kamld("rm digits --json").json["name"] == "digits"
    assert kamld("undo digits --json").json["restored_dataset"] is True


def test_another_may_take_a_removed_name(kamld: Kamld, digits: Path, here: Path) -> None:
    kamld("commit digits -m one")
    kamld("rm digits")
    (here / "other").mkdir()
    (here / "other/x").write_text("x")
    kamld("commit other --name digits -m other")
    assert "is a folder of a" in kamld("status digits", status=1).err
    kamld("mv digits second")
    kamld("undo digits")
    assert [c["message"] for c in kamld("log digits@main --json").json] == ["one"]
    assert [c["message"] for c in kamld("log second --json").json] == ["other"]
    kamld("status digits")
