"""undo, mv and rm, as a person sees them."""

from pathlib import Path

from tests.cli.conftest import Kamld


def test_undo_and_back(kamld: Kamld, digits: Path) -> None:
    one = kamld("commit digits -m one --json").json["commit"]
    (digits / "new").write_text("x")
    two = kamld("commit digits -m two --json").json["commit"]
    said = kamld("undo digits").out
    assert f"digits@main   {one[:12]}  one   (was {two[:12]})" in said
    assert "To take that back: kamld undo digits" in said
    assert [c["commit"] for c in kamld("log digits@main --json").json] == [one]
    done = kamld("undo digits --json").json
    assert (done["commit"], done["old_commit"], done["undone"]) == (two, one, "undo: commit: two")
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


def test_what_was_undone_is_not_brought_back(kamld: Kamld, digits: Path) -> None:
    """The folder that made it commits again: what it changed since is there, and nothing else."""
    one = kamld("commit digits -m one --json").json["commit"]
    (digits / "labels.csv").write_text("wrong")
    two = kamld("commit digits -m two --json").json["commit"]
    kamld("undo digits")
    said = kamld("status digits").out
    assert f"{two[:12]} was taken back from main, which is {one[:12]} now." in said
    assert "Bring it here: kamld switch digits main" in said
    assert "taken back from main: kamld status digits" in kamld("commit digits -m nothing").out

    (digits / "new").write_text("x")
    done = kamld("commit digits -m three --json").json
    assert (done["landed"], done["parents"]) == ("carried", [two])
    log = kamld("log digits@main --json").json
    assert [(c["commit"], c["message"]) for c in log] == [(done["head"], "three"), (one, "one")]
    assert kamld("cat digits:labels.csv").out == "file,label\n0/a.txt,0\n"
    assert kamld(f"cat digits@{done['commit']}:labels.csv").out == "wrong"  # what the folder has
    status = kamld("status digits --json").json
    assert (status["commit"], status["standing"], status["changes"]) == (done["commit"], "carried", [])
    (digits / "new").write_text("y")
    said = kamld("commit digits -m four").out
    assert f"{kamld('show digits --json').json['commit'][:12]}  four   ~1 file" in said
    assert "Make the folder main's: kamld switch digits main" in said
    kamld("switch digits main")
    assert (digits / "labels.csv").read_text() == "file,label\n0/a.txt,0\n"
    assert (digits / "new").read_text() == "y"
    assert kamld("status digits --json").json["standing"] == "newest"
    kamld("fsck")


def test_a_change_to_what_was_undone_is_kept_apart(kamld: Kamld, digits: Path) -> None:
    kamld("commit digits -m one")
    (digits / "labels.csv").write_text("wrong")
    kamld("commit digits -m two")
    kamld("undo digits")
    (digits / "labels.csv").write_text("right")
    said = kamld("commit digits -m three").out
    assert "Your change to labels.csv builds on what was taken back from main." in said
    assert "Yours is kept as branch main-conflict-" in said
    assert [c["message"] for c in kamld("log digits@main --json").json] == ["one"]


def test_a_folder_whose_branch_was_removed(kamld: Kamld, digits: Path) -> None:
    kamld("commit digits -m one")
    kamld("switch digits try -c")
    kamld("branch digits try --remove")
    assert "try was removed; a commit makes it again." in kamld("status digits").out


def test_several_steps_at_once(kamld: Kamld, digits: Path) -> None:
    for number in range(4):
        (digits / "0/a.txt").write_text(f"{number}")
        kamld(f"commit digits -m '{number}'")
    kamld("branch digits@main~3 other")
    kamld("checkout digits@other elsewhere")
    Path("elsewhere/b").write_text("b")
    kamld("commit elsewhere -m apart")
    done = kamld("undo digits --to main~2 --json").json
    assert [c["message"] for c in kamld("log digits@main --json").json] == ["1", "0"]
    assert kamld("undo digits --json").json["commit"] == done["old_commit"]
    assert [c["message"] for c in kamld("log digits@main --json").json] == ["3", "2", "1", "0"]
    assert "at main already" in kamld("undo digits --to main", status=1).err
    assert "never was at other" in kamld("undo digits --to other", status=1).err
    kamld("alias digits best")
    kamld("alias digits@main~1 best")
    kamld("alias digits@main~2 best")
    kamld("undo digits@best --to main")
    assert kamld("show digits@best --json").json["message"] == "3"
    assert "never_there" in kamld("undo digits@best --to main~3", status=1).err


