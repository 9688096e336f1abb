"""Requests to stop a run: Ctrl-C and signals, heard at any moment of it.

While the command runs they go to it; before and after, the work in hand stops at its next step.
"""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from kamld.errors import KamldError
from kamld.runs.interface import Executor, Job, Stop
from kamld.store import Progress


class Stopped(KamldError):
    """Somebody asked to stop while we worked before or after the command."""

    def __init__(self) -> None:
        super().__init__("cancelled", "The run was stopped.")


class Stops:
    """Requests to stop: passed on to the command while it runs, else noticed by `checking`."""

    def __init__(self, executor: Executor, job: Job, told: Callable[[Stop], None]) -> None:
        self._executor = executor
        self._job = job
        self._told = told
        self._asked = 0
        self._noticed = 0  # requests that were heard by the command

    def ask(self, how: Stop) -> None:
        """Twice is at once."""
        self._asked += 1
        how = "kill" if self._asked > 1 else how
        self._told(how)
        self._executor.cancel(self._job, how)

    def begun(self) -> None:
        if self._asked:  # between the last look and the start
            self._executor.cancel(self._job, "kill" if self._asked > 1 else "interrupt")

    def ended(self) -> None:
        self._noticed = self._asked

    def checking(self, progress: Progress) -> Progress:
        def checked(files: int, size: int) -> None:
            if self._asked > self._noticed:
                raise Stopped
            if files or size:
                progress(files, size)

        return checked


@contextmanager
def signals(stops: Stops) -> Iterator[None]:
    """Ctrl-C and requests to terminate go to `stops`, where Python lets us hear them."""
    hows: dict[int, Stop] = {
        signal.SIGINT: "interrupt", signal.SIGTERM: "terminate", signal.SIGHUP: "terminate",
    }  # fmt: skip

    def hear(number: int, _: FrameType | None) -> None:
        stops.ask(hows[number])

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, hear) for number in hows}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
