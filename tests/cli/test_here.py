"""In a bound folder a verb needs no name; where that is not clear, the error says what to type."""

from pathlib import Path

import pytest

from tests.cli.conftest import Kamld


@pytest.fixture
def inside(kamld: Kamld, digits: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """One is in the folder of digits, of which there are two versions."""
    kamld("commit digits -m one")
    (digits / "0/new.txt").write_text("new")
    kamld("commit digits -m two")
    monkeypatch.chdir(digits)
    return digits


@pytest.mark.parametrize("verb", ["show", "branch", "tag", "alias", "merge", "undo", "resolve x --ours"])
def test_elsewhere_it_says_what_to_type(kamld: Kamld, digits: Path, verb: str) -> None:
    kamld("commit digits -m one")
    said = kamld(verb, 2).err
    assert said.startswith("Which dataset or model?")
    assert f"kamld {verb.split()[0]} NAME" in said


def test_show(kamld: Kamld, inside: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    two = kamld("log --json").json[0]["commit"]
    assert kamld("show --json").json["commit"] == kamld("show . --json").json["commit"] == two
    assert kamld("show @main~1 --json").json["message"] == "one"
    assert "kamld cat digits@main:0/new.txt" in kamld("show :0/new.txt").out
    monkeypatch.chdir(inside / "1")
    assert kamld("show --json").json["commit"] == two
    kamld("switch .. main~1")
    assert kamld("show --json").json["message"] == kamld("log --json").json[0]["message"] == "one"


def test_branches_tags_and_aliases(kamld: Kamld, inside: Path) -> None:
    assert [one["ref"] for one in kamld("branch --json").json] == ["main"]
    kamld("branch @main~1 old")
    kamld("tag @main delivered")
    kamld("alias @ champion", 1)  # no revision is no revision
    kamld("alias @old champion")
    assert [one["ref"] for one in kamld("alias --json").json] == ["champion"]
    assert "kamld branch digits new" in kamld("branch new", 1).err
    assert [one["ref"] for one in kamld("branch --json").json] == ["main", "old"]
    assert "digits@main is protected" in kamld("branch --protect").out
    kamld("branch @main --unprotect")
    kamld("branch @old --remove")
    assert kamld("undo @old --json").json["ref"] == "old"
    assert "Write digits@BRANCH" in kamld("branch --remove", 2).err


def test_undo_is_about_the_branch_that_the_folder_is_on(kamld: Kamld, inside: Path) -> None:
    kamld("switch try -c")
    (inside / "x").write_text("x")
    kamld("commit -m three")
    undone = kamld("undo --json").json
    assert (undone["ref"], undone["commit"]) == ("try", kamld("log digits --json").json[0]["commit"])
    assert [one["message"] for one in kamld("log digits --json").json] == ["two", "one"]
    kamld("tag @main delivered")
    assert "kamld undo digits@delivered" in kamld("undo delivered", 1).err
    kamld("undo")
    kamld("switch main~1")
    assert "The folder is on no branch of digits" in kamld("undo", 2).err


def test_merge(kamld: Kamld, inside: Path) -> None:
    kamld("switch try -c")
    (inside / "x").write_text("x")
    kamld("commit -m three")
    assert kamld("merge try --json").json["branch"] == "main"  # the folder is on try
    assert "has all of main already" in kamld("merge main").out
    kamld("branch @main~1 other")
    said = kamld("merge other", 2).err
    for branch in ("try", "main"):
        assert f"kamld merge digits other --into {branch}" in said
    assert kamld("merge other --into main --json").json["result"] == "nothing"
    assert "unknown_name" in kamld("merge nothing", 1).err
    kamld("branch digits try --remove")
    assert kamld("merge other --json").json["branch"] == "main"


def test_a_merge_that_waits(kamld: Kamld, inside: Path) -> None:
    kamld("branch @main other")
    for branch in ("main", "other"):
        kamld(f"switch {branch}")
        (inside / "0/a.txt").write_text(branch)
        kamld(f"commit -m {branch}")
    kamld("switch main")
    kamld("merge other", 1)
    assert kamld("merge --json", 1).json["waits"]
    assert kamld("resolve 0/a.txt --theirs --json").json["result"] == "merged"
    assert kamld("cat digits:0/a.txt").out == "other"
    assert "One PATH at a time" in kamld("resolve digits a b --ours", 2).err


def test_a_name_comes_first(kamld: Kamld, inside: Path) -> None:
    """A dataset of that name is meant, whatever branch there is."""
    kamld("import 1 other")
    kamld("branch @main other")
    assert "No merge into main of other waits" in kamld("merge other", 1).err


def test_the_folder_has_a_hub_of_its_own(kamld: Kamld, inside: Path, here: Path) -> None:
    (here / "far").mkdir()
    (here / "far/a").write_text("a")
    kamld("--hub elsewhere init ../far --name far")
    kamld("--hub elsewhere commit ../far -m far")
    assert kamld("branch --json").json[0]["name"] == "digits"
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(here / "far")
        assert kamld("show --json").json["message"] == "far"
        assert [one["name"] for one in kamld("branch --json").json] == ["far"]