def test_only_where_the_branch_was_itself(kamld: Kamld, digits: Path) -> None:
    """What came in with a merge, or all at once, is in its history, but main never was there."""
    kamld("commit digits -m one")
    kamld("switch digits exp -c")
    for number in range(3):
        (digits / "exp").write_text(f"{number}")
        kamld(f"commit digits -m {number}")
    assert kamld("merge digits exp --json").json["result"] == "moved"
    assert "never_there" in kamld("undo digits --to exp~1", status=1).err
    (digits / "exp").write_text("more")
    kamld("commit digits -m more")
    kamld("switch digits main")
    (digits / "main").write_text("main")
    kamld("commit digits -m main")
    kamld("merge digits exp")
    refused = kamld("undo digits --to exp", status=1).err
    assert "digits@main never was at exp, so there is no way back to it." in refused
    assert "A branch there: kamld branch digits@exp NEW" in refused
    kamld("undo digits --to main~1")
    assert kamld("show digits --json").json["message"] == "main"


def test_undo_says_what_becomes_of_folders(kamld: Kamld, digits: Path) -> None:
    kamld("commit digits -m one")
    (digits / "new").write_text("x")
    kamld("commit digits -m two")
    said = kamld("undo digits").out
    assert "Folders keep their files. To have it in one: kamld switch FOLDER main" in said
    kamld("undo digits")
    kamld("branch digits@main --protect")
    refused = kamld("undo digits", status=1).err
    assert "only kamld merge moves it, so nothing is taken back" in refused
    assert "Lift that first: kamld branch digits@main --unprotect" in refused
    kamld("branch digits@main --unprotect")
    kamld("alias digits best")
    kamld("alias digits@main~1 best")
    assert "Folders" not in kamld("undo digits@best").out


def test_a_second_undo_is_not_said_to_be_there(kamld: Kamld, digits: Path) -> None:
    """Two was undone, three had only its own change carried over, and three was undone too."""
    one = kamld("commit digits -m one --json").json["commit"]
    (digits / "labels.csv").write_text("wrong")
    kamld("commit digits -m two")
    kamld("undo digits")
    (digits / "new").write_text("x")
    three = kamld("commit digits -m three --json").json["commit"]
    assert kamld("status digits --json").json["standing"] == "carried"
    kamld("undo digits")
    assert kamld("status digits --json").json["standing"] == "taken back"
    said = kamld("status digits").out
    assert f"{three[:12]} was taken back from main, which is {one[:12]} now." in said
    kamld("undo digits")
    assert kamld("status digits --json").json["standing"] == "carried"


def test_rm_of_a_ref_says_what_would_do(kamld: Kamld, digits: Path) -> None:
    kamld("commit digits -m one")
    kamld("tag digits delivered")
    assert "kamld tag digits delivered --remove" in kamld("rm digits@delivered", status=2).err
    said = kamld("rm digits@main", status=2).err
    assert "--remove" not in said
    assert "If you mean that: kamld rm digits" in said


def test_over_what_was_lost(kamld: Kamld, digits: Path, hub: Path) -> None:
    one = kamld("commit digits -m one --json").json["commit"]
    (digits / "new").write_text("x")
    two = kamld("commit digits -m two --json").json["commit"]
    kamld("gc")
    (main,) = hub.glob("refs/*/main")
    main.unlink()
    kamld("fsck --repair")
    kamld(f"branch digits@recovered-{two[:12]} main")
    said = kamld("undo digits").out.splitlines()
    assert said[0] == f"digits@main   {one[:12]}  one   (was {two[:12]})"
    assert "What main was right before is lost; of what is known, this is the newest." in said
    assert kamld("undo digits --json").json["lost_before"] is False
    kamld("undo digits")
    (main,) = hub.glob("refs/*/main")
    main.unlink()
    kamld("fsck --repair")
    kamld(f"branch digits@{one} main")
    assert "lost_log" in kamld("undo digits", status=1).err


def test_a_merge_that_waits_stays_and_is_told(kamld: Kamld, digits: Path, here: Path) -> None:
    kamld("commit digits -m base")
    kamld("branch digits b")
    kamld("checkout digits@b side")
    for folder in ("digits", "side"):
        (here / folder / "0/a.txt").write_text(folder)
        (here / folder / "0/b.txt").write_text(folder)
        kamld(f"commit {folder} -m {folder}")
    kamld("merge digits b", status=1)
    kamld("resolve digits 0/a.txt --theirs")
    (digits / "more").write_text("more")
    kamld("commit digits -m more")
    said = kamld("undo digits").out
    assert "A merge of b into main waits, with what was decided. It stays:\n  kamld merge digits  " in said
    assert "anew" not in said
    assert "Decided already: 0/a.txt: theirs." in kamld("merge digits", status=1).out
    assert kamld("undo digits --json").json["waits"] is True
    kamld("merge digits --ours")
    said = kamld("undo digits").out
    assert "Merging it anew asks anew for what was decided" in said
    assert "waits" not in said
    assert "2 conflicts; nothing has changed" in kamld("merge digits b", status=1).out
    kamld("merge digits --abort")
    assert kamld("undo digits --json").json["waits"] is False
    kamld("checkout digits whole")
    assert ((here / "whole/0/a.txt").read_text(), (here / "whole/0/b.txt").read_text()) == ("side", "digits")
