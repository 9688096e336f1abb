"""Finding a hub's serving process, starting it when it is not there, waiting for it to end."""

import atexit
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

from kamld.errors import KamldError, SystemFault
from kamld.serving import state
from kamld.serving.client import Client
from kamld.serving.interface import Reconciled
from kamld.serving.state import LOG, RESTARTING, ServingState

START_MAX_S = 30.0
_POLL_S = 0.02
_ANSWER_S = 1.0  # a connection waits in the supervisor's socket; look again after this
_CRASHES_MAX = 3  # of a server that never answered, before we stop waiting for it
_LOG_MAX = 10_000_000  # bytes; a longer log is put aside at the next start
PASSING = ("server_not_running", "connection_lost", "server_stopping", "bad_token")

_started: list[subprocess.Popen[bytes]] = []  # polled, so that none stays behind as a zombie


def _leave() -> None:
    """They outlive us on purpose, of which Python would warn who asks it to."""
    for process in _started:
        process.returncode = process.poll() or 0


atexit.register(_leave)


def running(folder: Path) -> ServingState | None:
    """The serving process of this folder, or None when there is none."""
    found = state.read(folder)
    if found is None or found.state not in ("running", "restarting"):
        return None
    return found if state.lives(found.pid) and state.is_locked(folder) else None


def client(found: ServingState) -> Client:
    return Client(found.url, found.token)


def ensure_running(folder: Path, command: Sequence[str], *, wait_s: float = START_MAX_S) -> ServingState:
    """The serving process of this folder, started with `command` when there is none.

    `command` runs `supervisor.supervise` for the same folder; it goes on when we end. Returns once
    the server answers. Raises SystemFault: the supervisor's own (port_in_use, …), or
    serving_not_started with the end of the log.
    """
    deadline = time.monotonic() + wait_s
    process: subprocess.Popen[bytes] | None = None
    while time.monotonic() < deadline:
        found = running(folder)
        if found is not None and Client(found.url, timeout_s=_ANSWER_S).live():
            return found
        if found is not None and found.restarts >= _CRASHES_MAX:
            break
        if process is not None and process.poll() is not None:
            _raise_trouble(folder, process)
            process = None  # another one was there before it, and may be ending
        if process is None and found is None and not state.is_locked(folder):
            process = _start(folder, command)
        time.sleep(_POLL_S)
    raise SystemFault(
        "serving_not_started",
        f"The serving process did not start: {_last_words(folder)}",
        f"All it said is in {folder / LOG}.",
    )


def reconciled(folder: Path, command: Sequence[str], *, wait_s: float = START_MAX_S) -> Reconciled:
    """Have the hub's newest deployment events obeyed, starting the serving process if need be.

    A process that is just ending is waited for, then a new one started. Raises as `ensure_running`
    does, and KamldError when the events cannot be read.
    """
    deadline = time.monotonic() + wait_s
    while True:
        found = ensure_running(folder, command, wait_s=wait_s)
        try:
            return client(found).reconcile()
        except KamldError as error:
            if error.code not in PASSING or time.monotonic() > deadline:
                raise
        time.sleep(_POLL_S)


def wait_ended(folder: Path, *, wait_s: float = 60.0) -> bool:
    """Whether the serving process has ended within the time."""
    deadline = time.monotonic() + wait_s
    while state.is_locked(folder):
        if time.monotonic() > deadline:
            return False
        time.sleep(_POLL_S)
    return True


def _start(folder: Path, command: Sequence[str]) -> subprocess.Popen[bytes]:
    _started[:] = [process for process in _started if process.poll() is None]
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        log = folder / LOG
        if log.exists() and log.stat().st_size > _LOG_MAX:
            log.replace(folder / f"{LOG}.1")
        with open(log, "ab") as output:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd="/",
                start_new_session=True,
            )
    except OSError as error:
        raise SystemFault("serving_not_started", f"Cannot start the serving process: {error}.") from None
    _started.append(process)
    return process


def _raise_trouble(folder: Path, process: subprocess.Popen[bytes]) -> None:
    found = state.read(folder)
    if process.returncode == 0:
        return
    if found and found.state == "failed" and found.pid == process.pid and found.trouble:
        trouble = found.trouble
        raise SystemFault(trouble.code, trouble.message, trouble.hint)
    raise SystemFault(
        "serving_not_started",
        f"The serving process ended at once: {_last_words(folder)}",
        f"All it said is in {folder / LOG}.",
    )


def _last_words(folder: Path) -> str:
    try:
        with open(folder / LOG, "rb") as log:
            log.seek(0, 2)
            log.seek(max(0, log.tell() - 4096))
            lines = log.read().decode("utf-8", "replace").split("\n")
    except OSError:
        return "it left no word."
    said = [line.strip() for line in lines if line.strip() and RESTARTING not in line]
    return said[-1][:300] if said else "it left no word."
