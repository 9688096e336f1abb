"""A commit that is kept apart, as a person lives with it: where the folder is, how it comes in, and back."""

from pathlib import Path

import pytest

from tests.cli.conftest import Kamld


@pytest.fixture
def apart(kamld: Kamld, digits: Path, here: Path) -> str:
    """The branch that digits is on: `other` was faster."""
    kamld("commit digits -m one")
    kamld("checkout digits other")
    for folder, content in (("other", "theirs"), ("digits", "mine")):
        (here / folder / "0/a.txt").write_text(content)
    kamld("commit other -m theirs")
    branch: str = kamld("commit digits -m mine --json").json["branch"]
    assert branch.startswith("main-conflict-")
    return branch


def messages(kamld: Kamld, name: str) -> list[str]:
    return [one["message"] for one in kamld(f"log {name} --json").json]


def test_it_says_where_the_folder_is(kamld: Kamld, digits: Path, here: Path) -> None:
    kamld("commit digits -m one")
    kamld("checkout digits other")
    for folder, content in (("other", "theirs"), ("digits", "mine")):
        (here / folder / "0/a.txt").write_text(content)
    kamld("commit other -m theirs")
    said = kamld("commit digits -m mine").out
    assert "The folder is on main-conflict-" in said
    assert "Leave it there, and go on with main: kamld switch digits main" in said
    (digits / "next").write_text("1")
    said = kamld("commit digits -m next").out
    first, second = said.splitlines()
    assert "new, on main-conflict-" in first
    assert second.startswith("That branch was kept apart from main. Bring it in: kamld merge digits main-con")
    assert "was kept apart from main: kamld merge digits main-conflict-" in kamld("status digits").out
    kamld("switch digits try -c")
    (digits / "next").write_text("2")
    said = kamld("commit digits -m tried").out
    assert said.endswith("new, on try\n")


def test_once_merged_the_folder_goes_on_with_main(kamld: Kamld, apart: str, digits: Path, here: Path) -> None:
    merged = kamld(f"merge digits {apart} --theirs").out
    assert f"digits@{apart} has gone, as it had its use." in merged
    assert "kamld switch FOLDER main" in merged
    said = kamld("status digits").out
    assert f"{apart} was merged into main and has gone; a commit goes to main." in said
    assert "Bring it here: kamld switch digits main" in said
    assert kamld("status digits --json").json["standing"] == "merged"
    assert "was merged into main and has gone: kamld switch digits main" in kamld("commit digits -m no").out
    (here / "other/more").write_text("1")
    kamld("commit other -m more")

    (digits / "next").write_text("1")
    said = kamld("commit digits -m next").out
    assert f"{apart}, which the folder was on, was merged into main and has gone." in said
    assert [one["ref"] for one in kamld("branch digits --json").json] == ["main"]
    assert "next" in messages(kamld, "digits@main")
    assert kamld("cat digits:0/a.txt").out == "mine"
    assert kamld("cat digits:more").out == "1"
    assert kamld("status digits --json").json["branch"] == "main"


def test_amending_there_says_how(kamld: Kamld, apart: str, digits: Path) -> None:
    kamld(f"merge digits {apart} --theirs")
    refused = kamld("commit digits --amend -m mine", status=1).err
    assert "kamld switch" in refused
    assert "digits main" in refused
    assert [one["ref"] for one in kamld("branch digits --json").json] == ["main"]


def test_a_branch_of_that_sort_that_somebody_removed_is_made_again(
    kamld: Kamld, apart: str, digits: Path
) -> None:
    """What it had is nowhere else."""
    kamld(f"branch digits {apart} --remove")
    said = kamld("status digits").out
    assert f"{apart} was removed; a commit makes it again." in said
    assert "To go on with main instead: kamld switch digits main" in said
    (digits / "next").write_text("1")
    assert kamld("commit digits -m next --json").json["branch"] == apart
    assert messages(kamld, f"digits@{apart}") == ["next", "mine", "one"]


def test_undo_brings_the_branch_back(kamld: Kamld, apart: str, digits: Path) -> None:
    mine = kamld(f"show digits@{apart} --json").json["commit"]
    kamld(f"merge digits {apart} --theirs")
    assert f"digits@{apart}, which that merge had brought in, is back." in kamld("undo digits").out
    assert kamld(f"show digits@{apart} --json").json["commit"] == mine
    assert messages(kamld, "digits@main") == ["theirs", "one"]
    assert kamld("status digits --json").json["standing"] == "newest"

    said = kamld("undo digits").out
    assert f"digits@{apart} is merged again, and has gone." in said
    assert [one["ref"] for one in kamld("branch digits --json").json] == ["main"]
    done = kamld("undo digits --json").json
    assert (done["returned"], done["gone"]) == ([apart], [])

    kamld(f"merge digits {apart} --theirs")
    kamld("switch digits main")
    (digits / "next").write_text("1")
    kamld("commit digits -m next")
    done = kamld("undo digits --to main~2 --json").json
    assert done["returned"] == [apart]  # several steps at once, and it is among them
    assert kamld("undo digits --json").json["gone"] == [apart]
    assert kamld("undo digits --json").json["returned"] == [apart]


def test_who_went_on_with_a_branch_that_came_back_keeps_it(kamld: Kamld, apart: str, digits: Path) -> None:
    kamld(f"merge digits {apart} --theirs")
    kamld("undo digits")
    (digits / "next").write_text("1")
    assert kamld("commit digits -m next --json").json["branch"] == apart
    assert kamld("undo digits --json").json["gone"] == []
    assert messages(kamld, f"digits@{apart}") == ["next", "mine", "one"]


def test_amending_what_kamld_has_merged(kamld: Kamld, digits: Path, here: Path) -> None:
    kamld("commit digits -m one")
    kamld("checkout digits other")
    (here / "other/x").write_text("x")
    kamld("commit other -m x")
    (digits / "y").write_text("y")
    said = kamld("commit digits -m y").out
    assert "The folder has only yours. To have both there: kamld switch digits main" in said
    refused = kamld("commit digits --amend -m why", status=1).err
    assert "was merged with what others had committed to main meanwhile" in refused
    assert f"bring it here first: kamld switch {digits} main" in refused
    kamld(f"switch {digits} main")
    kamld("commit digits --amend -m why")
    assert kamld("show digits --json").json["message"] == "why"


def test_names_that_read_as_ids(kamld: Kamld, digits: Path) -> None:
    one = kamld("commit digits -m one --json").json["commit"]
    (digits / "new").write_text("x")
    kamld("commit digits -m two")
    for words in (f"tag digits {one[:12]}", "branch digits cafe123", "alias digits deadbeef"):
        assert "reserved_name" in kamld(words, status=1).err
    assert "reserved_name" in kamld(f"commit digits -b {one[:12]} -m no", status=1).err
    assert "reserved_name" in kamld(f"switch digits {one[:9]}f -c", status=1).err
    for word in ("20260302", "cafe", "v1.0", "abcdefgh", "main-conflict-0123456789ab"):
        kamld(f"tag digits {word}")
    assert kamld(f"show digits@{one[:12]} --json").json["message"] == "one"


def test_what_is_suggested_can_be_typed(kamld: Kamld, digits: Path, here: Path) -> None:
    kamld("commit digits -m one")
    (digits / "0/a.txt").write_text("two")
    kamld("commit digits -m two")
    refused = kamld("commit digits --project other -m no", status=1).err
    assert "Leave --project out" in refused
    (digits / "0/a.txt").write_text("three")
    refused = kamld("switch digits main~1", status=1).err
    assert f"kamld commit {digits} -b NEW -m" in refused
