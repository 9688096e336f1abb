"""A scan that a second process shares finds what one alone does, whatever happens to that process."""

import errno
import fcntl
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import pytest

from kamld import processes
from kamld.scan import sharing
from kamld.scan.listing import scan
from kamld.scan.sharing import Shared


@dataclass(slots=True)
class Made:
    number: int
    paths: list[bytes] = field(default_factory=list)


def made(number: int) -> Made:
    return Made(number, [b"\xff%d" % number])


def children() -> set[str]:
    """Also those that have ended and were not waited for."""
    found: set[str] = set()
    for task in Path("/proc/self/task").glob("*/children"):
        with suppress(FileNotFoundError):  # a thread that has just ended
            found.update(task.read_text().split())
    return found


def test_all_in_order() -> None:
    assert Shared(range(7), made, Made).all() == [made(n) for n in range(7)]


def test_who_does_the_second_half_is_killed() -> None:
    first = os.getpid()

    def work(number: int) -> Made:
        if number == 5 and os.getpid() != first:
            os.kill(os.getpid(), signal.SIGKILL)
        return made(number)

    assert Shared(range(7), work, Made).all() == [made(n) for n in range(7)]


@pytest.mark.parametrize("at", [1, 5])
def test_an_error_is_told_and_nobody_is_left(at: int) -> None:
    def work(number: int) -> Made:
        if number == at:
            raise PermissionError(number)
        return made(number)

    before = children()
    with pytest.raises(PermissionError):
        Shared(range(7), work, Made).all()
    assert children() == before


def test_where_there_is_no_further_process(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused() -> int:
        raise BlockingIOError("no further process")

    before = set(os.listdir("/proc/self/fd"))
    monkeypatch.setattr(os, "fork", refused)
    assert Shared(range(7), made, Made).all() == [made(n) for n in range(7)]
    assert set(os.listdir("/proc/self/fd")) == before


def test_who_does_not_hear_of_its_children_does_it_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("threading.enumerate", lambda: [threading.current_thread()])
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1})
    assert processes.may_fork()
    before = signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    try:
        assert not processes.may_fork()
    finally:
        signal.signal(signal.SIGCHLD, before)


FIRST = """
import fcntl, os, sys, time
from pathlib import Path
from tests.scan.test_sharing import Made
from kamld.scan.sharing import Shared
lock = open(sys.argv[1], "w")
fcntl.flock(lock, fcntl.LOCK_EX)
first = os.getpid()
def work(number):
    if os.getpid() == first:
        print(open(f"/proc/{first}/task/{first}/children").read(), flush=True)
        time.sleep(60)
    time.sleep(1)  # so that the copy does not take all
    return Made(number, [bytes(1 << 20)])
Shared(range(2), work, Made).all()
"""


def test_when_the_first_process_is_killed_the_other_ends_and_holds_no_lock(tmp_path: Path) -> None:
    here = Path(__file__).resolve().parents[2]
    with subprocess.Popen(
        [sys.executable, "-c", FIRST, tmp_path / "lock"], stdout=subprocess.PIPE, text=True, cwd=here
    ) as first:
        assert first.stdout
        child = int(first.stdout.readline())
        first.kill()
    with open(tmp_path / "lock", "w") as lock:
        wait_until(lambda: not is_locked(lock))
    wait_until(lambda: has_ended(child))


def is_locked(file: IO[str]) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    return False


def has_ended(process: int) -> bool:
    try:
        return ") Z " in Path(f"/proc/{process}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return True


def wait_until(done: Callable[[], bool]) -> None:
    until = time.monotonic() + 20
    while not done():
        assert time.monotonic() < until
        time.sleep(0.02)


def test_a_scan_is_shared(tmp_path: Path) -> None:
    for number in range(40):
        place = tmp_path / f"{number:02}" / "ü"
        place.mkdir(parents=True)
        (place / os.fsdecode(b"\xff")).symlink_to("x")
        (place / "file").write_bytes(bytes(number))
    alone = scan(tmp_path)
    code = (
        "import sys; from pathlib import Path; from kamld.scan import listing, sharing\n"
        "sharing._PROBED = 0; Shared, calls = listing.Shared, []\n"
        "listing.Shared = lambda *given: (calls.append(1), Shared(*given))[1]\n"
        "listing.may_fork = lambda: True\n"
        "found = listing.scan(Path(sys.argv[1]))\n"
        "assert calls; print(found.paths, found.states.tolist(), found.kinds.tolist())"
    )
    said = subprocess.run([sys.executable, "-c", code, tmp_path], capture_output=True, text=True, check=True)
    assert said.stdout.strip() == f"{alone.paths} {alone.states.tolist()} {alone.kinds.tolist()}"
    assert len(alone) == 80


def test_where_looking_means_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sharing.Pace, "is_waiting", lambda _: True)
    assert Shared(range(7), made, Made).all() == [made(n) for n in range(7)]


def test_where_no_pipe_is_to_be_had(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused() -> tuple[int, int]:
        raise OSError(errno.EMFILE, "too many open files")

    monkeypatch.setattr(os, "pipe", refused)
    assert Shared(range(7), made, Made).all() == [made(n) for n in range(7)]


def test_more_things_than_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes.Turns, "MOST", 3)
    for count in (0, 1, 3, 4, 7):
        assert Shared(range(count), made, Made).all() == [made(n) for n in range(count)]
