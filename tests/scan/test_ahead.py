"""What was looked at ahead is what a scan finds, and counts only where the folder has not moved on."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from kamld.scan import ahead
from kamld.scan.listing import Scan, scan
from tests.scan.test_sharing import children


@pytest.fixture(autouse=True)
def any_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ahead, "_LARGE", 0)
    monkeypatch.setattr(ahead, "may_fork", lambda: True)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    top = tmp_path / "photos"
    for number in range(30):
        (top / f"{number:02}" / "deep").mkdir(parents=True)
        (top / f"{number:02}" / "deep" / "file").write_bytes(bytes(number))
    (top / "empty").mkdir()
    (top / "here").write_bytes(b"x")
    (top / ".kamldignore").write_text("07\n")
    (top / ".kamld").mkdir()
    (top / ".kamld/folder.json").write_text("{}")
    (top / ".kamld/stat-index").write_bytes(b"")
    return top


def found(folder: Path) -> tuple[list[bytes], list[list[int]], list[int]]:
    seen: Scan = scan(folder, nested=False)
    return seen.paths, seen.states.tolist(), seen.kinds.tolist()


def test_it_finds_what_a_scan_finds(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = found(folder)
    monkeypatch.chdir(folder / "03")
    ahead.begin("deep")
    (folder / "after").write_text("it was begun")
    os.rename(folder / "after", folder / "here")
    assert children()
    assert found(folder) == wanted
    assert found(folder) != wanted  # once only
    assert len(wanted[0]) == 32


def test_it_began_before_any_state(folder: Path) -> None:
    ahead.begin(str(folder))
    taken = ahead.take(folder)
    assert taken
    (folder / "03/new").write_text("x")
    assert taken[0] < (folder / "03/new").stat().st_mtime_ns


def test_a_folder_that_went_to_another_version(folder: Path) -> None:
    before = children()
    ahead.begin(str(folder))
    (folder / "new").write_text("{}")
    os.replace(folder / "new", folder / ".kamld/folder.json")
    assert ahead.take(folder) is None
    assert children() == before


def test_another_folder(folder: Path, tmp_path: Path) -> None:
    before = children()
    ahead.begin(str(folder))
    assert ahead.take(tmp_path) is None
    ahead.forget()
    assert ahead.take(folder) is None
    assert children() == before


def test_a_folder_that_is_bound_no_more(folder: Path) -> None:
    before = children()
    ahead.begin(str(folder))
    (folder / ".kamld/folder.json").unlink()
    assert ahead.take(folder) is None
    assert children() == before


@pytest.mark.parametrize("left", ["switch", "landing.1.json"])
def test_what_is_to_be_finished_first(folder: Path, left: str) -> None:
    (folder / ".kamld" / left).write_text("")
    ahead.begin(str(folder))
    assert ahead.take(folder) is None


def test_a_small_folder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ahead, "_LARGE", 1)
    ahead.begin(str(folder))
    assert ahead.take(folder) is None


@pytest.mark.parametrize("place", ["", "nowhere", "\0"])
def test_nonsense_is_left_to_others(place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    ahead.begin(place)
    assert ahead.take(tmp_path) is None


def test_status_looks_ahead(tmp_path: Path) -> None:
    """The command itself, in a process of its own."""
    place = tmp_path / "photos"
    for number in range(3):
        (place / str(number)).mkdir(parents=True)
        (place / str(number) / "file").write_bytes(b"x")
    code = (
        "import os, sys; from kamld.scan import ahead; from kamld.cli.main import run\n"
        "os.sched_getaffinity = lambda _: {0, 1}\n"
        "ahead._LARGE = 0; taken, take = [], ahead.take\n"
        "ahead.take = lambda folder: (found := take(folder), taken.append(found))[0]\n"
        "assert run(['commit', 'photos', '-m', 'first']) == 0 and not any(taken)\n"
        "open('photos/1/file', 'w').write('longer')\n"
        "assert run(['status', 'photos', '--json']) == 0 and any(taken)\n"
    )
    said = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True,
        env=os.environ | {"HOME": str(tmp_path)},
    ).stdout  # fmt: skip
    assert '"1/file"' in said
    assert '"0/file"' not in said
