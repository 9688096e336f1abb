"""A copy of this process for one piece of work, of which it tells what came, and nothing else.

It has no file and no lock of the first one's open but those that it is given, heeds no signal, and ends
where there is nobody to be told any more. Who begins one can do without it: the work may fail there.
"""

import os
import signal
import threading
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import IO, NoReturn, Self

_FIRST = 3  # descriptor that is not the terminal's


def may_fork() -> bool:
    """Where there is a second processor, no thread of ours that a copy would lack, and a way to hear of a
    process's end."""
    return (
        hasattr(os, "fork")
        and threading.active_count() == 1
        and signal.getsignal(signal.SIGCHLD) == signal.SIG_DFL
        and len(os.sched_getaffinity(0)) > 1
    )


@dataclass(frozen=True, slots=True)
class Copy:
    """Use as a context, which waits for its end, and leaves nothing of it after an exception."""

    process: int
    answer: IO[bytes]  # ends with the copy

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.answer.close()
        try:
            if kind:
                os.kill(self.process, signal.SIGKILL)
        finally:
            os.waitpid(self.process, 0)


def begin(work: Callable[[IO[bytes]], None], keep: Sequence[int] = ()) -> Copy | None:
    """`work` writes its answer; `keep`: open files that it needs. None where the machine allows no further
    process."""
    try:
        reading, writing = os.pipe()
    except OSError:
        return None
    before = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # libraries' own threads do not matter to us
            process = os.fork()
            if not process:
                _work_and_end(work, writing, keep)
    except OSError:
        os.close(reading)
        os.close(writing)
        return None
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    os.close(writing)
    return Copy(process, open(reading, "rb", buffering=0))


def _work_and_end(work: Callable[[IO[bytes]], None], writing: int, keep: Sequence[int]) -> NoReturn:
    """Nothing that the first process would do at its end may be done here, and no lock of its be kept."""
    try:
        at = _FIRST
        for kept in sorted({writing, *keep}):
            os.closerange(at, kept)
            at = max(at, kept + 1)
        os.closerange(at, os.sysconf("SC_OPEN_MAX"))
        with open(writing, "wb") as answer:
            work(answer)
    finally:
        os._exit(0)
