"""status, as a person sees it: what was renamed, rows of tables, what the dataset is called today."""

import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from kamld.workspace import scan
from kamld.workspace.stat_index import read_index, write_index
from tests.cli.conftest import Kamld


def lines(kamld: Kamld, words: str = "status digits") -> list[str]:
    return [" ".join(line.split()) for line in kamld(words).out.splitlines()]


def test_what_the_dataset_is_called_today(kamld: Kamld, digits: Path) -> None:
    kamld("commit digits -m one")
    kamld("mv digits numbers")
    assert lines(kamld)[0].startswith("numbers on main,")
    assert kamld("diff digits").out.startswith("numbers: ")
    assert kamld("switch digits main").out.startswith("numbers on main")
    kamld("mv numbers digits")
    assert kamld("switch digits try -c").out.startswith("digits on try")
    kamld("mv digits numbers")
    kamld("switch digits main")
    assert kamld("status digits --json").json["name"] == "numbers"
    (digits / "0/a.txt").write_text("x")
    assert kamld("commit digits -m two --json").json["name"] == "numbers"
    (digits / "0/a.txt").write_text("y")
    kamld("commit digits --name numbers -m three")
    assert "bound_elsewhere" in kamld("commit digits --name digits -m four", status=1).err
    assert kamld("switch digits main~1").out.startswith("numbers on no branch")


def test_renamed_files_are_told_apart(kamld: Kamld, digits: Path) -> None:
    kamld("commit digits -m one")
    (digits / "0/a.txt").rename(digits / "0/z.txt")
    (digits / "1/a.txt").rename(digits / "0/a.txt")
    (digits / "0/b.txt").unlink()
    (digits / "1/other.txt").write_text("0/B\n")  # as long as what is gone
    (digits / "1/b.txt").rename(digits / "1/run.sh")
    (digits / "1/run.sh").chmod(0o755)  # that is more than another name
    said = lines(kamld)
    assert "renamed 0/a.txt → 0/z.txt" not in said  # there is something else at 0/a.txt
    assert "changed 0/a.txt 4 B" in said
    assert "removed 0/b.txt 4 B" in said
    assert "removed 1/b.txt 4 B" in said
    found = kamld("status digits --json").json
    assert found["renamed"] == []
    (digits / "0/a.txt").unlink()
    found = kamld("status digits --json").json
    assert found["renamed"] == [{"from": {"path": "0/a.txt"}, "to": {"path": "0/z.txt"}}]
    assert {c["path"]: c["change"] for c in found["changes"]}["0/z.txt"] == "added"
    said = lines(kamld)
    assert "renamed 0/a.txt → 0/z.txt" in said
    assert not any(line.startswith(("new 0/z", "removed 0/a")) for line in said)


def test_a_renamed_file_is_read_once(kamld: Kamld, digits: Path) -> None:
    """What status has learned is right, and the commit that follows need not read it again."""
    big = digits / "big"
    big.write_bytes(os.urandom(3_000_000))
    kamld("commit digits -m one")
    big.rename(digits / "0/big")
    assert "renamed big → 0/big" in lines(kamld)
    assert kamld("status digits --json").json["renamed"][0]["to"]["path"] == "0/big"
    made = kamld("commit digits -m two --json").json
    assert made["bytes_added"] < 100_000
    kamld("checkout digits again")
    assert (digits.parent / "again/0/big").read_bytes() == (digits / "0/big").read_bytes()


def test_a_whole_folder_under_another_name(kamld: Kamld, digits: Path) -> None:
    for number in range(30):
        (digits / f"0/{number}").write_text("alike" if number % 2 else str(number))
        (digits / f"0/empty{number}").touch()
    kamld("commit digits -m one")
    (digits / "0").rename(digits / "zero")
    said = lines(kamld)
    assert "renamed 0/ → zero/ (33 files)" in said
    renamed = kamld("status digits --json").json["renamed"]
    pairs = {(one["from"]["path"], one["to"]["path"]) for one in renamed}
    names = ["a.txt", "b.txt", "c.txt", *map(str, range(30))]
    assert pairs == {(f"0/{name}", f"zero/{name}") for name in names}  # also of those that are alike


def test_rows_of_small_tables(kamld: Kamld, digits: Path) -> None:
    table = digits / "labels.csv"
    table.write_text("file,label\n" + "".join(f"{n}.txt,{n}\n" for n in range(100)))
    kamld("commit digits -m one")
    table.write_text(table.read_text().replace("7.txt,7\n", "7.txt,8\n"))
    (digits / "0/a.txt").write_text("longer than before")
    said = lines(kamld)
    assert "changed labels.csv 1 row changed (key: file)" in said
    assert "changed 0/a.txt 4 B → 18 B" in said
    table.write_text("file,label\n" + "".join(f"{n}.txt,{n:0>60}\n" for n in range(60_000)))
    (about,) = (line for line in lines(kamld) if line.startswith("changed labels.csv"))
    assert "→ 4." in about
    assert "row" not in about
    table.write_text("not,a\ntable\n")
    assert any(line.startswith("changed labels.csv") for line in lines(kamld))


def test_all_is_read_where_times_lie(kamld: Kamld, digits: Path) -> None:
    kamld("commit digits -m one")
    (digits / "0/a.txt").write_text("1/a\n")
    states, index = scan(digits).states, read_index(digits)
    write_index(digits, replace(index, states=states))  # as if nothing had happened to any file
    assert any(line.startswith("Nothing has changed") for line in lines(kamld))
    assert "changed 0/a.txt 4 B" in lines(kamld, "status digits --full")
    assert "changed 0/a.txt 4 B" in lines(kamld)


