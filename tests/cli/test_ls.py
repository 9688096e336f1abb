"""`kamld ls` in pages, and patterns wherever a path is taken."""

import os
import shlex
import subprocess
from pathlib import Path

import pytest

from kamld.cli import verb_ls
from kamld.cli.paths import shell_word
from tests.cli.conftest import Kamld


@pytest.fixture
def garden(here: Path, kamld: Kamld) -> Path:
    folder = here / "garden"
    for name in ("roses/1.png", "roses/2.png", "roses/old/0.png", "tulips/1.png", "list.csv", "tulips/t.csv"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)
    (folder / "empty").mkdir()
    kamld("commit garden -m one")
    return folder


def walked(kamld: Kamld, command: str) -> tuple[list[str], int]:
    """What is listed by following what each page says; and how many pages there were."""
    lines, pages = list[str](), 0
    while command:
        *shown, last = kamld(command).out.splitlines()
        more = last.startswith("… more with: kamld ")
        lines += shown if more else [*shown, last]
        command = last.removeprefix("… more with: kamld ") if more else ""
        pages += 1
    return [line.split("  ")[1] if "  " in line else line for line in lines], pages


def test_folders_are_listed_with_what_is_in_them(garden: Path, kamld: Kamld) -> None:
    assert kamld("ls garden").out.splitlines() == [
        " 0 B  empty/    empty", " 8 B  list.csv", "37 B  roses/    3 files", "24 B  tulips/   2 files",
    ]  # fmt: skip
    listed = {row["path"]: row for row in kamld("ls garden --json --no-recursive").json}
    assert listed["roses"] == {"path": "roses", "kind": "folder", "size": 37, "files": 3}
    assert set(listed) == {"empty", "list.csv", "roses", "tulips"}


@pytest.mark.parametrize(
    ("what", "expected"),
    [
        ("garden", ["empty/", "list.csv", "roses/", "tulips/"]),
        ("garden -r", ["empty/", "list.csv", "roses/1.png", "roses/2.png", "roses/old/0.png", "tulips/1.png",
                       "tulips/t.csv"]),
        ("garden:roses", ["1.png", "2.png", "old/"]),
        ("garden:roses -r", ["1.png", "2.png", "old/0.png"]),
        ("'garden:**/*.csv'", ["list.csv", "tulips/t.csv"]),
        ("'garden:*/?.png'", ["roses/1.png", "roses/2.png", "tulips/1.png"]),
        ("garden:list.csv", ["list.csv"]),
    ],
)  # fmt: skip
def test_pages_lead_to_each_other(garden: Path, kamld: Kamld, what: str, expected: list[str]) -> None:
    assert walked(kamld, f"ls {what} --all") == (expected, 1)
    assert walked(kamld, f"ls {what} --limit 2") == (expected, (len(expected) + 1) // 2)
    rows = kamld(f"ls {what} --json --recursive --limit 2").json
    assert len(rows) == min(2, len(rows))


def test_a_terminal_gets_pages(garden: Path, kamld: Kamld, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verb_ls, "PAGE", 3)
    assert "more with" not in kamld("ls garden").out
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    assert kamld("ls garden").out.splitlines()[-1] == "… more with: kamld ls garden --limit 3 --after roses"
    assert "more with" not in kamld("ls garden --all").out


@pytest.mark.parametrize(
    "name", [b"a b.txt", b"it's.txt", b"line\nbreak", b"odd\xff", b"$HOME", "größe".encode()]
)
def test_odd_names_can_be_gone_on_from(here: Path, kamld: Kamld, name: bytes) -> None:
    folder = here / "odd"
    folder.mkdir()
    for one in (name, b"zz"):
        Path(os.fsdecode(os.fsencode(folder) + b"/" + one)).write_text("x")
    kamld("commit odd -m one")
    assert "zz" not in kamld("ls odd --limit 1").out
    typed = ["bash", "-c", f"printf %s {shell_word(name)}"]
    assert subprocess.run(typed, capture_output=True, check=True).stdout == name
    after = shlex.quote(os.fsdecode(name))
    assert [row["path"] for row in kamld(f"ls odd --limit 1 --json --after {after}").json] == ["zz"]


def test_patterns_are_taken_wherever_a_path_is(garden: Path, here: Path, kamld: Kamld) -> None:
    assert kamld("checkout 'garden:**/1.png' ones --json").json["files"] == 2
    assert sorted(str(p.relative_to(here / "ones")) for p in (here / "ones").rglob("*.png")) == [
        "roses/1.png", "tulips/1.png",
    ]  # fmt: skip
    assert kamld("export 'garden:*/*.csv' tables --json").json["files"] == 1
    assert kamld("cat 'garden:t*/*.csv'").out == "tulips/t.csv"


@pytest.mark.parametrize(
    ("command", "code", "said"),
    [
        ("cat 'garden:*/1.png'", "which_file", "matches 2 files"),
        ("cat 'garden:*/3.png'", "no_match", "There is empty/, list.csv, roses/, …"),
        ("ls garden:rosse", "unknown_path", 'Did you mean "roses"?'),
        ("ls 'garden:roses/*.gif'", "no_match", "roses/ has 1.png"),
        ("checkout 'garden:*.gif' out", "no_match", "default/garden@main"),
        ("ls garden:roses/x --json", "unknown_path", "roses"),
    ],
)
def test_what_is_not_there(
    garden: Path, here: Path, kamld: Kamld, command: str, code: str, said: str
) -> None:
    told = kamld(command, status=1)
    assert code in told.out + told.err
    assert said in told.out + told.err
    assert not (here / "out").exists()


def test_options_of_pages_are_about_files(kamld: Kamld) -> None:
    assert "name a dataset" in kamld("ls --limit 3", status=2).err


def test_the_names_of_one_project(garden: Path, kamld: Kamld) -> None:
    kamld("--project vision commit garden --name orchids -m two", status=1)  # it is bound already
    kamld("checkout garden copy")
    kamld("import copy vision/orchids")
    assert {row["name"] for row in kamld("ls --json").json} == {"garden", "orchids"}
    assert [row["name"] for row in kamld("--project vision ls --json").json] == ["orchids"]
    assert "orchids" in kamld("--project vision ls").out
    assert "garden" not in kamld("--project vision ls").out
    assert "kamld ls shows all projects" in kamld("--project nothing ls").out
    assert "list.csv" in kamld("--project vision ls orchids").out
    assert walked(kamld, "--project vision ls orchids --limit 1")[1] == 4


def test_programs_are_told_what_was_left_elsewhere(kamld: Kamld, digits: Path) -> None:
    kamld("import digits left --reference")
    (digits / "link").symlink_to("labels.csv")
    (digits / "0/own.txt").write_text("of the hub's own")
    kamld("commit digits -m one")
    kamld("import digits left --reference")
    found = {row["path"]: row.get("left_elsewhere") for row in kamld("ls left --json").json}
    assert found["0/own.txt"] is False  # the hub had a copy already
    assert found["link"] is None
    kamld("import --fetch left")
    assert not any(row.get("left_elsewhere") for row in kamld("ls left --json").json)


def test_what_was_left_elsewhere_in_a_page_of_a_folder(kamld: Kamld, digits: Path) -> None:
    kamld("import digits left --reference")
    rows = kamld("ls left --json --no-recursive").json
    assert [(row["path"], row.get("left_elsewhere")) for row in rows] == [
        ("0", None), ("1", None), ("labels.csv", True)
    ]  # fmt: skip
    assert all(row["left_elsewhere"] for row in kamld("ls left:0 --json").json)
