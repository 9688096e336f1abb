"""`kamld gc` as a person types it."""

import re
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from kamld import clock
from kamld.blobs import FolderBlobs
from kamld.records.deployment import DeploymentEvent
from kamld.store import open_hub
from kamld.store.gc import collect
from kamld.store.sealed import Sealed
from tests.cli.conftest import Kamld

CONTENT = bytes(range(256)) * 50
KILLED = """
import os, signal, sys
from datetime import UTC, datetime, timedelta
from kamld import clock
from kamld.blobs import FolderBlobs
from kamld.cli.main import run
left = int(sys.argv[1])
later = timedelta(days=int(sys.argv[2]), minutes=1)
clock.now = lambda: clock.text(datetime.now(UTC) + later)
def dying(write):
    def step(*given):
        global left
        left -= 1
        if not left:
            os.kill(os.getpid(), signal.SIGKILL)
        return write(*given)
    return step
for name in ("put", "swap", "post", "delete"):
    setattr(FolderBlobs, name, dying(getattr(FolderBlobs, name)))
sys.exit(run(["gc"]))
"""


def hub() -> Path:
    return Path.home() / ".local/share/kamld/hub"


def test_from_a_removed_branch_to_its_room(
    kamld: Kamld, digits: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kamld("commit digits -m first")
    kamld("branch digits trial")
    kamld("checkout digits@trial tried")
    Path("tried/new").write_bytes(bytes(range(256)) * 50)
    trial = kamld("commit tried -m trial").out.split()[0]
    assert kamld(f"gc --why digits@{trial} --json").json["kept_by"] == ["branch default/digits@trial"]
    kamld("branch digits trial --remove")
    assert kamld("gc --dry-run").out == "There is nothing to give back.\n"
    monkeypatch.setenv("KAMLD_KEEP_DAYS", "0")
    assert kamld("gc --dry-run --json").json["packs"] == 1
    assert "Marked for deletion" in kamld("gc").out
    assert kamld("gc --json").json["deleted_packs"] == 0  # not on the same day
    days_later(monkeypatch, 1)
    assert re.fullmatch(r"Given back: .* in 1 pack\.\n", kamld("gc").out)
    kamld("fsck")
    assert kamld(f"show digits@{trial}", status=1).err
    assert kamld("checkout digits@main again").status == 0


def test_a_branch_that_comes_back_between_the_two_steps_keeps_all(
    kamld: Kamld, digits: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _trial_removed(kamld)
    monkeypatch.setenv("KAMLD_KEEP_DAYS", "0")
    kamld("gc")
    kamld("undo digits@trial")
    days_later(monkeypatch, 1)
    kamld("gc")
    kamld("fsck")
    kamld("checkout digits@trial back")
    assert Path("back/new").read_bytes() == CONTENT


def test_killed_at_any_write_it_goes_on(kamld: Kamld, digits: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By a real kill, at the first, the second, … change of the hub, until there is none to be killed at."""
    _trial_removed(kamld)
    monkeypatch.setenv("KAMLD_KEEP_DAYS", "0")
    for step in range(2):  # days later
        kills = 0
        while subprocess.run(
            [sys.executable, "-c", KILLED, str(kills + 1), str(step)], check=False
        ).returncode:
            kills += 1
            assert kills < 100
        assert kills > 2
    assert kamld("gc --dry-run --json").json["packs"] == 0
    kamld("fsck")
    kamld("checkout digits@main again")


def test_what_keeps_a_file_or_a_pack(kamld: Kamld, digits: Path) -> None:
    commit = kamld("commit digits -m first --json").json["commit"]
    name = kamld("ls digits --json").json[0]["path"]
    assert commit[:12] in kamld(f"gc --why 'digits:{name}'").out
    (pack,) = hub().glob("packs/*/*.pack")
    said = kamld(f"gc --json --why {pack.relative_to(hub())}").json
    assert said["needed_by"] == [{"commit": commit, "kept_by": "branch default/digits@main"}]
    kamld("tag digits v1")
    said = kamld(f"gc --why 'digits:{name}'").out
    assert "branch default/digits@main, tag default/digits@v1" in said  # all that names the version
    kamld(f"purge 'digits:{name}' --reason private --yes")
    said = kamld(f"gc --why 'digits:{name}'").out
    assert "is needed by" not in said
    assert f"default/digits:{name} was purged by ann on " in said
    assert kamld(f"gc --why 'digits:{name}' --json").json["purged"] == [name]
    assert kamld("gc --why digits:0 --json").json["needed_by"] != []
    assert "No pack" in kamld(f"gc --why packs/00/{'0' * 64}", status=1).err


def _trial_removed(kamld: Kamld) -> None:
    kamld("commit digits -m first")
    kamld("branch digits trial")
    kamld("checkout digits@trial tried")
    Path("tried/new").write_bytes(CONTENT)
    kamld("commit tried -m trial")
    kamld("branch digits trial --remove")


def days_later(monkeypatch: pytest.MonkeyPatch, days: int) -> None:
    monkeypatch.setattr(clock, "now", lambda: clock.text(datetime.now(UTC) + timedelta(days=days, minutes=1)))


def test_a_wrong_age(kamld: Kamld) -> None:
    assert "no age" in kamld("gc --older-than soon", status=2).err
    assert "too short" in kamld("gc --older-than 59m", status=2).err


def test_a_version_that_is_deployed_while_it_is_given_back(
    kamld: Kamld, model: str, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No name leads to it, but its id was still known."""
    (here / "double/note").write_bytes(CONTENT)
    kamld("commit double -b side -m side")
    version = kamld("log double@side --json").json[0]["commit"]
    kamld("branch double@side --remove")
    add_event = Sealed.add_event

    def collected() -> None:
        for _ in range(2):
            collect(open_hub(FolderBlobs(hub())), 0, timedelta(0))

    def beside(sealed: Sealed, event: DeploymentEvent) -> DeploymentEvent:
        collected()
        return add_event(sealed, event)

    monkeypatch.setattr(Sealed, "add_event", beside)
    kamld(f"deploy double@{version}")
    collected()
    assert kamld("fsck").out.splitlines()[-1] == "Everything is sound."
    kamld(f"checkout double@{version} out")
    assert (here / "out/note").read_bytes() == CONTENT
