"""A hub whose users take turns at each single operation on its blobs, in an order drawn from a seed.

Each user is a greenlet with a `Repository` of its own, as a process has: its own index, its own leases.
Every `get`, `put`, `swap` … is a step; at each one the next user to go on is drawn, the clock goes on,
and now and then somebody is killed for good, or the machine of somebody sleeps so long that their lease
runs out. Nothing else is random: a seed that fails fails again.
"""

import random
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import greenlet
import pytest

from kamld import clock, ids
from kamld.blobs import Listed, MemoryBlobs
from kamld.blobs.interface import Buffer
from kamld.store import Repository, leases
from kamld.store.chunking import Chunking
from kamld.store.hub import FORMAT, Hub
from kamld.store.index import lookup, segments
from kamld.store.objects import write


class Killed(BaseException):
    """This user's process is gone."""


@dataclass
class User:
    name: str
    pace: int = 1  # how many steps it makes while others make one
    repository: Repository = field(init=False)
    work: greenlet.greenlet = field(init=False)
    gone: bool = False
    slept: bool = False  # so long that a lease was lost
    posts: bool = False  # a lease, whose time runs already
    deletes: bool = False  # who deletes has just seen that its lease counts, and does not fall asleep then

    def leases(self) -> list[leases.Held]:
        held = (reference() for reference in self.repository.leases._held.values())
        return [one for one in held if one]


class Schedule:
    def __init__(self, seed: int) -> None:
        self.draw = random.Random(seed)
        self.now = datetime(2026, 3, 2, tzinfo=UTC)
        self.inner = MemoryBlobs()
        self.users: list[User] = []
        self.steps = self.kills = 0
        self.kills_left = 2
        self.turns: dict[str, User] = {}
        self.acting: User | None = None
        self.alone = True  # nobody takes turns: before the users begin, and after they have ended

    def hub(self, user: User) -> Repository:
        chunking = Chunking(smallest=64, average=256, largest=1024)
        hub = Hub(format=FORMAT, id="0" * 32, created=clock.now(), chunking=chunking)
        return Repository(Steps(self, user, self.inner), hub, 1)

    def add(self, name: str, work: Callable[[User], None], pace: int = 1) -> None:
        user = User(name, pace)
        user.repository = self.hub(user)
        user.work = greenlet.greenlet(lambda: work(user))
        self.users.append(user)

    def run(self, most: int = 20_000) -> None:
        self.alone = False
        waiting = list(self.users)
        while waiting and self.steps < most:
            if self.steps % 50 == 0:  # some are much slower than others, for a while
                paces = {user.name: user.pace * self.draw.choice((1, 4, 16)) for user in self.users}
            (user,) = self.draw.choices(waiting, [paces[user.name] for user in waiting])
            self.steps += 1
            self._time_goes_on()
            if self.kills_left and self.draw.random() < 0.0008:
                user.gone, self.kills_left, self.kills = True, self.kills_left - 1, self.kills + 1
            else:
                user.work.switch()
            if user.gone or user.work.dead:
                waiting.remove(user)
        self.alone = True
        for user in self.users:
            user.gone = True

    def step(self, user: User) -> None:
        if user.gone:
            raise Killed
        if not self.alone:
            self.draw_turn()
            if user.gone:
                raise Killed

    def draw_turn(self) -> None:
        parent = greenlet.getcurrent().parent
        assert parent is not None
        parent.switch()

    def _time_goes_on(self) -> None:
        self.now += timedelta(milliseconds=self.draw.randrange(1, 2000))
        if self.draw.random() < 0.01:
            held = {user.name: [one for one in user.leases() if not one.lost] for user in self.users}
            self.now += timedelta(minutes=self.draw.choice((5, 20, 70)))
            for user in self.users:
                if self.draw.random() >= 0.15 or user.deletes:
                    self._renew(user, held[user.name])
                    user.slept |= user.posts
                else:
                    user.slept = True
        elif self.steps % 20 == 0:
            for user in self.users:
                self._renew(user, [one for one in user.leases() if not one.lost])

    def _renew(self, user: User, held: list[leases.Held]) -> None:
        """As its thread does, while its machine is awake."""
        if user.gone:
            return
        self.alone, before, self.acting = True, self.alone, user
        for one in held:
            user.repository.leases._post(one)
        self.alone, self.acting = before, None


