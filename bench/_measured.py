"""Running a command and watching it: wall time, processor time, peak anonymous memory of its processes.

Anonymous memory is what a program has for itself; files that it maps are the page cache's.
"""

import os
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

_LOOK_S = 0.02
_LOOK_CLOSELY_S = 0.2
_KEPT = 2000  # characters of a failing command's own words


@dataclass(frozen=True, slots=True)
class Measured:
    seconds: float
    cpu_seconds: float
    peak_mb: float  # anonymous, all its processes together

    def as_json(self) -> dict[str, float]:
        return {name: round(value, 4) for name, value in asdict(self).items()}


class Failed(Exception):
    """A command did not end well; says what it said."""


def measured(command: Sequence[str], folder: Path, environment: Mapping[str, str]) -> Measured:
    """Run it to its end, after a `sync` so that nobody pays for what others wrote."""
    os.sync()
    before = os.times()
    start = time.perf_counter()
    with subprocess.Popen(
        command, cwd=folder, env=dict(environment), stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    ) as process:  # fmt: skip
        peak = _Peak(process.pid)
        said, _ = process.communicate()
        seconds = time.perf_counter() - start
        highest = peak.end()
    after = os.times()
    if process.returncode:
        words = said.decode("utf-8", "replace")[-_KEPT:]
        raise Failed(f"{' '.join(command)[:300]} ended with {process.returncode}:\n{words}")
    cpu = after.children_user + after.children_system - before.children_user - before.children_system
    return Measured(seconds, cpu, highest / 1e6)


class _Peak:
    """Looks at a process and those it started, often, until told to end."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._highest = 0
        self._again = 0.0  # seconds
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def end(self) -> int:
        """Bytes."""
        self._done.set()
        self._thread.join()
        return self._highest

    def _shared(self, family: list[int]) -> int:
        """Looked at now and then only: it stops those that are looked at for a moment."""
        if time.monotonic() < self._again:
            return 0
        self._again = time.monotonic() + _LOOK_CLOSELY_S
        return sum(map(_own, family))

    def _watch(self) -> None:
        while True:
            family = _family(self._pid)
            have = sum(map(_anonymous, family))
            if family[1:] and have > self._highest:  # copies of a process share much of theirs
                have = self._shared(family)
            self._highest = max(self._highest, have)
            if self._done.wait(_LOOK_S):
                return


def _family(pid: int) -> list[int]:
    found = [pid]
    for one in found:
        try:
            for task in os.listdir(f"/proc/{one}/task"):
                children = Path(f"/proc/{one}/task/{task}/children").read_text()
                found += map(int, children.split())
        except (FileNotFoundError, ProcessLookupError):
            continue
    return found


def _anonymous(pid: int) -> int:
    return _told(f"/proc/{pid}/status", "RssAnon:")


def _own(pid: int) -> int:
    """What it shares with others counts in parts. To know it takes longer."""
    return _told(f"/proc/{pid}/smaps_rollup", "Pss_Anon:")


def _told(place: str, what: str) -> int:
    try:
        for line in Path(place).read_text().splitlines():
            if line.startswith(what):
                return int(line.split()[1]) * 1024
    except (FileNotFoundError, ProcessLookupError):
        pass
    return 0


def stored_bytes(folder: Path, besides: Path | None = None) -> int:
    """Bytes of the files in a folder, without one folder in it; hard links once."""
    seen: set[int] = set()
    total = 0
    for place, folders, files in os.walk(folder):
        if besides and Path(place) == besides:
            folders.clear()
            continue
        for name in files:
            state = os.lstat(os.path.join(place, name))
            if state.st_ino not in seen:
                seen.add(state.st_ino)
                total += state.st_size
    return total
