"""A copy of this process for one piece of work, of which it tells what came, and nothing else.

It has no file and no lock of the first one's open but those that it is given, heeds no signal, and ends
where there is nobody to be told any more. Who begins one can do without it: the work may fail there.
"""

import fcntl
import io
import os
import signal
import struct
import threading
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from types import TracebackType
from typing import IO, NoReturn, Self
from weakref import WeakSet

_FIRST = 3  # descriptor that is not the terminal's
_ROOM = 1 << 20  # bytes that a copy may be ahead of who listens: as much as anybody is given
_LENGTH = struct.Struct("<Q")
_idle: WeakSet[threading.Thread] = WeakSet()


def no_harm(thread: threading.Thread) -> None:
    """A copy may do without this thread: it holds no lock that anything else needs when a process forks."""
    _idle.add(thread)


def may_fork() -> bool:
    """Where there is a second processor, no thread of ours that a copy would lack, and a way to hear of a
    process's end."""
    return (
        hasattr(os, "sched_getaffinity")
        and all(one is threading.current_thread() or one in _idle for one in threading.enumerate())
        and signal.getsignal(signal.SIGCHLD) == signal.SIG_DFL
        and len(os.sched_getaffinity(0)) > 1
    )


class _Parts:
    """Something said, as far as it has come."""

    def __init__(self) -> None:
        self._begin(bytearray(_LENGTH.size), is_length=True)

    def _begin(self, room: bytearray, *, is_length: bool) -> None:
        self._room, self._filled, self._is_length = memoryview(room), 0, is_length

    def read(self, answer: IO[bytes]) -> bool:
        """False where nothing more has come."""
        count = answer.readinto(self._room[self._filled :])  # type: ignore[attr-defined]
        self._filled += count or 0
        return bool(count)

    def take(self) -> memoryview | None:
        """What is said, where that is whole now."""
        if self._filled < len(self._room):
            return None
        whole, was_length = self._room, self._is_length
        self._begin(
            bytearray(_LENGTH.unpack(whole)[0] if was_length else _LENGTH.size), is_length=not was_length
        )
        return None if was_length else whole


@dataclass(frozen=True, slots=True)
class Copy:
    """Use as a context, which waits for its end, and leaves nothing of it after an exception."""

    process: int
    answer: IO[bytes]  # ends with the copy
    _parts: "_Parts" = field(default_factory=_Parts, repr=False)

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

    def stop(self) -> None:
        """Nobody wants to hear any more."""
        self.__exit__(InterruptedError, None, None)

    def told(self, *, wait: bool) -> Iterator[memoryview]:
        """What it said by `tell`, each once: what there is at the moment, or all until it ends."""
        os.set_blocking(self.answer.fileno(), wait)
        while self._parts.read(self.answer):
            if whole := self._parts.take():
                yield whole


def tell(answer: IO[bytes], *parts: bytes | memoryview) -> None:
    """Say something of any length, which comes whole or not at all; not together with plain writing."""
    answer.write(_LENGTH.pack(sum(map(len, parts))))
    answer.writelines(parts)
    answer.flush()


class Turns:
    """Numbers from 0 up to a count, each taken once, by this process or its copy. Use as a context.

    What a pipe has is read by one process only; so nobody who dies keeps another one waiting."""

    MOST = 2048  # that the smallest pipe holds
    _NUMBER = struct.Struct("<H")

    def __init__(self, count: int) -> None:
        self._count = count
        self._at_once = -(-count // self.MOST) or 1  # numbers taken together
        turns = b"".join(map(self._NUMBER.pack, range(-(-count // self._at_once))))
        self._pipe = _filled(turns)
        self._alone = io.BytesIO(turns)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._pipe is not None:
            os.close(self._pipe)

    def __iter__(self) -> Iterator[int]:
        while taken := self._taken(self._NUMBER.size):
            start = self._NUMBER.unpack(taken)[0] * self._at_once
            yield from range(start, min(start + self._at_once, self._count))

    def _taken(self, size: int) -> bytes:
        return self._alone.read(size) if self._pipe is None else os.read(self._pipe, size)

    def begin(self, work: Callable[[IO[bytes]], None]) -> "Copy | None":
        """As `begin`, for work that takes turns with this process."""
        return None if self._pipe is None else begin(work, [self._pipe])


def _filled(data: bytes) -> int | None:
    """The end of a pipe from which this can be read; None where the machine allows no further one."""
    try:
        reading, writing = os.pipe()
    except OSError:
        return None
    with open(writing, "wb", buffering=0) as file:
        file.write(data)
    return reading


def begin(work: Callable[[IO[bytes]], None], keep: Sequence[int] = ()) -> Copy | None:
    """`work` writes its answer; `keep`: open files that it needs. None where the machine allows no further
    process."""
    try:
        reading, writing = os.pipe()
    except OSError:
        return None
    with suppress(OSError, AttributeError):  # others have as much already, or it cannot be asked for
        fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, _ROOM)
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
