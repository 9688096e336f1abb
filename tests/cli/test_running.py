"""Runs before their end, and what programs read of any run."""

import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.conftest import Kamld, process
from tests.cli.test_versions import plain

FIELDS = {"id", "name", "state", "params", "metrics", "inputs", "outputs"}


@pytest.fixture
def running(kamld: Kamld, digits: Path) -> Iterator["subprocess.Popen[str]"]:
    """A run that has begun, after one that has ended."""
    kamld("commit digits -m one")
    kamld("run --name done -- true")
    run = process("run -i digits --name slow -p lr=0.5 -- sh -c 'echo begun; exec sleep 60'")
    assert run.stdout
    while "begun" not in run.stdout.readline():
        pass
    yield run
    if run.poll() is None:
        run.send_signal(signal.SIGTERM)
    run.communicate(timeout=30)


def test_a_running_run_is_listed(kamld: Kamld, running: "subprocess.Popen[str]") -> None:
    first, second = kamld("runs --json").json
    assert set(second) & FIELDS == set(first) & FIELDS == FIELDS
    assert (first["name"], first["state"], first["params"]) == ("slow", "running", {"lr": 0.5})
    assert (first["number"], first["ended"], first["pid"]) == (None, None, running.pid)
    assert first["inputs"][0]["commit"] == kamld("log digits --json").json[0]["commit"]
    assert [run["name"] for run in kamld("runs --json --sort started").json] == ["done", "slow"]
    assert [run["name"] for run in kamld("runs --json --sort -metrics.loss").json] == ["done", "slow"]
    assert [run["name"] for run in kamld("runs --json -n 1").json] == ["slow"]
    assert [run["name"] for run in kamld("runs --json --state running").json] == ["slow"]
    assert [run["name"] for run in kamld("runs --json --state succeeded").json] == ["done"]
    assert [run["name"] for run in kamld("runs --json --name 'SL*'").json] == ["slow"]
    assert kamld("runs --name 'l*'").out == "No such run. kamld runs shows all.\n"
    line = plain(kamld("runs").out).splitlines()[1].split()
    assert line[:2] == ["–", "running"]
    assert "slow" in line
    running.send_signal(signal.SIGINT)
    running.communicate(timeout=30)
    assert [(r["name"], r["state"]) for r in kamld("runs --json").json] == [
        ("slow", "cancelled"), ("done", "succeeded")
    ]  # fmt: skip


def test_a_run_whose_process_is_gone_is_said_to_be_lost(
    kamld: Kamld, running: "subprocess.Popen[str]"
) -> None:
    os.kill(running.pid, signal.SIGKILL)
    running.wait(timeout=30)
    assert [run["state"] for run in kamld("runs --json").json] == ["lost", "succeeded"]
    assert len(kamld("runs --json --state lost").json) == 1
    said = plain(kamld("runs").out)
    assert "lost" in said.splitlines()[1]
    assert "the next kamld run closes it" in said
    kamld("run --name next -- true")
    assert {run["name"]: run["state"] for run in kamld("runs --json").json} == {
        "slow": "failed", "done": "succeeded", "next": "succeeded"
    }  # fmt: skip


def test_json_has_all_fields_and_spells_every_number(kamld: Kamld, here: Path) -> None:
    script = "import kamld; kamld.log_metrics(loss=float('nan'), best=float('-inf'))"
    (here / "train.py").write_text(script)
    told = kamld("run --json -- python train.py").json
    empty = kamld("run --json -- true").json
    assert kamld("runs --json").json == [empty, told]
    assert told["metrics"] == {"loss": "nan", "best": "-inf"}
    assert set(empty) >= FIELDS
    assert (empty["metrics"], empty["inputs"], empty["outputs"], empty["params"]) == ({}, [], [], {})
    assert kamld("why run:1 --json").json["details"]["metrics"] == told["metrics"]
    compared = kamld("runs --compare 1 2 --json").json["different"]
    assert {"nan", "-inf"} <= {row["values"][0] for row in compared if row["section"] == "metrics"}


def test_a_damaged_run_is_left_out_and_said_so(kamld: Kamld, hub: Path) -> None:
    told = [kamld("run --json -- true").json for _ in range(2)]
    path = next(hub.glob(f"runs/**/{told[0]['id']}.json"))
    path.write_bytes(b"{")
    said = kamld("runs --json")
    assert said.json == told[1:]
    assert "Left out: " in said.err
    assert told[0]["id"] in said.err
    assert "(damaged_record)" in kamld(f"why run:{told[0]['id']}", status=3).err


def test_names_that_lead_out_of_the_hub(kamld: Kamld, digits: Path) -> None:
    kamld(f"commit {digits} -m one")
    for words in ("why run:../../x/1", "runs --compare ../../x/1 1"):
        assert "(bad_name)" in kamld(words, status=1).err
