"""One command as a group of processes: started, read, stopped.

It has a process group of its own, so that Ctrl-C reaches it through `stop` alone, and no standard
input. It has ended when its first process has: what that leaves running in the group is stopped,
for the outputs are final then.
"""

import errno
import os
import queue
import signal
import subprocess
import threading
import time
from collections.abc import Generator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO

from kamld.errors import RunFailed, SystemFault, filesystem_fault
from kamld.runs.executor.kept_log import KeptLog
from kamld.runs.interface import Ended, Stop, Stream, Wrote

GRACE_S = 10.0  # from a request to stop to the next stronger one
_LEFTOVERS_S = 2.0  # for what still writes after the command has ended; then it is stopped
_LEFTOVERS_LOOK_S = 0.02
_TICK_S = 0.25
_READ = 64 * 1024
_PIECES = 64  # of output on their way; then the command waits for whoever reads
_SIGNALS: dict[Stop, signal.Signals] = {
    "interrupt": signal.SIGINT, "terminate": signal.SIGTERM, "kill": signal.SIGKILL,
}  # fmt: skip
_STRONGER: dict[Stop, Stop] = {"interrupt": "terminate", "terminate": "kill", "kill": "kill"}


class Process:
    def __init__(
        self, command: Sequence[str], folder: Path, variables: Mapping[str, str], logs: Path
    ) -> None:
        """Start it; its output is kept in `logs`. Raises RunFailed (command_not_found, …)."""
        self._queue: queue.Queue[Wrote | None] = queue.Queue(_PIECES)  # None: a stream has ended
        self._exited = threading.Event()
        self._left = False  # nobody reads the queue any more
        self._asked: Stop | None = None
        self._deadline = 0.0
        self.notes: list[str] = []
        kept = _logs(logs)
        try:
            self._process = _started(command, folder, variables)
        except BaseException:
            for log in kept.values():
                log.close()
            raise
        self.pid = self._process.pid
        for name, log in kept.items():
            stream = self._process.stdout if name == "stdout" else self._process.stderr
            threading.Thread(target=self._pump, args=(stream, name, log), daemon=True).start()
        threading.Thread(target=self._wait, daemon=True).start()

    def events(self) -> Generator[Wrote | None]:
        """Its output as it comes, None at least every quarter of a second, until it has ended."""
        open_streams, patience, stop = 2, 0.0, signal.SIGTERM
        try:
            while open_streams:
                try:
                    event = self._queue.get(timeout=_TICK_S)
                    open_streams -= event is None
                    yield event
                except queue.Empty:
                    yield None
                self._escalate()
                if self._exited.is_set() and open_streams:
                    patience = patience or time.monotonic() + _LEFTOVERS_S
                    if time.monotonic() > patience:
                        self._signal(stop)
                        stop, patience = signal.SIGKILL, time.monotonic() + _LEFTOVERS_S
            while not self._exited.wait(_TICK_S):  # it closed its streams and goes on
                self._escalate()
                yield None
        finally:
            self._left = True
            self._finish()

    def end(self) -> Ended:
        """Only after `events`."""
        return Ended(self._process.returncode, self._asked is not None)

    def stop(self, how: Stop) -> None:
        if not self._exited.is_set():
            self._asked = how
        self._deadline = time.monotonic() + GRACE_S
        self._signal(_SIGNALS[how])

    def _escalate(self) -> None:
        if self._asked and time.monotonic() > self._deadline:
            self.stop(_STRONGER[self._asked])

    def _signal(self, number: signal.Signals) -> None:
        if self._process.returncode is None:  # else the group's id may be somebody else's now
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, number)

    def _finish(self) -> None:
        """Take leave of it: nothing of the group goes on, and its status is known."""
        if not self._exited.is_set():
            self._signal(signal.SIGKILL)
            self._exited.wait()
        for number in (signal.SIGTERM, signal.SIGKILL):
            until = time.monotonic() + _LEFTOVERS_S
            if _goes_on(self.pid):
                self._signal(number)
            while _goes_on(self.pid) and time.monotonic() < until:
                time.sleep(_LEFTOVERS_LOOK_S)
        self._process.wait()  # only now, for the group's id may be somebody else's from here on

    def _wait(self) -> None:
        """See the end without taking the process away, so that its group keeps its id."""
        with suppress(ChildProcessError):
            os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOWAIT)
        self._exited.set()

    def _pump(self, stream: IO[bytes], name: Stream, kept: KeptLog) -> None:
        with stream:
            while data := os.read(stream.fileno(), _READ):
                kept.write(data)
                self._offer(Wrote(name, data))
        self.notes += kept.close()
        self._offer(None)

    def _offer(self, event: Wrote | None) -> None:
        while not self._left:
            with suppress(queue.Full):
                self._queue.put(event, timeout=_TICK_S)
                return


def _logs(folder: Path) -> dict[Stream, KeptLog]:
    try:
        return {"stdout": KeptLog(folder / "stdout"), "stderr": KeptLog(folder / "stderr")}
    except OSError as error:
        raise filesystem_fault(error, str(folder)) from None


def _started(command: Sequence[str], folder: Path, variables: Mapping[str, str]) -> subprocess.Popen[bytes]:
    try:
        return subprocess.Popen(
            command, cwd=folder, env=dict(variables), bufsize=0, process_group=0,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
    except OSError as error:
        if not folder.is_dir():
            raise SystemFault("no_folder", f"There is no folder {folder} to run in.") from None
        raise _refused(command[0], folder, error) from None


def _refused(program: str, folder: Path, error: OSError) -> RunFailed:
    missing = error.errno in (errno.ENOENT, errno.ENOTDIR)
    if missing and not ("/" in program and os.path.exists(os.path.join(folder, program))):
        return RunFailed(
            "command_not_found",
            f'There is no program "{program}".',
            "Check how it is written, and that it is installed.",
            status=127,
        )
    why = "the interpreter in its first line is missing" if missing else error.strerror
    return RunFailed(
        "command_not_executable",
        f'"{program}" cannot be started: {why}.',
        f"Make it executable (chmod +x {program}), or name its interpreter before it.",
        status=126,
    )


def _goes_on(group: int) -> bool:
    """Whether anything of the group is alive besides its first process, which has ended."""
    for place in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = place.read_text("utf-8", "replace").rpartition(")")[2].split()
        except OSError:
            continue  # it has ended meanwhile
        if fields[2] == str(group) and fields[0] not in "ZX":
            return True
    return not Path("/proc/self/stat").exists()  # nobody can say: as if it did
