"""The server process: wires endpoints, prediction log and paths, and runs until told to end.

It is started by the supervisor, whose listening socket and lifeline it inherits. It comes back
with the same endpoints because they follow from the hub's events alone.
"""

import asyncio
import logging
import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import uvicorn
import uvloop

from kamld.errors import SystemFault
from kamld.records.deployment import ServedVersion
from kamld.serving import state
from kamld.serving.endpoints import Endpoints
from kamld.serving.http import routes
from kamld.serving.http.infer import Inference
from kamld.serving.interface import Events, ModelFolder, Reconciled, ServerStatus
from kamld.serving.models.onnx import OnnxModel
from kamld.serving.predictions import PredictionLog
from kamld.serving.supervisor import ENDED

_log = logging.getLogger(__name__)

_TERMINATED = 128 + signal.SIGTERM
_DRAIN_S = 30  # requests under way get this long when the server ends
_ORPHAN_S = 5  # … and this long when the supervisor was killed
_IDLE_AT_START_S = 60  # a server that finds nothing to serve waits for a first deployment
_RETRY_S = 5  # when the hub's events could not be read at the start
_KEEP_ALIVE_S = 75


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """From the settings; `threads` 0: one a core."""

    request_mb: int
    log_outputs: bool
    threads: int = 0


def run(
    *,
    folder: Path,
    predictions: Path,
    listener: int,
    lifeline: int,
    events: Events,
    model_folder: ModelFolder,
    options: Options,
    version: str,
) -> int:
    """Serve until told to end; the process's exit status, which the supervisor understands.

    `folder` is the hub's serving folder, `predictions` that of the prediction log; `listener` and
    `lifeline` are the descriptors that the supervisor added to the command; `version` is KAML-D's.
    """
    logging.basicConfig(format="%(asctime)s %(levelname)s %(message)s", level=logging.INFO)
    found = state.read(folder)
    if found is None:
        raise SystemFault("no_supervisor", f"There is no serving process for {folder}.")

    def load(served: ServedVersion) -> OnnxModel:
        what = f"{served.project}/{served.name} {served.version}"
        with model_folder(served) as files:
            return OnnxModel(files, what, threads=options.threads)

    log = PredictionLog(predictions)
    server = _Server(Endpoints(events, load), log, lifeline)
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            return runner.run(server.serve(listener, found.token, options, version))
    finally:
        log.close()


class _Server:
    def __init__(self, endpoints: Endpoints, log: PredictionLog, lifeline: int) -> None:
        self._endpoints = endpoints
        self._log = log
        self._lifeline = lifeline
        self._status: int | None = None  # set: we are ending
        self._uvicorn: uvicorn.Server
        self._loop: asyncio.AbstractEventLoop

    async def serve(self, listener: int, token: str, options: Options, version: str) -> int:
        self._loop = asyncio.get_running_loop()
        workers = options.threads or os.cpu_count() or 1
        inference = Inference(
            self._endpoints,
            self._log,
            request_bytes=options.request_mb * 1_000_000,
            log_outputs=options.log_outputs,
            workers=workers,
        )
        control = routes.Control(token, self._reconcile, self._report, self._end_when_asked)
        app = routes.build(self._endpoints, inference, control, version)
        self._uvicorn = _Uvicorn(
            uvicorn.Config(
                app,
                http="httptools",
                ws="none",
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
                proxy_headers=False,
                timeout_keep_alive=_KEEP_ALIVE_S,
                timeout_graceful_shutdown=_DRAIN_S,
                log_level=logging.WARNING,
            )
        )
        for number in (signal.SIGTERM, signal.SIGINT):
            self._loop.add_signal_handler(number, self._end, _TERMINATED)
        threading.Thread(target=self._watch_lifeline, name="lifeline", daemon=True).start()
        threading.Thread(target=self._settle, name="settle", daemon=True).start()
        await self._uvicorn.serve([socket.socket(fileno=listener)])
        inference.close()
        return ENDED if self._status is None else self._status

    def _settle(self) -> None:
        """Load what the hub's events ask for, again and again until they can be read."""
        while self._status is None:
            try:
                states = self._endpoints.reconcile()
            except Exception as error:  # noqa: BLE001 it is tried again
                _log.error("The hub's deployments cannot be read: %s", error)
                time.sleep(_RETRY_S)
                continue
            for trouble in (s.trouble for s in states if s.trouble):
                _log.error("%s", trouble.message)
            if not states:
                self._loop.call_soon_threadsafe(self._loop.call_later, _IDLE_AT_START_S, self._end_if_idle)
            return

    def _end_if_idle(self) -> None:
        if not self._endpoints.states():
            self._end(ENDED)

    def _reconcile(self) -> Reconciled:
        if self._status is not None:
            raise SystemFault("server_stopping", "The server is ending.", "Try again.")
        states = self._endpoints.reconcile()
        if not states:
            self._loop.call_soon_threadsafe(self._end, ENDED)
        return Reconciled(tuple(states), stopping=not states)

    def _report(self) -> ServerStatus:
        return ServerStatus(
            pid=os.getpid(),
            ready=self._endpoints.ready,
            endpoints=tuple(self._endpoints.states()),
            log_lost=self._log.lost,
        )

    def _end_when_asked(self) -> None:
        self._end(ENDED)

    def _end(self, status: int) -> None:
        """Stop accepting, answer what is under way, then return from `serve`."""
        if self._status is None:
            self._status = status
        self._uvicorn.should_exit = True

    def _watch_lifeline(self) -> None:
        while os.read(self._lifeline, 1):
            pass
        _log.error("The supervisor is gone; the server ends")
        self._loop.call_soon_threadsafe(self._end, ENDED)
        time.sleep(_ORPHAN_S)
        os._exit(1)


class _Uvicorn(uvicorn.Server):
    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Signals are ours: uvicorn would raise them again before the log is drained."""
        yield
