"""Protected branches, as a person sees them; merge and undo have pages of their own."""

import re
from pathlib import Path

import pytest

from tests.cli.conftest import Kamld

TABLE = "file,label\n0/a.txt,0\n"


@pytest.fixture
def guarded(kamld: Kamld, digits: Path, here: Path) -> Path:
    """main is protected; clean/ is a folder on a branch with a label that is missing."""
    kamld("commit digits -m nothing")
    (digits / "0/c.txt").write_text("one\n")
    kamld("commit digits -m one")
    kamld("branch digits clean")
    said = kamld('branch digits@main --protect --require no-nulls:label --check "grep -c a 0/a.txt"').out
    assert "digits@main is protected: only kamld merge moves it" in said
    assert "must hold: no-nulls:label\n  must hold: grep -c a 0/a.txt" in said
    kamld("checkout digits@clean clean")
    (here / "clean/labels.csv").write_text(TABLE + "0/b.txt,\n")
    kamld("commit clean -m 'one more'")
    return here / "clean"


def test_it_moves_once_all_holds(kamld: Kamld, guarded: Path, here: Path) -> None:
    before = kamld("log digits --json").json
    said = kamld("merge digits clean", status=1).out
    assert "main is protected, and 1 check fails; nothing has moved." in said
    assert 'no-nulls:label   labels.csv: 1 row has nothing in "label", the first is row 2' in said
    assert "again: kamld merge digits clean" in said
    assert kamld("log digits --json").json == before
    (guarded / "labels.csv").write_text(TABLE + "0/b.txt,1\n")
    (guarded / "0/a.txt").write_text("nothing here\nno, nothing\n" + "z\n" * 30)
    kamld("commit clean -m 'a label'")
    assert "Then must hold: no-nulls:label, grep" in kamld("merge digits clean --dry-run").out
    kamld("branch digits@main --protect --check 'cat 0/a.txt; grep -q a 0/a.txt'")
    refused = kamld("merge digits clean --json", status=1).json
    assert refused["result"] == "refused"
    (failure,) = refused["failures"]
    assert (failure["path"], failure["detail"]) == (None, "it ended with status 1")
    assert failure["output"] == ["z"] * 12
    assert "    z\n" in kamld("merge digits clean", status=1).out
    (guarded / "0/a.txt").write_text("a\n")
    kamld("commit clean -m mended")
    assert "merged clean" in kamld("merge digits clean").out
    kamld("checkout digits now")
    assert (here / "now/labels.csv").read_text() == TABLE + "0/b.txt,1\n"


def test_no_other_verb_moves_it(kamld: Kamld, guarded: Path, digits: Path, here: Path, hub: Path) -> None:
    (digits / "new.txt").write_text("new\n")
    names = kamld("branch digits --json").json
    packs = sorted(hub.rglob("*.pack"))
    for words in ("commit digits -m two", "undo digits", "tag digits@clean main", "alias digits@clean main"):
        told = kamld(words, status=1).err
        assert re.search(r"protected_branch|ref_kind", told), words
    assert sorted(hub.rglob("*.pack")) == packs
    way = 'kamld commit FOLDER -b NEW -m "…"; then: kamld merge digits NEW'
    assert way in kamld("commit digits -m two", status=1).err
    (here / "from").mkdir()
    (here / "from/x").write_text("x")
    kamld("import from shop")
    kamld("branch shop@main --protect")
    (here / "from/x").write_text("y")
    assert "protected_branch" in kamld("import from shop", status=1).err
    assert kamld("branch digits --json").json == names
    kamld("branch digits@clean --protect")
    assert "protected_branch" in kamld("branch digits clean --remove", status=1).err
    kamld("branch digits@main --unprotect")
    assert "digits@clean --unprotect" in kamld("rm digits", status=1).err
    kamld("branch digits@clean --unprotect")
    kamld("rm digits")


def test_it_is_shown_and_lifted(kamld: Kamld, guarded: Path) -> None:
    listed = kamld("branch digits").out
    assert "protected: no-nulls:label, grep -c a 0/a.txt" in listed
    shown = {row["name"]: row["protection"] for row in kamld("branch digits --json").json}
    assert shown["clean"] is None
    assert shown["main"]["require"] == ["no-nulls:label"]
    assert shown["main"]["author"] == "ann"
    kamld("branch digits@clean --protect")
    assert "protected: only by merges" in kamld("branch digits").out
    assert "is not protected any more" in kamld("branch digits@clean --unprotect").out
    assert "was not protected" in kamld("branch digits@clean --unprotect").out
    kamld("branch digits --unprotect")
    (guarded.parent / "digits/new.txt").write_text("new\n")
    kamld("commit digits -m two")


@pytest.mark.parametrize(
    ("words", "status", "code"),
    [
        ("branch digits@main --protect --require nonsense", 1, "bad_rule"),
        ("branch digits@nowhere --protect", 1, "unknown_ref"),
        ("branch digits@main~1 --protect", 2, "usage"),
        ("branch digits other --protect", 2, "usage"),
        ("branch digits --require schema", 2, "usage"),
        ("branch digits --unprotect --check true", 2, "usage"),
    ],
)
def test_what_makes_no_sense_is_refused(
    kamld: Kamld, guarded: Path, words: str, status: int, code: str
) -> None:
    assert code in kamld(words, status=status).err
