"""Waiting for a lock of the operating system, but not for ever: who holds it may have been stopped.

The lock is `flock` on an open file; it dies with its holder.
"""

import fcntl
import os
from contextlib import suppress
from threading import Event, Lock, Thread


def wait(lock: int, seconds: float) -> bool:
    """Whether the lock on this open file was had in time; if not, the file is closed, now or later.

    Raises OSError where the place has no locks; the file is closed then too.
    """
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return True
    except BlockingIOError:
        pass
    except OSError:
        os.close(lock)
        raise
    if seconds <= 0:
        os.close(lock)
        return False
    waiting = _Waiting(lock)
    try:
        waiting.had.wait(seconds)
    except BaseException:  # interrupted
        if not waiting.give_up():
            os.close(lock)
        raise
    return not waiting.give_up()


class _Waiting:
    """The kernel waits for a lock without an end, so a thread does that."""

    def __init__(self, lock: int) -> None:
        self._lock = lock
        self.had = Event()
        self._given_up = False
        self._mine = Lock()  # among the thread and who started it
        Thread(target=self._wait, daemon=True, name="hub-turn").start()

    def give_up(self) -> bool:
        """Leave the file to the thread, to be closed; False where it has the lock by now."""
        with self._mine:
            self._given_up = not self.had.is_set()
            return self._given_up

    def _wait(self) -> None:
        with suppress(OSError):
            fcntl.flock(self._lock, fcntl.LOCK_EX)
            with self._mine:
                if not self._given_up:
                    self.had.set()
                    return
        os.close(self._lock)
