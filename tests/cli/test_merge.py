"""merge and resolve, as a person sees them."""

from pathlib import Path

import pytest

from tests.cli.conftest import Kamld

ROWS = "file,label\n0/a.txt,0\n0/b.txt,1\n0/c.txt,2\n"


@pytest.fixture
def two_sides(kamld: Kamld, digits: Path, here: Path) -> None:
    """main and clean: one row each of a table, and one file that both changed."""
    (digits / "labels.csv").write_text(ROWS)
    kamld("commit digits -m one")
    kamld("branch digits clean")
    kamld("checkout digits@clean clean")
    (here / "clean/labels.csv").write_text(ROWS.replace("b.txt,1", "b.txt,9"))
    (here / "clean/0/a.txt").write_text("cleaned\n")
    (here / "clean/new.txt").write_text("new\n")
    kamld("commit clean -m 'clean up'")
    (digits / "labels.csv").write_text(ROWS + "1/a.txt,3\n")
    kamld("commit digits -m 'one more row'")


def test_it_lands(kamld: Kamld, two_sides: None, here: Path) -> None:
    assert "Do it: kamld merge digits clean" in kamld("merge digits clean --dry-run").out
    said = kamld("merge digits clean -m 'take it'").out
    assert "take it   +1 ~2 files" in said
    assert "Folders stay as they are. To have it in one: kamld switch FOLDER main" in said
    assert "labels.csv: 1 row of clean joined" in said
    assert "To take that back: kamld undo digits" in said
    assert kamld("log digits@main --json").json[0]["message"] == "take it"
    kamld("checkout digits joined")
    rows = (here / "joined/labels.csv").read_text()
    assert rows == ROWS.replace("b.txt,1", "b.txt,9") + "1/a.txt,3\n"
    assert "has all of clean already" in kamld("merge digits clean").out
    assert kamld("merge digits @main --into clean --json").json["result"] == "moved"


def test_it_waits_and_is_decided(kamld: Kamld, two_sides: None, digits: Path, here: Path) -> None:
    (digits / "0/a.txt").write_text("by main\n")
    kamld("commit digits -m mine")
    said = kamld("merge digits clean", status=1).out
    assert "1 conflict; nothing has changed. clean into main:" in said
    assert "0/a.txt  both changed it  main 8 B, clean 8 B" in said
    assert said == kamld("merge digits", status=1).out
    waiting = kamld("merge digits --json", status=1).json
    assert [conflict["path"] for conflict in waiting["conflicts"]] == ["0/a.txt"]
    assert "usage" in kamld("resolve digits 0/a.txt", status=2).err
    assert "no_conflict" in kamld("resolve digits 0/b.txt --ours", status=1).err
    assert "no_such_file" in kamld("resolve digits 0/a.txt --file nowhere", status=1).err
    (here / "mine.txt").write_text("by hand\n")
    assert "merge clean into main   " in kamld("resolve digits 0/a.txt --file mine.txt").out
    kamld("checkout digits joined")
    assert (here / "joined/0/a.txt").read_text() == "by hand\n"
    assert "no_merge" in kamld("merge digits", status=1).err


def test_all_alike_or_given_up(kamld: Kamld, two_sides: None, digits: Path, here: Path) -> None:
    (digits / "0/a.txt").write_text("by main\n")
    kamld("commit digits -m mine")
    kamld("merge digits clean", status=1)
    assert "merge_waiting" in kamld("merge digits main~1", status=1).err
    assert "usage" in kamld("merge digits --ours --theirs", status=2).err
    assert "Gave up merging clean into main" in kamld("merge digits --abort").out
    assert "no_merge" in kamld("merge digits --abort", status=1).err
    kamld("merge digits clean", status=1)
    assert kamld("merge digits --theirs --json").json["result"] == "merged"
    kamld("checkout digits joined")
    assert (here / "joined/0/a.txt").read_text() == "cleaned\n"


