"""Looking at many things, shared with a copy of this process: each takes the next."""

import os
import time
from collections.abc import Callable, Sequence
from typing import IO, Generic, TypeVar

from kamld.processes import Turns, tell

Thing = TypeVar("Thing")
Made = TypeVar("Made")
_WAITING = 8  # things looked at together where looking means waiting for a disk
_WAITED = 4  # times the work: more is the disk's doing, not that of others who are at work
_PROBED = 0.005  # seconds of looking that tell whether it does


class Pace:
    """How looking goes, since this was made."""

    def __init__(self) -> None:
        self._began, self._busy = time.perf_counter(), time.thread_time()

    def is_long(self) -> bool:
        return time.perf_counter() - self._began > _PROBED

    def is_waiting(self) -> bool:
        """Whether that is for a disk."""
        taken = time.perf_counter() - self._began
        return taken > _PROBED and taken > _WAITED * (time.thread_time() - self._busy)


def together(work: Callable[[Thing], Made], things: Sequence[Thing]) -> list[Made]:
    """For things that have to be waited for."""
    from concurrent.futures import ThreadPoolExecutor  # whoever need not wait for a disk does without

    with ThreadPoolExecutor(_WAITING, "scan") as pool:
        return list(pool.map(work, things))


class Shared(Generic[Thing, Made]):
    """Work that a copy has begun already. End it by `all` or `drop`."""

    def __init__(self, things: Sequence[Thing], work: Callable[[Thing], Made], made: type[Made]) -> None:
        self._things, self._work, self._made = things, work, made
        self._turns = Turns(len(things))
        self._copy = self._turns.begin(self._tell)

    def _tell(self, answer: IO[bytes]) -> None:
        first, done = os.getppid(), []
        for number in self._turns:
            done.append((number, self._work(self._things[number])))
            if os.getppid() != first:
                return
        import msgspec  # by now the first process has other things to load

        tell(answer, msgspec.msgpack.encode(done))

    def all(self) -> list[Made]:
        """What `work` makes of each, in order. What the copy cannot do, or refuses, is done here."""
        said: list[memoryview] = []
        with self._turns:
            if self._copy:
                with self._copy:
                    made = self._here()
                    said += self._copy.told(wait=True)
            else:
                made = self._here()
        import msgspec

        for message in said:
            made.update(msgspec.msgpack.decode(message, type=list[tuple[int, self._made]]))  # type: ignore[name-defined]
        return [
            made[number] if number in made else self._work(thing) for number, thing in enumerate(self._things)
        ]

    def _here(self) -> dict[int, Made]:
        """What nobody has taken yet."""
        pace, made = Pace(), dict[int, Made]()
        for number in self._turns:
            made[number] = self._work(self._things[number])
            if pace.is_waiting():
                break
        left = list(self._turns)
        made.update(zip(left, together(self._work, [self._things[number] for number in left]), strict=True))
        return made

    def drop(self) -> None:
        with self._turns:
            if self._copy:
                self._copy.stop()
