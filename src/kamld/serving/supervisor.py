"""The supervisor: a process that holds the listening socket and keeps one server alive on it.

Because the socket is the supervisor's, connections wait while a server is started again, and the
address stays. The server holds the other end of a pipe, its lifeline: when the supervisor is
killed, the pipe ends and so does the server. One supervisor a hub, by the lock in `state`.
"""

import errno
import logging
import os
import secrets
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import FrameType

import msgspec

from kamld import clock
from kamld.errors import KamldError, SystemFault
from kamld.serving import state
from kamld.serving.interface import Trouble
from kamld.serving.state import ServingState

_log = logging.getLogger(__name__)

PORT = 8787
_PORTS_TRIED = 100
_LOCK_WAIT_S = 15  # for the server of a killed supervisor to end
_STEADY_S = 10  # a server that lived this long is started again at once
_BACK_OFF_S = (0.25, 30.0)
_DRAIN_MAX_S = 40  # for requests under way when asked to stop; then the server is killed
ENDED = 0  # exit status of a server that was asked to end, or has nothing left to serve


def supervise(folder: Path, *, host: str, port: int, command: Sequence[str]) -> int:
    """Keep a server running until it ends by itself or this process is told to; its exit status.

    `folder` is the hub's serving folder; `port` 0 takes the port used last, else 8787 or the next
    free one. `command` starts a server; `--listener=FD` and `--lifeline=FD` are added to it. When
    another supervisor runs for this folder, there is nothing to do.
    """
    os.chdir("/")
    lock = _lock(folder)
    if lock is None:
        return 0
    before = state.read(folder)
    try:
        listener = listen(host, port, before.port if before and before.host == host else 0)
    except KamldError as error:
        trouble = Trouble(error.code, error.message, error.hint, error.exit_status)
        state.write(folder, ServingState(pid=os.getpid(), state="failed", trouble=trouble))
        return error.exit_status
    with listener:
        _Supervisor(folder, host, listener, lock, command).run()
    os.close(lock)
    return 0


def _lock(folder: Path) -> int | None:
    deadline = time.monotonic() + _LOCK_WAIT_S
    while (lock := state.try_lock(folder)) is None:
        other = state.read(folder)
        runs = other is not None and other.state == "running" and state.lives(other.pid)
        if runs or time.monotonic() > deadline:
            return None
        time.sleep(0.05)
    return lock


def listen(host: str, port: int, last: int = 0) -> socket.socket:
    """A listening socket. Raises SystemFault (port_in_use, bad_host, no_permission).

    `port` 0: `last` if it is free, else 8787 or the next free one.
    """
    candidates: Iterable[int] = (port,)
    if port == 0:
        candidates = [last] * bool(last) + [*range(PORT, PORT + _PORTS_TRIED), 0]
    for candidate in candidates:
        try:
            return _bound(host, candidate)
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise _cannot_listen(host, candidate, error) from None
    raise SystemFault(
        "port_in_use",
        f"Port {port} on {host} is in use by another program.",
        "Stop that program, or choose another port: KAMLD_PORT=0 takes the next free one.",
    )


def _bound(host: str, port: int) -> socket.socket:
    family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(1024)
    except BaseException:
        listener.close()
        raise
    return listener


def _cannot_listen(host: str, port: int, error: OSError) -> SystemFault:
    if isinstance(error, socket.gaierror) or error.errno == errno.EADDRNOTAVAIL:
        return SystemFault("bad_host", f'"{host}" is not an address of this machine.', "Correct KAMLD_HOST.")
    code = "no_permission" if error.errno == errno.EACCES else "cannot_listen"
    return SystemFault(code, f"Cannot listen on port {port} of {host}: {error.strerror}.")


class _Supervisor:
    def __init__(
        self, folder: Path, host: str, listener: socket.socket, lock: int, command: Sequence[str]
    ) -> None:
        self._folder = folder
        self._listener = listener
        self._lock = lock
        self._command = command
        self._server: subprocess.Popen[bytes] | None = None
        self._stopping = threading.Event()
        port = listener.getsockname()[1]
        self._state = ServingState(
            pid=os.getpid(),
            state="running",
            host=host,
            port=port,
            url=f"http://{_reachable(host)}:{port}",
            token=secrets.token_hex(24),
            started=clock.now(),
            command=tuple(command),
        )

    def run(self) -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._asked_to_stop)
        failures = 0
        while True:
            self._tell(state="running")
            began = time.monotonic()
            status = self._serve()
            if status == ENDED or self._stopping.is_set():
                break
            failures = 0 if time.monotonic() - began > _STEADY_S else failures + 1
            how = _exit_text(status)
            _log.error("The server ended: %s; %s", how, state.RESTARTING)
            self._tell(state="restarting", restarts=self._state.restarts + 1, last_exit=how)
            if failures > 1 and self._stopping.wait(_back_off(failures)):
                break
        self._tell(state="stopped", pid=0, token="")

    def _serve(self) -> int:
        """Run one server to its end."""
        theirs, ours = os.pipe()
        handed = (self._listener.fileno(), theirs, self._lock)
        arguments = [f"--listener={handed[0]}", f"--lifeline={theirs}"]
        try:
            self._server = subprocess.Popen(
                [*self._command, *arguments], pass_fds=handed, stdin=subprocess.DEVNULL
            )
            os.close(theirs)
            if self._stopping.is_set():  # asked between two servers
                self._server.terminate()
            return self._server.wait()
        finally:
            os.close(ours)

    def _asked_to_stop(self, _signal: int, _frame: FrameType | None) -> None:
        self._stopping.set()
        server = self._server
        if server is not None and server.returncode is None:
            server.terminate()
            last_resort = threading.Timer(_DRAIN_MAX_S, server.kill)
            last_resort.daemon = True
            last_resort.start()

    def _tell(self, **changes: object) -> None:
        self._state = msgspec.structs.replace(self._state, **changes)
        try:
            state.write(self._folder, self._state)
        except SystemFault as error:  # a full disk is no reason to stop serving
            _log.error("%s", error)


def _back_off(failures: int) -> float:
    first, most = _BACK_OFF_S
    return min(first * 2.0 ** (failures - 2), most)


def _exit_text(status: int) -> str:
    if status >= 0:
        return f"exit status {status}"
    try:
        return f"killed by {signal.Signals(-status).name}"
    except ValueError:
        return f"killed by signal {-status}"


def _reachable(host: str) -> str:
    """How a program on this machine writes the host that we listen on."""
    if host in ("0.0.0.0", "::", ""):  # noqa: S104 not bound here
        return "127.0.0.1"
    return f"[{host}]" if ":" in host else host
