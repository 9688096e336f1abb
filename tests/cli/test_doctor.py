"""`kamld doctor`: what is well, what is to be done, and the step to a newer format."""

import os
import shutil
from pathlib import Path

import pytest

from kamld.app import doctor
from kamld.records.holes import Hole
from kamld.store.envelope import seal
from tests.cli.conftest import Kamld

GOLDEN = Path(__file__).parents[1] / "compat/hub-v1"


def states(said: object) -> dict[str, str]:
    assert isinstance(said, dict)
    return {check["name"]: check["state"] for check in said["checks"]}


def test_all_is_well(kamld: Kamld, digits: Path) -> None:
    assert states(kamld("doctor --json").json)["hub"] == "note"  # there is none yet
    kamld("commit digits -m one")
    said = kamld("doctor")
    assert said.out.splitlines()[-1] == "All is well."
    found = kamld("doctor --json").json
    assert found["ok"]
    assert set(states(found).values()) == {"ok"}
    assert len(found["checks"]) >= 14


def test_an_old_hub_is_upgraded(kamld: Kamld, hub: Path) -> None:
    shutil.copytree(GOLDEN, hub)
    said = kamld("doctor", status=3).out
    assert "kamld doctor --upgrade" in said
    assert said.splitlines()[-1] == "1 thing to do."
    log = kamld("log garden/flowers --json").json
    kamld("gc --dry-run")
    assert "kamld doctor --upgrade" in kamld("gc", status=1).err
    assert kamld("doctor --upgrade").out.splitlines()[0] == "The hub has format 2 now; it had 1."
    assert kamld("doctor --upgrade").out.splitlines()[0] == "The hub has format 2, which is the newest."
    assert kamld("log garden/flowers --json").json == log
    assert kamld("fsck").out.splitlines()[-1] == "Everything is sound."


def test_a_newer_hub_is_refused_with_the_way_out(kamld: Kamld, digits: Path, hub: Path) -> None:
    kamld("commit digits -m one")
    (hub / "kamld-hub.json").write_bytes(b'{"format":3}')
    assert "Install a newer kamld" in kamld("log digits", status=3).err
    found = kamld("doctor --json", status=3).json
    assert [check["todo"] for check in found["checks"] if check["state"] == "todo"] == [
        "Install a newer kamld."
    ]


@pytest.mark.parametrize(
    ("name", "state"),
    [("purges", "todo"), ("room", "todo"), ("disk", "todo"), ("leftovers", "note"), ("collection", "todo")],
)
def test_what_is_wrong_is_said(
    kamld: Kamld, digits: Path, hub: Path, monkeypatch: pytest.MonkeyPatch, name: str, state: str
) -> None:
    kamld("commit digits -m one")
    if name == "room":
        monkeypatch.setattr(doctor, "_LOW", 10**18)
    elif name == "disk":
        monkeypatch.setattr(doctor, "_SKEW", -1)
    elif name == "purges":
        (hub / "holes").mkdir()
        record = Hole(id="ab" * 32, size=1, time="2026-03-02T10:00:00.000000Z", author="a", reason="r")
        (hub / f"holes/{record.id}.json").write_bytes(seal(record))
    elif name == "leftovers":
        (hub / "damaged").mkdir()
        (hub / "damaged/x").write_bytes(b"1")
    else:
        (hub / "gc").mkdir()
        (hub / "gc/condemned.json").write_bytes(b"{}")
    found = kamld("doctor --json", status=3 if state == "todo" else 0).json
    assert states(found)[name] == state
    assert sum(one != "ok" for one in states(found).values()) == 1
    assert all(check["todo"] for check in found["checks"] if check["state"] != "ok")


def test_bad_settings(kamld: Kamld, here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KAMLD_THREADS", "many")
    assert states(kamld("doctor --json", status=3).json)["settings"] == "todo"


def test_leases_of_who_is_gone_are_removed(kamld: Kamld, digits: Path, hub: Path) -> None:
    kamld("commit digits -m one")
    before = sorted(os.listdir(hub / "leases")) if (hub / "leases").exists() else []
    (hub / "leases").mkdir(exist_ok=True)
    (hub / "leases" / ("ab" * 16 + ".json")).write_bytes(b"\0" * 30)
    said = next(line for line in kamld("doctor").out.splitlines() if "at work" in line)
    assert said.endswith("nobody; 1 lease of processes that are gone removed")
    assert sorted(os.listdir(hub / "leases")) == before


def test_merges_that_wait_are_named_with_their_commands(kamld: Kamld, here: Path) -> None:
    """Not those of a removed dataset, nor one whose side came in another way."""
    for name, into in (("one", "main"), ("two", "side"), ("gone", "main"), ("done", "main")):
        (here / name).mkdir()
        (here / name / "f").write_text("base\n")
        kamld(f"commit {name} -m base")
        kamld(f"branch {name} side")
        kamld(f"checkout {name}@side {name}-side")
        for folder in (name, f"{name}-side"):
            (here / folder / "f").write_text(folder)
            kamld(f"commit {folder} -m {folder}")
        if name == "done":
            kamld("merge done side --ours")
            kamld("undo done")
        kamld(f"merge {name} {'side' if into == 'main' else 'main'} --into {into}", status=1)
    kamld("undo done")  # of the undo: the merge stands again
    kamld("rm gone")
    (said,) = [one for one in kamld("doctor --json").json["checks"] if one["name"] == "merges"]
    assert said["what"] == "2 merges waiting: side into main of one, main into side of two"
    assert said["todo"] == "kamld merge one; kamld merge two --into side"
    for command in said["todo"].split("; "):
        assert "1 conflict; nothing has changed" in kamld(command.removeprefix("kamld "), status=1).out