def test_rows_are_decided_one_by_one(kamld: Kamld, two_sides: None, digits: Path, here: Path) -> None:
    """b: both changed it; c: gone here, changed there; a: by us alone."""
    (here / "clean/labels.csv").write_text("file,label\n0/a.txt,0\n0/b.txt,9\n0/c.txt,9\n")
    kamld("commit clean -m theirs")
    (digits / "labels.csv").write_text("file,label\n0/a.txt,5\n0/b.txt,8\n")
    kamld("commit digits -m ours")
    said = kamld("merge digits clean", status=1).out
    assert "labels.csv  both changed it  main 31 B, clean 41 B; row 0/b.txt and 1 more changed" in said
    assert "    0/b.txt  main: 8          clean: 9\n" in said
    assert "    0/c.txt  main: (deleted)  clean: 9\n" in said
    assert "Decide: kamld resolve digits labels.csv --row 0/b.txt --ours | --theirs" in said
    assert "no_conflict" in kamld("resolve digits labels.csv --row 0/a.txt --ours", status=1).err
    assert "usage" in kamld("resolve digits labels.csv --row 0/b.txt --file x", status=2).err
    (here / "x").write_text("")
    assert "usage" in kamld("resolve digits labels.csv --row 0/b.txt --file x", status=2).err
    left = kamld("resolve digits labels.csv --row 0/b.txt --theirs --json").json
    (clash,) = left["conflicts"]
    assert (clash["row_conflicts"], clash["rows_decided"]) == (1, 1)
    assert clash["rows"][0] == {
        "key": ["0/c.txt"], "kind": "deleted by ours", "columns": ["label"], "base": {"label": "2"},
        "ours": None, "theirs": {"label": "9"},
    }  # fmt: skip
    assert left["decided"] == [{"path": "labels.csv", "row": ["0/b.txt"], "decision": "theirs"}]
    assert "Decided already: labels.csv, row 0/b.txt: theirs." in kamld("merge digits", status=1).out
    said = kamld("resolve digits labels.csv --row 0/b.txt --ours").out  # made anew
    assert said.startswith("Decided: labels.csv, row 0/b.txt: ours.\n1 conflict left of clean into main:")
    assert "merge clean into main   " in kamld("resolve digits labels.csv --row 0/c.txt --theirs").out
    kamld("checkout digits joined")
    assert (here / "joined/labels.csv").read_text() == "file,label\n0/a.txt,5\n0/b.txt,8\n0/c.txt,9\n"


def test_a_merge_that_changes_no_file_says_so(kamld: Kamld, two_sides: None, digits: Path) -> None:
    (digits / "0/a.txt").write_text("by main\n")
    (digits / "labels.csv").write_text(ROWS)
    kamld("commit digits -m mine")
    kamld("branch digits@main~1 older")
    kamld("merge digits clean --ours")
    kamld("merge digits main --into clean")
    kamld("checkout digits@older older")
    (Path("older") / "0/a.txt").write_text("older\n")
    kamld("commit older -m older")
    assert "merge older into main   the same files" in kamld("merge digits older --ours").out


def test_a_merge_elsewhere_is_found(kamld: Kamld, two_sides: None, digits: Path) -> None:
    (digits / "0/a.txt").write_text("by main\n")
    kamld("commit digits -m mine")
    kamld("merge digits main --into clean", status=1)
    assert "main into clean:" in kamld("merge digits", status=1).out
    assert (
        "One does elsewhere: kamld merge digits --into clean"
        in kamld("merge digits --into main", status=1).err
    )
    kamld("merge digits clean", status=1)
    said = kamld("merge digits", status=1)
    assert "clean into main:" in said.out
    assert "Another waits: kamld merge digits --into clean" in said.err
    assert "Gave up merging clean into main" in kamld("merge digits --abort").out
    assert "merge main into clean   " in kamld("resolve digits 0/a.txt --theirs").out
    assert "no_merge" in kamld("merge digits", status=1).err


