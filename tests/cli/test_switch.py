"""switch and restore, as a person sees them; and what a kill at any moment leaves."""

import os
from pathlib import Path

import pytest

from tests.cli.conftest import Kamld


def shape(top: Path) -> dict[str, str]:
    """What is in a folder: files with their bytes and whether they can be run, links, empty folders."""
    found: dict[str, str] = {}
    for place, folders, files in os.walk(top):
        folders[:] = [name for name in folders if name != ".kamld"]
        for name in [*files, *(n for n in folders if (Path(place) / n).is_symlink())]:
            path = Path(place) / name
            bits = "x" if not path.is_symlink() and path.stat().st_mode & 0o100 else ""
            content = os.readlink(path) if path.is_symlink() else path.read_text()
            found[str(path.relative_to(top))] = f"{'→' if path.is_symlink() else bits}{content}"
        if not folders and not files:
            found[f"{Path(place).relative_to(top)}/"] = ""
    return found


def two_versions(kamld: Kamld, digits: Path) -> tuple[dict[str, str], dict[str, str]]:
    """Files, folders, links and empty folders that become one another."""
    (digits / "was-file").write_text("f")
    (digits / "was-folder/deep").mkdir(parents=True)
    (digits / "was-folder/deep/x").write_text("x")
    (digits / "was-link").symlink_to("0")
    (digits / "was-empty").mkdir()
    kamld("commit digits -m one")
    before = shape(digits)
    (digits / "was-file").unlink()
    (digits / "was-file").mkdir()
    (digits / "was-file/in").write_text("in")
    (digits / "was-folder/deep/x").unlink()
    (digits / "was-folder/deep").rmdir()
    (digits / "was-folder").rmdir()
    (digits / "was-folder").symlink_to("1")
    (digits / "was-link").unlink()
    (digits / "was-link").mkdir()
    (digits / "was-link/a.txt").write_text("not 0/a.txt")
    (digits / "was-empty/now").write_text("not")
    (digits / "0/a.txt").chmod(0o755)
    (digits / "0/b.txt").write_text("changed")
    (digits / "1/c.txt").unlink()
    kamld("commit digits -m two")
    return before, shape(digits)


def test_there_and_back(kamld: Kamld, digits: Path) -> None:
    before, after = two_versions(kamld, digits)
    untouched = (digits / "0/c.txt").stat()
    said = kamld("switch digits main~1").out
    assert "digits on no branch" in said
    assert "kamld commit digits -b NEW" in said
    assert shape(digits) == before
    assert "on no branch" in kamld("status digits").out
    assert kamld("status digits --json").json["changes"] == []
    assert "no_branch" in kamld("commit digits -m lost", status=1).err
    done = kamld("switch digits main --json").json
    assert (done["branch"], done["old_branch"], done["own_changes"]) == ("main", None, 0)
    assert shape(digits) == after
    assert kamld("status digits --json").json["changes"] == []
    assert (digits / "0/c.txt").stat() == untouched
    assert not (digits / ".kamld/switch").exists()
    assert "not_bound" in kamld("switch main", status=1).err
    assert "usage" in kamld("switch a b c", status=2).err
    assert "unknown_revision" in kamld("switch digits nope", status=1).err


def test_work_is_never_overwritten(kamld: Kamld, digits: Path) -> None:
    two_versions(kamld, digits)
    (digits / "0/b.txt").write_text("mine")
    (digits / "own").write_text("mine too")
    (digits / "was-file/other").write_text("in a folder that must go")
    (digits / "1/c.txt").write_text("where the other version has a file")
    mine = shape(digits)
    said = kamld("switch digits main~1", status=1).err
    assert "in_the_way" in said
    for name in ("0/b.txt (changed)", "was-file/other", "1/c.txt (new)"):
        assert name in said
    assert "own" not in said.replace("own)", "").replace("of its own", "")
    assert shape(digits) == mine
    (digits / "was-file/other").unlink()
    (digits / "1/c.txt").write_text("1/c\n")  # just what that version has: nothing to lose
    kamld("restore digits 0/b.txt")
    done = kamld("switch digits main~1 --json").json
    assert done["own_changes"] == 1
    assert (digits / "own").read_text() == "mine too"
    changed = kamld("status digits --json").json["changes"]
    assert [(c["path"], c["change"]) for c in changed] == [("own", "added")]


