"""A run's inputs: shared with other runs, never to be written, given back at the end."""

import subprocess
import sys
from pathlib import Path

from tests.runs.stage import ROOT, Stage, Told, staged


def test_runs_of_several_processes_share_a_tree(stage: Stage) -> None:
    files = {f"{n}.txt": str(n) for n in range(200)}
    stage.commit("digits", files)
    script = "test $(ls $KAMLD_INPUT_DIGITS | wc -l) = 200"
    words = [str(stage.state.parent), str(stage.folder), "-i", "digits", "--", "sh", "-c", script]
    program = [sys.executable, "-m", "tests.runs.stage", *words]
    runs = [subprocess.Popen(program, cwd=ROOT, stdout=subprocess.DEVNULL) for _ in range(3)]
    assert [run.wait(timeout=60) for run in runs] == [0, 0, 0]


def test_an_input_cannot_be_written(stage: Stage) -> None:
    commit = stage.commit("digits", {"1.txt": "one"})
    told = Told()
    made = stage.run(
        "sh", "-c", 'rm -rf "$KAMLD_INPUT_DIGITS"/*; echo x > "$KAMLD_INPUT_DIGITS/1.txt"; true',
        inputs=["digits"], told=told,
    )  # fmt: skip
    assert made.exit_status == 0
    again = stage.run("sh", "-c", 'cat "$KAMLD_INPUT_DIGITS/1.txt"', inputs=[f"digits@{commit}"])
    assert stage.text(again.run.stdout) == b"one"


def test_a_run_gives_its_inputs_back(tmp_path: Path) -> None:
    with staged(tmp_path / "hub", tmp_path / "work", cache_gb=0) as stage:
        stage.commit("one", {"1.txt": "one"})
        stage.commit("two", {"2.txt": "two"})
        stage.run("true", inputs=["one"])
        stage.run("true", inputs=["two"])
        assert len(list((stage.state / "trees").glob("*.lock"))) == 1
