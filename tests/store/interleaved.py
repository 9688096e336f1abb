"""Several that use one hub, where a chance of one's own choosing says at each touch of the hub who goes
on. Only one goes on at a time, so that the same seed gives the same story again."""

import random
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from kamld.blobs import Changed, Listed, MemoryBlobs
from kamld.blobs.interface import Buffer
from kamld.errors import SystemFault

_WAITS_MAX = 300  # touches of the hub by others, before one who waits for a turn goes on without


class Baton:
    """Who has it goes on; at each `step` it may go to another."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self._restless = self.chance.choice((0.1, 0.5, 1.0))
        self._runners: dict[int, threading.Semaphore] = {}
        self._done = threading.Event()
        self._failures: list[BaseException] = []

    def run(self, actors: Sequence[Callable[[], None]]) -> None:
        ready = threading.Barrier(len(actors) + 1)

        def act(actor: Callable[[], None]) -> None:
            me = threading.get_ident()
            self._runners[me] = threading.Semaphore(0)
            ready.wait()
            self._runners[me].acquire()
            try:
                actor()
            except BaseException as error:  # noqa: BLE001 - raised below, to whoever asked for all this
                self._failures.append(error)
            del self._runners[me]
            self._go(list(self._runners))

        threads = [threading.Thread(target=act, args=(actor,), daemon=True) for actor in actors]
        for thread in threads:
            thread.start()
            while len(self._runners) < threads.index(thread) + 1:
                pass  # so that they are numbered alike in each run
        ready.wait()
        self._go(list(self._runners))
        self._done.wait()
        for thread in threads:
            thread.join()
        if self._failures:
            raise self._failures[0]

    def _go(self, among: list[int]) -> None:
        if among:
            self._runners[self.chance.choice(among)].release()
        else:
            self._done.set()

    def step(self) -> None:
        me = threading.get_ident()
        if me not in self._runners or self.chance.random() > self._restless:
            return
        to = self.chance.choice(list(self._runners))
        if to != me:
            self._runners[to].release()
            self._runners[me].acquire()


class Stepping:
    """A place for bytes, seen by one of them. Some of what `faulty` ones do goes wrong: refused, or done
    though it seems to have failed, or done and its reply lost."""

    def __init__(self, inner: MemoryBlobs, baton: Baton, faults: float = 0.0, *, apart: bool = False) -> None:
        self._inner = inner
        self._baton = baton
        self._faults = faults
        self._apart = apart

    @property
    def location(self) -> str:
        return self._inner.location

    def batch(self) -> "Stepping":
        return self

    def get(self, key: str) -> bytes:
        self._baton.step()
        return self._inner.get(key)

    def view(self, key: str) -> memoryview:
        self._baton.step()
        return self._inner.view(key)

    def part(self, key: str, start: int, length: int) -> bytes:
        self._baton.step()
        return self._inner.part(key, start, length)

    def list(self, prefix: str) -> Iterator[Listed]:
        """In two halves, between which much may happen."""
        self._baton.step()
        keys = [listed.key for listed in self._inner.list(prefix)]
        middle = keys[len(keys) // 2] if keys else ""
        first = [listed for listed in self._inner.list(prefix) if listed.key < middle]
        self._baton.step()
        return iter([*first, *(listed for listed in self._inner.list(prefix) if listed.key >= middle)])

    def put(self, key: str, parts: Sequence[Buffer], *, cache: bool = True) -> None:
        with self._write(key):
            self._inner.put(key, parts, cache=cache)

    def flush(self) -> None:
        pass

    def post(self, key: str, value: bytes) -> None:
        with self._write(key):
            self._inner.post(key, value)

    def delete(self, key: str) -> None:
        self._baton.step()
        self._inner.delete(key)

    def swap(self, key: str, expected: bytes | None, to: bytes) -> None:
        with self._write(key):
            self._inner.swap(key, expected, to)
        if self._baton.chance.random() < self._faults:
            raise Changed(key, self._now(key))

    def _now(self, key: str) -> bytes:
        self._baton.step()
        return self._inner.get(key)

    @contextmanager
    def _write(self, key: str) -> Iterator[None]:
        self._baton.step()
        if self._baton.chance.random() < self._faults:
            raise SystemFault("io_error", f"{key} was refused.")
        yield
        if self._baton.chance.random() < self._faults:
            raise SystemFault("io_error", f"{key} was written, but its reply was lost.")

    @contextmanager
    def turn(self, what: str, seconds: float) -> Iterator[bool]:
        if self._apart:  # as on machines that do not know of each other
            yield True
            return
        for _ in range(_WAITS_MAX if seconds else 1):
            with self._inner.turn(what, 0) as alone:
                if alone:
                    yield True
                    return
            self._baton.step()
        yield False