def test_a_key_that_is_no_column_is_refused(kamld: Kamld, two_sides: None, digits: Path, here: Path) -> None:
    head = kamld("log digits@main --json").json[0]["commit"]
    refused = kamld("merge digits clean --key nosuch", status=1).err
    assert 'No table that both changed has a column "nosuch": not labels.csv. It has: file, label.' in refused
    assert "unknown_column" in refused
    assert kamld("log digits@main --json").json[0]["commit"] == head
    assert "no_merge" in kamld("merge digits", status=1).err
    for folder, label in (("digits", "5"), ("clean", "6")):
        (here / folder / "more.csv").write_text(f"id,n\n1,{label}\n")
        kamld(f"commit {folder} -m more")
    left = kamld("merge digits clean --key id --json", status=1).json
    assert left["tables"] == [{"path": "labels.csv", "rows": 1}]
    assert [one["path"] for one in left["conflicts"]] == ["more.csv"]
    assert "--key needs FROM" in kamld("merge digits --key id", status=2).err
    kamld("merge digits --ours")
    kamld("merge digits main --into clean")
    (digits / "0/b.txt").write_text("only here\n")
    kamld("commit digits -m more")
    assert "--key was not needed" in kamld("merge digits main --into clean --key nosuch").err


def test_only_into_a_branch(kamld: Kamld, two_sides: None) -> None:
    kamld("tag digits@main~1 delivered")
    assert "not_a_branch" in kamld("merge digits clean --into delivered", status=1).err
    assert "unknown_revision" in kamld("merge digits clean --into nowhere", status=1).err
    assert "unknown_revision" in kamld("merge digits nowhere", status=1).err


def test_a_dry_run_tells_of_conflicts_that_nothing_waits_for(
    kamld: Kamld, two_sides: None, digits: Path
) -> None:
    (digits / "0/a.txt").write_text("by main\n")
    kamld("commit digits -m mine")
    said = kamld("merge digits clean --dry-run", status=1).out
    assert "1 conflict to be decided before clean can go into main:" in said
    assert "Do it: kamld merge digits clean\n" in said
    assert "resolve" not in said
    assert "--abort" not in said
    assert "no_merge" in kamld("merge digits", status=1).err
    assert kamld("merge digits clean --dry-run --json", status=1).json["waits"] is False
    assert kamld("merge digits clean --json", status=1).json["waits"] is True
    assert "Decide: kamld resolve" in kamld("merge digits clean --dry-run", status=1).out
    refused = kamld("merge digits clean --into other --abort", status=2).err
    assert "kamld merge digits --into other --abort" in refused


def test_a_decision_that_leaves_others_is_no_failure(
    kamld: Kamld, two_sides: None, digits: Path, here: Path
) -> None:
    (digits / "0/a.txt").write_text("by main\n")
    (digits / "new.txt").write_text("new here too\n")
    kamld("commit digits -m mine")
    kamld("merge digits clean", status=1)
    said = kamld("resolve digits 0/a.txt --ours").out
    assert said.startswith("Decided: 0/a.txt: ours.\n1 conflict left of clean into main:\n  new.txt")
    assert "nothing has changed" not in said
    assert "Decided already: 0/a.txt: ours." in kamld("merge digits", status=1).out
    (here / "mine").write_text("by hand\n")
    assert "Folders stay" in kamld("resolve digits new.txt --file mine").out


def test_a_file_against_a_folder_says_what_each_side_has(
    kamld: Kamld, two_sides: None, digits: Path, here: Path
) -> None:
    (digits / "n").mkdir()
    (digits / "n/1").write_text("1")
    (digits / "n/2").write_text("2")
    kamld("commit digits -m folder")
    (here / "clean/n").write_text("n\n")
    kamld("commit clean -m file")
    assert "n  a file and a folder  main a folder of 2 files, clean 2 B" in kamld("merge digits clean", 1).out
    kamld("merge digits --abort")
    said = kamld("merge digits main --into clean", 1).out
    assert "n  a file and a folder  clean 2 B, main a folder of 2 files" in said
    said = kamld("resolve digits n --ours").out
    assert "removed" not in said
    kamld("undo digits@clean")
    said = kamld("merge digits clean --theirs").out
    assert "removed  n/1" in said
    assert "removed  n/2" in said