# --- what in it is no part of it


@pytest.mark.parametrize("place", ["flowers", "in/deep/flowers"])
def test_a_folder_in_it_that_is_bound_itself(kamld: Kamld, digits: Path, place: str) -> None:
    (digits / place).mkdir(parents=True)
    (digits / place / "rose").write_text("red")
    kamld(f"commit digits/{place} -m one")
    assert f"{place}/ is bound to default/flowers: left out." in kamld("commit digits -m all").out
    assert not any(one["path"].startswith(place[:2]) for one in kamld("ls digits --json").json)
    (digits / place / "rose").write_text("white")
    status = kamld("status digits --json").json
    assert (status["changes"], status["apart"]) == (
        [], [{"path": place, "project": "default", "name": "flowers"}]
    )  # fmt: skip
    assert f"{place}/ is bound to default/flowers: left out." in kamld("status digits").out
    assert "changed rose 3 B → 5 B" in lines(kamld, f"status digits/{place}")

    (digits / "new").write_text("x")
    kamld("commit digits -m new")
    kamld("switch digits main~1")
    kamld("switch digits main")
    assert (digits / place / "rose").read_text() == "white"
    (digits / place / ".kamld/folder.json").write_text("{")
    assert f"{place}/ has a record of its own that is damaged: left out." in kamld("status digits").out
    shutil.rmtree(digits / place / ".kamld")  # the way in
    assert kamld("commit digits -m with --json").json["files"] == 9


def test_a_folder_that_has_only_such_folders(kamld: Kamld, digits: Path, here: Path) -> None:
    (here / "all").mkdir()
    digits.rename(here / "all/digits")
    kamld("commit all/digits -m one")
    said = kamld("commit all -m x", status=1).err
    assert "digits is bound already." in said
    assert f"kamld commit {here / 'all/digits'}" in said


def test_what_is_suggested_can_be_done(kamld: Kamld, digits: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a folder that is only a part of one."""
    kamld("commit digits -m one")
    (digits / "0/new").write_text("x")
    assert 'kamld commit digits -m "…"' in kamld("status digits/0").out
    monkeypatch.chdir(digits / "0")
    assert 'kamld commit .. -m "…"' in kamld("status").out
    kamld("commit .. -m two")


def test_what_no_version_can_hold_is_named(kamld: Kamld, digits: Path) -> None:
    kamld("commit digits -m one")
    os.mkfifo(digits / "0/pipe")
    (digits / "0/a.txt").write_text("changed")
    said = kamld("status digits").out
    assert f"{digits}/0/pipe is a FIFO, which no version can hold." in said
    assert "A commit is refused until that is removed, or named in .kamldignore." in said
    assert "changed 0/a.txt 4 B → 7 B" in lines(kamld)
    assert len(kamld("status digits --json").json["special"]) == 1
    assert "special_file" in kamld("commit digits -m two", status=1).err
    kamld("restore digits 0/a.txt")
    kamld("switch digits main")
    (digits / ".kamldignore").write_text("pipe\n")
    assert kamld("status digits --json").json["special"] == []
    kamld("commit digits -m two")


@pytest.mark.parametrize(
    ("target", "said"), [("file", "file is there already, and is a file."), ("file/x", "file is a file, so")]
)
def test_a_checkout_where_a_file_is(kamld: Kamld, digits: Path, here: Path, target: str, said: str) -> None:
    kamld("commit digits -m one")
    (here / "file").write_text("x")
    err = kamld(f"checkout digits {target}", status=1).err
    assert f"{here}/{said}" in err
    assert "target_exists" in err
    assert (here / "file").read_text() == "x"


def test_links_and_empty_folders_are_no_files(kamld: Kamld, digits: Path) -> None:
    kamld("commit digits -m one")
    (digits / "empty").mkdir()
    (digits / "also").mkdir()
    (digits / "link").symlink_to("0/a.txt")
    for said in (kamld("status digits").out, kamld("diff digits").out):
        rows = [line.split(maxsplit=2)[1:] for line in said.splitlines()[1:4]]
        assert rows == [["also/", "empty folder"], ["empty/", "empty folder"], ["link", "link"]]
    assert "+3 links and empty folders, " in kamld("commit digits -m two").out
    (digits / "also").rmdir()
    (digits / "also").symlink_to("0")
    (digits / "empty").rmdir()
    (digits / "link").unlink()
    (digits / "link").symlink_to("1/a.txt")
    (digits / "0/a.txt").unlink()
    (digits / "0/a.txt").symlink_to("b.txt")
    rows = [line.split(maxsplit=2) for line in kamld("status digits").out.splitlines()[1:5]]
    assert rows == [
        ["changed", "0/a.txt", "now a link"], ["changed", "also", "now a link"],
        ["changed", "link", "link, leads elsewhere now"], ["removed", "empty/", "empty folder"],
    ]  # fmt: skip
    assert "−1 ~3 links and empty folders, " in kamld("commit digits -m three").out
    for n in range(20):
        (digits / f"many/d{n}").mkdir(parents=True)
        (digits / f"many/l{n}").symlink_to("x")
        (digits / f"many/{n}").write_text("x")
    assert "many/  (20 files, 20 links, 20 empty folders)" in kamld("status digits").out
    assert "+60 files, links and empty folders, " in kamld("commit digits -m four").out
