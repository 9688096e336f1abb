"""The local executor's parts: logs that are kept, the interpreter that is asked, attaching later."""

import ast
import sys
from pathlib import Path

import pytest

from kamld import runs
from kamld.runs.executor.environment import Inquiry, interpreter_of
from kamld.runs.executor.kept_log import KeptLog
from tests.runs.stage import Stage, Told


@pytest.mark.parametrize("piece", [1, 7, 10, 64])
def test_a_long_log_keeps_beginning_and_end(tmp_path: Path, piece: int) -> None:
    data = b"".join(b"%09d\n" % n for n in range(1000))
    log = KeptLog(tmp_path / "stdout", head_max=100, tail_max=64)
    for at in range(0, len(data), piece):
        log.write(data[at : at + piece])
    notes = log.close()
    kept = (tmp_path / "stdout").read_bytes()
    head, gap, tail = kept.partition(b"\n[kamld: ")
    end = tail.split(b"here]\n", 1)[1]
    assert head == data[:100]
    assert gap
    assert data.endswith(end)
    assert 64 - piece <= len(end) <= 128
    left_out = int(tail.split()[0].replace(b",", b""))
    assert left_out == len(data) - 100 - len(end)
    assert notes == (f"stdout was too long to keep whole: {left_out:,} bytes left out.",)
    assert [path.name for path in tmp_path.iterdir()] == ["stdout"]


def test_a_short_log_is_kept_as_it_is(tmp_path: Path) -> None:
    log = KeptLog(tmp_path / "stdout", head_max=4, tail_max=4)
    log.write(b"abc")
    log.write(b"def")
    assert log.close() == ()
    assert (tmp_path / "stdout").read_bytes() == b"abcdef"


def test_a_full_disk_ends_the_keeping_only(tmp_path: Path) -> None:
    (tmp_path / "stdout").symlink_to("/dev/full")
    log = KeptLog(tmp_path / "stdout")
    log.write(b"abc")
    log.write(b"abc")
    assert log.close() == ("The disk was full: not all of stdout was kept.",)


def test_which_interpreter(tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    for name in ("python3", "python3.14", "sh"):
        (tmp_path / "bin" / name).symlink_to("/bin/true")
    script = tmp_path / "train"
    path = str(tmp_path / "bin")
    for first_line, found in [
        ("#!/usr/bin/env python3.14", "python3.14"),
        ("#!/usr/bin/env -S python3.14 -u", "python3.14"),
        ("#!/bin/sh", "python3"),
        ("", "python3"),
    ]:
        script.write_text(first_line + "\n")
        script.chmod(0o755)
        assert interpreter_of(["./train"], tmp_path, path) == f"{path}/{found}"
    assert interpreter_of(["python3.14", "x"], tmp_path, path) == f"{path}/python3.14"
    assert interpreter_of(["sh", "x"], tmp_path, path) == f"{path}/python3"
    assert interpreter_of(["sh", "x"], tmp_path, "") is None


def test_the_environment_is_asked_without_running_the_persons_code(tmp_path: Path) -> None:
    (tmp_path / "json.py").write_text("open('harm', 'w')")
    inquiry = Inquiry([sys.executable, "x.py"], tmp_path, {})
    found = inquiry.answer()
    assert found.python == sys.version.split()[0]
    assert found.packages["pytest"]
    assert found.cpus >= 1
    assert not (tmp_path / "harm").exists()


def test_an_interpreter_that_does_not_answer(tmp_path: Path) -> None:
    (tmp_path / "python3").symlink_to("/bin/false")
    assert Inquiry(["python3"], tmp_path, {"PATH": str(tmp_path)}).answer().packages == {}


def test_logs_can_be_read_while_it_runs(stage: Stage) -> None:
    seen: list[bytes] = []

    class Curious(Told):
        def wrote(self, stream: object, data: bytes) -> None:
            job = self.begun_runs[0].plan.job
            seen.append(stage.executor.logs(job, "stdout", offset=2))

    stage.run("echo", "hello", told=Curious())
    assert seen == [b"llo\n"]


def test_only_the_composition_root_knows_which_executor_there_is() -> None:
    """Runs speak to executors through kamld.runs.interface alone."""
    room = Path(runs.__file__).parent
    for path in room.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            named = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            named += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            assert not [name for name in named if name.startswith("kamld.runs.executor")], path