def test_a_message_is_never_dropped(kamld: Kamld, two_sides: None, digits: Path) -> None:
    """Into a branch that is behind, it needs a commit; of a merge that waits, it waits too."""
    old = kamld("log digits@clean --json").json[0]["commit"]
    kamld("branch digits@clean behind")
    kamld("merge digits clean")
    new = kamld("log digits@main --json").json[0]["commit"]
    said = kamld("merge digits main --into behind -m hey").out
    assert "hey   ~1 file" in said
    assert "forward" not in said
    landed, *_ = kamld("log digits@behind --json").json
    assert (landed["message"], landed["parents"]) == ("hey", [old, new])
    assert kamld("diff digits@main @behind --json").json == []
    assert "has all of main already" in kamld("merge digits main --into behind -m hey").out
    assert kamld("merge digits main --into clean --json").json["commit"] == new  # without one, forward
    for folder, branch in (("newest", "main"), ("side", "clean")):
        kamld(f"checkout digits@{branch} {folder}")
        (Path(folder) / "0/a.txt").write_text(folder)
        kamld(f"commit {folder} -m more")
    kamld("merge digits clean -m 'first words'", status=1)
    assert "-m needs FROM" in kamld("merge digits -m second", status=2).err
    kamld("merge digits clean -m 'second words'", status=1)
    kamld("merge digits clean", status=1)
    assert "second words   " in kamld("resolve digits 0/a.txt --theirs").out


def test_what_was_purged_is_named_and_not_decided_for(
    kamld: Kamld, two_sides: None, digits: Path, here: Path
) -> None:
    """A version must not get a hole because somebody decided for what nobody can have."""
    (digits / "0/a.txt").write_text("by main\n")
    (digits / "labels.csv").write_text(ROWS.replace("b.txt,1", "b.txt,7"))
    kamld("commit digits -m mine")
    kamld("merge digits clean", status=1)
    for which in ("digits@clean:0/a.txt", "digits@main:0/a.txt", "digits@clean:labels.csv"):
        kamld(f"purge {which} --reason private --yes")
    said = kamld("merge digits", status=1).out
    assert "main 8 B, clean 8 B; ours and theirs were purged" in said
    assert "theirs was purged" in said
    why = [one["detail"] for one in kamld("merge digits --json", status=1).json["conflicts"]]
    assert why == ["ours and theirs were purged", "theirs was purged"]
    for path in ("0/a.txt", "labels.csv"):
        refused = kamld(f"resolve digits {path} --theirs", status=1).err
        assert f"What clean has at {path} is not to be had: " in refused
        assert "was purged by ann on" in refused
    assert "2 conflicts" in kamld("merge digits --theirs", status=1).out
    kamld("resolve digits labels.csv --ours")
    (here / "mine.txt").write_text("by hand")
    kamld("resolve digits 0/a.txt --file mine.txt")
    assert kamld("cat digits:0/a.txt").out == "by hand"
    assert "b.txt,7" in kamld("cat digits:labels.csv").out


def test_a_conflict_says_where_a_file_was_renamed_to(kamld: Kamld, two_sides: None, here: Path) -> None:
    (here / "clean/0/b.txt").rename(here / "clean/0/two.txt")
    kamld("commit clean -m renamed")
    (here / "digits/0/b.txt").write_text("changed\n")
    kamld("commit digits -m changed")
    said = kamld("merge digits clean", status=1).out
    assert "0/b.txt  theirs removed it  main 8 B, clean nothing; theirs renamed it to 0/two.txt\n" in said
    (one,) = kamld("merge digits --json", status=1).json["conflicts"]
    assert one["detail"] == "theirs renamed it to 0/two.txt"
    kamld("merge digits --abort")
    said = kamld("merge digits main --into clean", status=1).out
    assert "clean nothing, main 8 B; ours renamed it to 0/two.txt\n" in said
