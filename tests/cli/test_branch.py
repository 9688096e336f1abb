"""Protected branches, as a person sees them; merge and undo have pages of their own."""

import re
import shutil
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
    assert "main is protected, and 1 check fails" in kamld("merge digits clean --dry-run", status=1).out
    kamld("branch digits@main --protect --check none --check 'cat 0/a.txt; grep -q a 0/a.txt'")
    refused = kamld("merge digits clean --json", status=1).json
    assert refused["result"] == "refused"
    (failure,) = refused["failures"]
    assert (failure["path"], failure["detail"]) == (None, "it ended with status 1")
    assert failure["output"] == ["z"] * 12
    assert kamld("merge digits clean --dry-run --json", status=1).json["failures"] == refused["failures"]
    assert kamld("log digits --json").json == before
    assert "    z\n" in kamld("merge digits clean", status=1).out
    (guarded / "0/a.txt").write_text("a\n")
    kamld("commit clean -m mended")
    before = kamld("log digits --json").json
    assert "What must hold does: no-nulls:label, cat" in kamld("merge digits clean --dry-run").out
    assert kamld("log digits --json").json == before
    assert "Folders stay" in kamld("merge digits clean").out
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
    way = f'kamld commit {digits} -b NEW -m "…"; then: kamld merge digits NEW'
    assert way in kamld("commit digits -m two", status=1).err
    shutil.copytree(digits, here / "a copy")
    said = kamld("commit 'a copy' -m two", status=1).err
    assert f"kamld commit '{here}/a copy' -b NEW" in said
    (here / "from").mkdir()
    (here / "from/x").write_text("x")
    kamld("import from shop")
    kamld("branch shop@main --protect")
    (here / "from/x").write_text("y")
    refused = kamld("import from shop", status=1).err
    assert "protected_branch" in refused
    assert "another branch: --into NEW; then: kamld merge shop NEW." in refused
    kamld("import from shop --into new")
    assert "y" in kamld("cat shop@new:x").out
    kamld("branch shop new --remove")
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
    shown = {row["ref"]: row["protection"] for row in kamld("branch digits --json").json}
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


def test_protect_again_adds_and_says_what_holds_now(kamld: Kamld, guarded: Path) -> None:
    def holds() -> list[str]:
        (main,) = [row for row in kamld("branch digits --json").json if row["ref"] == "main"]
        return [*main["protection"]["require"], *main["protection"]["checks"]]

    said = kamld("branch digits@main --protect --require schema").out
    assert "digits@main was protected already: only kamld merge moves it.\n" in said
    rules = ("no-nulls:label", "schema   (new)", "grep -c a 0/a.txt")
    assert "".join(f"  must hold: {rule}\n" for rule in rules) in said
    assert holds() == ["no-nulls:label", "schema", "grep -c a 0/a.txt"]
    again = kamld("branch digits@main --protect --require schema").out
    assert "protected already, and that stays as it is" in again
    assert "(new)" not in again
    assert kamld("branch digits --protect").out == again
    said = kamld("branch digits@main --protect --require none --require rows:1-").out
    assert "  must hold: rows:1-   (new)\n  must hold: grep -c a 0/a.txt\n" in said
    assert "  no longer: no-nulls:label\n  no longer: schema\n" in said
    assert holds() == ["rows:1-", "grep -c a 0/a.txt"]
    changed = kamld("branch digits@main --protect --require none --check none --json").json
    assert (changed["added"], changed["dropped"]) == ([], ["rows:1-", "grep -c a 0/a.txt"])
    assert "Nothing else must hold" in kamld("branch digits@main --protect").out
    assert "protected_branch" in kamld("undo digits", status=1).err
    kamld("branch digits@main --protect --require rows:1-")
    assert "  had to hold: rows:1-\n" in kamld("branch digits --unprotect").out


@pytest.mark.parametrize("kind", ["branch", "tag", "alias"])
def test_removed_by_its_whole_name(kamld: Kamld, guarded: Path, kind: str) -> None:
    kamld(f"{kind} digits@main~1 there")
    assert f"Removed {kind} there." in kamld(f"{kind} digits@there --remove").out
    assert f'has no {kind} "there"' in kamld(f"{kind} digits@there --remove", status=1).err
    kamld("undo digits@there")
    assert kamld(f"{kind} digits there --remove --json").json["commit"] is None
    for words in (f"{kind} digits --remove", f"{kind} digits@main~1 --remove", f"{kind} digits@x:y --remove"):
        assert f"Write digits@{kind.upper()}" in kamld(words, status=2).err
    other = "tag" if kind == "branch" else "branch"
    kamld(f"{other} digits it")
    assert f"it is a {other}" in kamld(f"{kind} digits@it --remove", status=1).err
    assert "usage" in kamld("branch digits@main --remove", status=2).err


def test_a_models_number_is_no_tag_to_remove(kamld: Kamld, digits: Path) -> None:
    kamld("commit digits --model -m one")
    assert "reserved_name" in kamld("tag digits@v1 --remove", status=1).err


@pytest.mark.parametrize(
    ("words", "status", "code"),
    [
        ("branch digits@main --protect --require nonsense", 1, "bad_rule"),
        ("branch digits@nowhere --protect", 1, "unknown_revision"),
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
