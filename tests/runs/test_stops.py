"""Ctrl-C, once and twice, and what becomes of a run whose process is killed. Real processes."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from kamld.runs.draft import is_running
from kamld.runs.executor import process
from tests.conftest import SmallDisk
from tests.runs.stage import ROOT, Stage, Told, staged

POLITE = """
import os, pathlib, sys, time
pathlib.Path(os.environ["KAMLD_OUTPUT_NET"], "model").write_text("half")
try:
    print("ready", flush=True)
    time.sleep(60)
except KeyboardInterrupt:
    print("saved", flush=True)
    sys.exit(0)
"""
DEAF = "trap '' INT TERM; echo ready; while true; do sleep 0.1; done"


@contextmanager
def running(tmp_path: Path, *command: str) -> Iterator["subprocess.Popen[str]"]:
    """A run in a process of its own, as `kamld run` is, whose command has said it is ready."""
    words = [str(tmp_path / "hub"), str(tmp_path / "work"), "-o", "model:net", "--", *command]
    with subprocess.Popen(
        [sys.executable, "-m", "tests.runs.stage", *words], cwd=ROOT, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
    ) as runner:  # fmt: skip
        try:
            assert runner.stdout
            assert re.fullmatch(r"begun \w+\n", runner.stdout.readline())
            assert runner.stdout.readline() == "ready\n"
            yield runner
        finally:
            runner.kill()


def test_ctrl_c_once_lets_the_command_end_cleanly(tmp_path: Path) -> None:
    with running(tmp_path, sys.executable, "-c", POLITE) as runner:
        runner.send_signal(signal.SIGINT)
        out, err = runner.communicate(timeout=20)
    assert out == "saved\n"
    assert runner.returncode == 128 + signal.SIGINT
    assert "cancelled: Run 1 cancelled. It was stopped on request." in err
    with staged(tmp_path / "hub", tmp_path / "work") as stage:
        run = stage.repository.sealed.run_by_number("default", 1)
        assert (run.state, run.exit_status, run.outputs) == ("cancelled", 0, ())
        assert stage.text(run.stdout) == b"ready\nsaved\n"
        assert stage.repository.names.all() == []
        assert stage.left() == []
        assert stage.live.runs() == []


def test_ctrl_c_twice_ends_it_at_once(tmp_path: Path) -> None:
    with running(tmp_path, "sh", "-c", DEAF) as runner:
        began = time.monotonic()
        runner.send_signal(signal.SIGINT)
        time.sleep(0.3)
        runner.send_signal(signal.SIGINT)
        runner.communicate(timeout=20)
        assert time.monotonic() - began < 5
    assert runner.returncode == 128 + signal.SIGKILL
    with staged(tmp_path / "hub", tmp_path / "work") as stage:
        run = stage.repository.sealed.run_by_number("default", 1)
        assert (run.state, run.exit_status) == ("cancelled", -signal.SIGKILL)


def test_a_request_to_terminate_is_passed_on(tmp_path: Path) -> None:
    with running(tmp_path, "sh", "-c", "trap 'exit 4' TERM; echo ready; sleep 60 & wait") as runner:
        runner.send_signal(signal.SIGTERM)
        runner.communicate(timeout=20)
    assert runner.returncode == 4
    with staged(tmp_path / "hub", tmp_path / "work") as stage:
        assert stage.repository.sealed.run_by_number("default", 1).state == "cancelled"


def test_a_request_that_is_not_heard_becomes_a_stronger_one(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process, "GRACE_S", 0.3)
    heard = signal.getsignal(signal.SIGINT)  # a test run in the background of a shell ignores it
    interrupted = signal.SIGALRM  # a moment that this very process chooses
    before = signal.signal(interrupted, lambda *_: os.kill(os.getpid(), signal.SIGINT))
    signal.setitimer(signal.ITIMER_REAL, 1.0)
    try:
        made = stage.run("sh", "-c", DEAF)
    finally:
        signal.signal(interrupted, before)
    assert (made.run.state, made.run.exit_status) == ("cancelled", -signal.SIGKILL)
    assert signal.getsignal(signal.SIGINT) is heard


@pytest.mark.parametrize("method", ["begun", "wrote"])
def test_an_audience_that_is_gone_ends_the_command(stage: Stage, method: str) -> None:
    def gone(*_: object) -> None:
        raise BrokenPipeError

    told = Told()
    setattr(told, method, gone)
    with pytest.raises(BrokenPipeError):
        stage.run("sh", "-c", "echo ready; exec sleep 60", told=told)
    run = stage.repository.sealed.run_by_number("default", 1)
    assert (run.state, run.exit_status) == ("cancelled", -signal.SIGKILL)
    assert "BrokenPipeError" in run.error
    assert stage.left() == []
    assert stage.live.runs() == []


def test_stopped_before_the_command_begins(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    stage.commit("digits", {"rows.csv": "1\n"})
    lease = stage.executor.trees.lease

    def interrupted(*words: object) -> object:
        os.kill(os.getpid(), signal.SIGINT)
        return lease(*words)  # type: ignore[arg-type]

    monkeypatch.setattr(stage.executor.trees, "lease", interrupted)
    with pytest.raises(Exception, match="before its command began") as caught:
        stage.run("touch", "ran", inputs=["digits"])
    assert caught.value.exit_status == 130  # type: ignore[attr-defined]
    assert not (stage.folder / "ran").exists()
    assert stage.left() == []
    assert stage.live.runs() == []


def test_a_killed_runner_is_closed_at_the_next_start(tmp_path: Path) -> None:
    with running(tmp_path, "sh", "-c", f"echo $$ > pid; {DEAF}") as runner:
        with staged(tmp_path / "hub", tmp_path / "work") as stage:
            [live] = stage.live.runs()
            assert is_running(Path(live.folder))
            assert stage.run("true").run.number == 1  # the other one goes on
            assert stage.left() == [live.id]
        runner.kill()
        runner.wait()
    command = int((tmp_path / "work" / "pid").read_text())
    with staged(tmp_path / "hub", tmp_path / "work") as stage:
        assert not is_running(Path(live.folder))
        assert stage.run("true").run.number == 3
        run = stage.repository.sealed.run_by_number("default", 2)
        assert (run.id, run.state, run.exit_status) == (live.id, "failed", None)
        assert run.error == "kamld, or the machine, stopped before the command had ended."
        assert stage.text(run.stdout) == b"ready\n"
        assert run.code
        assert stage.left() == []
        assert stage.live.runs() == []
    assert not Path(f"/proc/{command}").exists() or "Z" in Path(f"/proc/{command}/stat").read_text()


def test_a_full_disk_at_the_end_loses_nothing(small_disk: SmallDisk, tmp_path: Path) -> None:
    hub, work = small_disk.path / "hub", tmp_path / "work"
    fill = f'cat /dev/zero > "{small_disk.path}/filling" 2>/dev/null; true'
    script = f'head -c 3000000 /dev/urandom > "$KAMLD_OUTPUT_NET/model"; {fill}'
    words = ["-m", "tests.runs.stage", str(hub), str(work), "-o", "model:net", "--"]
    program = ["env", f"--chdir={ROOT}", sys.executable, *words]
    done = small_disk.run(*program, "sh", "-c", script)
    assert done.returncode == 3, done.stderr
    assert "no_space: " in done.stderr
    assert f"{hub}/local/runs/" in done.stderr
    small_disk.run("rm", small_disk.path / "filling")
    done = small_disk.run(*program[:-3], "--", "true")
    assert done.returncode == 0, done.stderr
    with staged(hub, work) as stage:
        run = stage.repository.sealed.run_by_number("default", 1)
        assert (run.state, run.exit_status) == ("succeeded", 0), run.error
        assert len(stage.files("net@v1")["model"]) == 3_000_000
        assert stage.left() == []


def test_what_the_command_leaves_running_is_ended_however_deaf(stage: Stage) -> None:
    began = time.monotonic()
    deaf = '(trap "" TERM; exec >/dev/null 2>&1; touch deaf; exec sleep 77) & echo $! > pid'
    stage.run("sh", "-c", f"{deaf}; while [ ! -e deaf ]; do sleep 0.01; done")
    assert time.monotonic() - began < 20
    state = Path("/proc", (stage.folder / "pid").read_text().strip(), "stat")
    assert not state.exists() or state.read_text().rpartition(")")[2].split()[0] in "ZX"


def test_a_command_that_leaves_nothing_running_is_not_waited_for(stage: Stage) -> None:
    stage.run("true")
    began = time.monotonic()
    stage.run("true")
    assert time.monotonic() - began < 1.5
