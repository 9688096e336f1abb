"""What a person sees of runs."""

import re
import signal
import time
from pathlib import Path

import pytest
from syrupy.assertion import SnapshotAssertion

from tests.cli.conftest import Kamld, process
from tests.cli.test_versions import plain

SCRIPT = """
import kamld
print("learning from", len(list(kamld.input("digits").iterdir())), "entries")
for step in (1, 2):
    kamld.log_metrics(loss=1 / step, step=step)
(kamld.output("net") / "weights").write_text(str(kamld.params()["lr"]))
"""


@pytest.fixture
def trained(kamld: Kamld, digits: Path, here: Path) -> str:
    """What the second of two runs said."""
    kamld("commit digits -m one")
    (here / "train.py").write_text(SCRIPT)
    told = ""
    for rate in ("0.1", "0.5"):
        told = kamld(f"run -i digits -o model:net -p lr={rate} -- python train.py").out
    return told


def settled(text: str) -> str:
    """Without what differs from machine to machine: times, versions, what was logged when."""
    text = re.sub(r"\d+\.\d s\b", "<took>", plain(text))
    text = re.sub(r"code <commit>, Python \S+, \d+ packages", "code, Python, packages", text)
    text = re.sub(r"Alike in \d+", "Alike in <many>", text)
    return "\n".join(line for line in text.splitlines() if not line.startswith("  log "))


def test_what_is_seen(kamld: Kamld, trained: str, snapshot: SnapshotAssertion) -> None:
    told = [trained, kamld("runs").out, kamld("runs --compare 1 2").out, kamld("why net").out]
    told += [kamld("why net@v1").out, kamld("log net").out]
    assert settled("\n".join(told)) == snapshot


def test_json(kamld: Kamld, trained: str) -> None:
    newest, oldest = kamld("runs --json").json
    fields = {"id", "name", "state", "params", "metrics", "inputs", "outputs"}
    assert fields <= set(newest)
    assert (newest["params"], newest["metrics"]) == ({"lr": 0.5}, {"loss": 0.5})
    assert newest["inputs"][0]["commit"] == kamld("log digits --json").json[0]["commit"]
    assert newest["outputs"][0]["commit"] == kamld("log net --json").json[0]["commit"]
    assert kamld("log net@v1 --json").json[0]["run"] == oldest["id"]
    assert kamld("runs --sort params.lr -n 1 --json").json[0]["id"] == oldest["id"]
    assert kamld("runs --name 'tr*' --state succeeded --json").json == [newest, oldest]
    compared = kamld("runs --compare 1 2 --json").json
    assert [row["name"] for row in compared["different"] if row["section"] == "params"] == ["lr"]


def test_json_of_a_run_has_only_json_on_stdout(kamld: Kamld, digits: Path) -> None:
    kamld("commit digits -m one")
    said = kamld("run -i digits --json -- sh -c 'echo talk; exit 3'", status=3)
    assert said.json["state"] == "failed"
    assert "talk" in said.err


def test_ctrl_c_keeps_the_record(kamld: Kamld, digits: Path) -> None:
    kamld("commit digits -m one")
    run = process("run -i digits -o dataset:out -- sh -c 'echo begun; exec sleep 60'")
    assert run.stdout
    while "begun" not in run.stdout.readline():
        pass
    run.send_signal(signal.SIGINT)
    start = time.monotonic()
    _, err = run.communicate(timeout=30)
    assert time.monotonic() - start < 20
    assert run.returncode == 130
    assert "(cancelled)" in err
    assert [r["state"] for r in kamld("runs --json").json] == ["cancelled"]
    kamld("log out", status=1)


def test_nothing_yet(kamld: Kamld) -> None:
    assert "No run yet" in kamld("runs").out
    assert "Nothing is deployed" in kamld("deployments").out
    assert "Nothing here yet" in kamld("ls").out


def test_what_a_run_printed(kamld: Kamld, digits: Path) -> None:
    kamld("commit digits -m one")
    kamld("run -i digits -- sh -c 'echo out; echo err >&2; exit 4'", status=4)
    assert kamld("logs 1").out == "out\n"
    assert kamld("logs run:1 --stderr").out == "err\n"
    assert "(unknown_run)" in kamld("logs 2", status=1).err


def test_our_lines_begin_on_lines_of_their_own(kamld: Kamld, digits: Path) -> None:
    kamld("commit digits -m one")
    assert "\nrun 1" in kamld("run -i digits -- printf unended").out


def test_what_most_runs_have_is_shown_first(kamld: Kamld, digits: Path) -> None:
    kamld("commit digits -m one")
    for number in range(6):
        kamld(f"run -p reg={number} -p odd{number}=1 -- true")
    said = kamld("runs").out
    assert "reg" in said.splitlines()[0]
    assert "3 more parameters and 0 more metrics with --json." in said