def test_what_is_ignored_is_not_overwritten(kamld: Kamld, digits: Path) -> None:
    kamld("commit digits -m one")
    (digits / "cache").write_text("versioned")
    kamld("commit digits -m two")
    kamld("switch digits main~1")
    (digits / ".kamldignore").write_text("cache\n")
    (digits / "cache").write_text("mine")
    assert "cache (in the way)" in kamld("switch digits main", status=1).err
    assert (digits / "cache").read_text() == "mine"


def test_a_link_is_not_written_through(kamld: Kamld, digits: Path, here: Path) -> None:
    kamld("commit digits -m one")
    (digits / "sub").mkdir()
    (digits / "sub/f").write_text("f")
    kamld("commit digits -m two")
    kamld("switch digits main~1")
    (here / "elsewhere").mkdir()
    (digits / "sub").symlink_to(here / "elsewhere")
    assert "sub (in the way)" in kamld("switch digits main", status=1).err
    assert list((here / "elsewhere").iterdir()) == []


def test_modes_stay(kamld: Kamld, digits: Path) -> None:
    kamld("commit digits -m one")
    (digits / "0/a.txt").write_text("two")
    kamld("commit digits -m two")
    (digits / "0/a.txt").chmod(0o400)
    (digits / "0").chmod(0o555)
    kamld("switch digits main~1")
    assert (digits / "0/a.txt").read_text() == "0/a\n"
    assert (digits / "0/a.txt").stat().st_mode & 0o777 == 0o400
    assert (digits / "0").stat().st_mode & 0o777 == 0o555
    (digits / "0").chmod(0o755)


def test_a_new_branch(kamld: Kamld, digits: Path) -> None:
    one = kamld("commit digits -m one --json").json["commit"]
    (digits / "new").write_text("x")
    assert "digits on try" in kamld("switch digits try -c").out
    assert kamld("commit digits -m two --json").json["branch"] == "try"
    assert kamld("switch digits main --json").json["commit"] == one
    assert not (digits / "new").exists()
    assert "name_taken" in kamld("switch digits try -c", status=1).err
    assert "bad_name" in kamld("switch digits a/b -c", status=1).err


def test_restore(kamld: Kamld, digits: Path) -> None:
    before, after = two_versions(kamld, digits)
    (digits / "0/b.txt").write_text("mine")
    (digits / "1/b.txt").unlink()
    (digits / "0/own").write_text("own")
    assert "changed  0/b.txt" in kamld("restore digits 0").out.replace("   ", "  ")
    assert (digits / "0/own").read_text() == "own"
    kamld("restore digits .")
    (digits / "0/own").unlink()
    assert shape(digits) == after
    assert "Nothing differs" in kamld("restore digits .").out
    done = kamld("restore digits . --from main~1 --json").json
    assert shape(digits) == before
    assert len(done["changes"]) == len(kamld("status digits --json").json["changes"])
    assert "unknown_path" in kamld("restore digits nope", status=1).err
    assert "outside" in kamld("restore digits ../x", status=1).err
    assert "usage" in kamld("restore digits", status=2).err


def test_restore_by_a_pattern(kamld: Kamld, digits: Path) -> None:
    (digits / "a[1].txt").write_text("a file of that very name")
    (digits / "a1.txt").write_text("not meant by it")
    kamld("commit digits -m one")
    for name in ("0/a.txt", "1/b.txt", "labels.csv", "a[1].txt", "a1.txt"):
        (digits / name).write_text("mine")
    done = kamld("restore digits '*/*.txt' --json").json
    assert [change["path"] for change in done["changes"]] == ["0/a.txt", "1/b.txt"]
    done = kamld("restore digits 'a[1].txt' --json").json
    assert [change["path"] for change in done["changes"]] == ["a[1].txt"]
    refused = kamld("restore digits '*.gif'", status=1).err
    assert 'Nothing in the versions in question matches "*.gif".' in refused
    assert "no_match" in refused
    assert (digits / "labels.csv").read_text() == "mine"


def test_restore_where_one_is(kamld: Kamld, digits: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kamld("commit digits -m one")
    (digits / "0/a.txt").unlink()
    monkeypatch.chdir(digits / "0")
    kamld("restore a.txt")
    assert (digits / "0/a.txt").read_text() == "0/a\n"
