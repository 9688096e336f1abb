"""Many people commit to one branch at the same moment, each with a command of their own."""

import json
import shutil
from pathlib import Path

from tests.cli.conftest import Kamld, process

COMMITTERS = 10
MEDDLERS = 3  # of them change the same file


def test_commits_at_once_from_many_folders(kamld: Kamld, here: Path, digits: Path) -> None:
    kamld("commit digits -m first")
    folders = [here / f"of-{number}" for number in range(COMMITTERS)]
    for number, folder in enumerate(folders):
        kamld(f"checkout digits {folder.name}")
        (folder / f"by-{number}.txt").write_text(f"{number}\n")
        if number < MEDDLERS:
            (folder / "labels.csv").write_text(f"of {number}\n")
    running = [process(f"commit of-{number} -m 'by {number}' --json") for number in range(COMMITTERS)]
    beside = [
        process("checkout digits read"),
        process("gc"),
        process("ls digits"),
        process("cat digits:0/a.txt"),
    ]
    said = [json.loads(one.communicate(timeout=120)[0]) for one in running]
    for one in (*running, *beside):
        one.communicate(timeout=120)
        assert one.returncode == 0

    kamld("checkout digits all-of-it")
    kept = [one for one in said if one["landed"] == "kept"]
    assert len(kept) == MEDDLERS - 1
    for number, one in enumerate(said):
        assert one["changed"]
        if one in kept:
            assert number < MEDDLERS
            assert one["branch"].startswith("main-conflict-")
            folder = here / f"kept-{number}"
            kamld(f"checkout digits@{one['branch']} {folder.name}")
            assert (folder / "labels.csv").read_text() == f"of {number}\n"
        else:
            folder = here / "all-of-it"
        assert (folder / f"by-{number}.txt").read_text() == f"{number}\n"
    commits = {one["commit"] for one in kamld("log digits --json").json}
    assert {one["commit"] for one in said if one not in kept} <= commits
    assert kamld("fsck --json").json["sound"]
    shutil.rmtree(here / "read")


def test_who_was_kept_apart_is_told(kamld: Kamld, here: Path, digits: Path) -> None:
    kamld("commit digits -m first")
    kamld("checkout digits other")
    for folder, content in ((digits, "mine\n"), (here / "other", "theirs\n")):
        (folder / "labels.csv").write_text(content)
    kamld("commit other -m theirs")
    said = kamld("commit digits -m mine").out
    assert "Others had changed labels.csv too. Yours is kept as branch main-conflict-" in said
    assert "nothing is lost" in said