class Steps:
    """The blobs as one user sees them."""

    def __init__(self, schedule: Schedule, user: User, inner: MemoryBlobs) -> None:
        self._schedule, self._user, self._inner = schedule, user, inner

    @property
    def location(self) -> str:
        return "memory"

    def batch(self) -> "Steps":
        return self

    def flush(self) -> None:
        self._schedule.step(self._user)

    def get(self, key: str) -> bytes:
        self._schedule.step(self._user)
        return self._inner.get(key)

    def view(self, key: str) -> memoryview:
        self._schedule.step(self._user)
        return self._inner.view(key)

    def part(self, key: str, start: int, length: int) -> bytes:
        self._schedule.step(self._user)
        return self._inner.part(key, start, length)

    def put(self, key: str, parts: Sequence[Buffer], *, cache: bool = True) -> None:
        self._schedule.step(self._user)
        self._inner.put(key, parts, cache=cache)

    def swap(self, key: str, expected: bytes | None, to: bytes) -> None:
        self._schedule.step(self._user)
        self._inner.swap(key, expected, to)

    def post(self, key: str, value: bytes) -> None:
        self._user.posts = True
        self._schedule.step(self._user)
        self._user.posts = False
        self._inner.post(key, value)

    def delete(self, key: str) -> None:
        self._user.deletes = True
        self._schedule.step(self._user)
        self._user.deletes = False
        self._inner.delete(key)

    def list(self, prefix: str) -> Iterator[Listed]:
        """Not at one moment: what comes and goes meanwhile may be there or not."""
        self._schedule.step(self._user)
        first = {listed.key: listed for listed in self._inner.list(prefix)}
        if not self._schedule.alone and self._schedule.draw.random() < 0.3:
            self._schedule.step(self._user)
            later = {listed.key: listed for listed in self._inner.list(prefix)}
            changed = (first.keys() ^ later.keys()) & (first.keys() | later.keys())
            for key in sorted(changed):
                if self._schedule.draw.random() < 0.5:
                    first.pop(key, None)
                elif key in later:
                    first[key] = later[key]
        return iter([first[key] for key in sorted(first)])

    @contextmanager
    def turn(self, what: str, seconds: float) -> Iterator[bool]:
        """Mostly one at a time, but nobody may rely on it."""
        turns, user = self._schedule.turns, self._user
        self._schedule.step(user)
        holder = turns.get(what)
        alone = holder is None or holder.gone or self._schedule.draw.random() < 0.3
        if alone:
            turns[what] = user
        try:
            yield alone
        finally:
            if turns.get(what) is user:
                del turns[what]


class _NeverRuns(threading.Thread):
    """What would renew leases: the schedule says who sleeps, by its own clock."""

    def start(self) -> None:
        pass


@contextmanager
def simulated(schedule: Schedule, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Time, chance and machines are the schedule's; files are cut and segments are merged much sooner."""
    numbers = random.Random(schedule.draw.random())

    def host() -> str:
        if schedule.acting:
            return schedule.acting.name
        current = greenlet.getcurrent()
        return next((user.name for user in schedule.users if user.work is current), "somebody")

    def new_id() -> str:
        return f"{int(schedule.now.timestamp() * 1000):012x}{numbers.randbytes(10).hex()}"

    with monkeypatch.context() as patch:
        patch.setattr(clock, "now", lambda: clock.text(schedule.now))
        patch.setattr(ids, "new_id", new_id)
        patch.setattr(leases, "_host", host)
        patch.setattr(leases, "Thread", _NeverRuns)
        for module in (lookup, segments):
            patch.setattr(module, "secrets", SimpleNamespace(token_bytes=numbers.randbytes))
        patch.setattr(segments, "FANOUT", 3)
        patch.setattr(segments, "_LEVEL_0", 16)
        patch.setattr(write, "WHOLE_MAX", 300)
        yield
    with suppress(Killed):
        for user in schedule.users:
            user.gone = True


def opened(schedule: Schedule) -> Repository:
    """The hub as somebody sees it who comes when all is over."""
    return schedule.hub(User("somebody else"))
