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
    assert "merged clean   +1 ~2 files" in said
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
    assert "merged clean" in kamld("resolve digits 0/a.txt --file mine.txt").out
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
    left = kamld("resolve digits labels.csv --row 0/b.txt --theirs --json", status=1).json
    (clash,) = left["conflicts"]
    assert (clash["row_conflicts"], clash["rows_decided"]) == (1, 1)
    assert clash["rows"][0] == {
        "key": ["0/c.txt"], "kind": "deleted by ours", "columns": ["label"], "base": {"label": "2"},
        "ours": None, "theirs": {"label": "9"},
    }  # fmt: skip
    assert "1 decided already." in kamld("merge digits", status=1).out
    kamld("resolve digits labels.csv --row 0/b.txt --ours", status=1)  # made anew
    assert "merged clean" in kamld("resolve digits labels.csv --row 0/c.txt --theirs").out
    kamld("checkout digits joined")
    assert (here / "joined/labels.csv").read_text() == "file,label\n0/a.txt,5\n0/b.txt,8\n0/c.txt,9\n"


def test_only_into_a_branch(kamld: Kamld, two_sides: None) -> None:
    kamld("tag digits@main~1 delivered")
    assert "not_a_branch" in kamld("merge digits clean --into delivered", status=1).err
    assert "unknown_ref" in kamld("merge digits clean --into nowhere", status=1).err
    assert "unknown_revision" in kamld("merge digits nowhere", status=1).err
