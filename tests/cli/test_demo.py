"""The main job, whole: with real data, real commands and a real serving process."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.conftest import Kamld


@pytest.fixture
def told(here: Path) -> str:
    """What `kamld demo` says."""
    demo = [sys.executable, "-m", "kamld", "demo", "--dir", "demo"]
    done = subprocess.run(demo, capture_output=True, text=True, check=False, timeout=170)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr == ""
    return done.stdout


def test_demo(told: str, here: Path, home: Path, kamld: Kamld, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "1,798 files compared with the delivery: all equal." in told
    assert "0 bytes copied" in told
    assert list(home.rglob("*")) == []  # nothing of the person's was touched
    monkeypatch.chdir(here / "demo")

    first = kamld("log digits --json").json[-1]
    assert first["message"] == "as delivered"
    prediction = re.findall(r"\$ kamld why (\S+)", told)[0]
    why = kamld(f"why {prediction} --json").out
    assert first["commit"] in why  # the very commit of the first delivery
    assert "as delivered" in told[told.index("$ kamld why") :]

    runs = kamld("runs --json").json
    assert [run["params"]["C"] for run in runs] == [10, 0.1]
    assert all(run["metrics"]["accuracy"] > 0.9 for run in runs)
    assert kamld("deployments --json").json == []  # it stopped what it started
    state = json.loads(Path("hub/local/serving/serving.json").read_text())
    assert state["state"] == "stopped"


def test_sides_stay_when_more_is_added(
    told: str, here: Path, kamld: Kamld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(here / "demo")
    sides = ("digits-train", "digits-test")
    before = {side: {f["path"] for f in kamld(f"ls {side} -r --json").json} for side in sides}
    for number in range(40):
        Path(f"digits/5/new{number}.png").write_bytes(os.urandom(100))
    kamld("commit digits -m 'forty more'")
    kamld("split digits --test 0.3 --seed 7")
    after = {side: {f["path"] for f in kamld(f"ls {side} -r --json").json} for side in sides}
    assert all(before[side] <= after[side] for side in sides)
    assert sum(map(len, after.values())) == sum(map(len, before.values())) + 40


def test_a_folder_that_is_in_use_is_left_alone(kamld: Kamld, here: Path) -> None:
    (here / "mine").mkdir()
    (here / "mine/file").write_text("x")
    assert "(demo_folder)" in kamld("demo --dir mine", status=1).err
    assert [p.name for p in (here / "mine").iterdir()] == ["file"]
