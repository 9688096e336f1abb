"""A place for bytes where one write goes wrong, with the interface of any other.

`refuse` and `kill` happen before the write, `late` and `kill late` after it was done. `lost` is what
a network does: the swap landed, its reply did not come, and the retry finds its own value there. `full`
is a disk: this write has no room, nor has any later one. `torn` is a process that is killed in the
middle of writing: half of it is where the hub keeps what is not whole yet. `slow` is no fault: before
this write somebody else does what `meanwhile` says.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn

from kamld import ids
from kamld.blobs import Blobs, Changed, FolderBlobs, Listed
from kamld.blobs.interface import Buffer
from kamld.errors import SystemFault
from tests.counts import tried

KINDS = ("refuse", "late", "kill", "kill late", "lost", "full", "torn")
NOT_DONE = ("refuse", "kill", "full", "torn")  # what was to be written is not there


class Killed(BaseException):
    """The process would be gone here."""


@dataclass
class Plan:
    """Which write goes wrong, and how; `writes` are those that happened, for people."""

    at: int = 0  # 1: the first; 0: none
    kind: str = "refuse"
    writes: list[str] = field(default_factory=list)
    for_good: bool = False  # who was killed writes nothing more, whatever it does on its way out
    dead: bool = False
    full: bool = False
    meanwhile: Callable[[], None] = lambda: None

    def reached(self, what: str) -> bool:
        if self.dead:
            raise Killed
        self.writes.append(what)
        if len(self.writes) == self.at:
            tried(1, "faults at a write")
        return len(self.writes) == self.at

    def die(self) -> NoReturn:
        self.dead = self.for_good
        raise Killed


@dataclass
class Stepping(Plan):
    """Calls somebody else before each write."""

    step: Callable[[int], None] = lambda _: None
    inside: bool = field(default=False)

    def reached(self, what: str) -> bool:
        if not self.inside:
            self.writes.append(what)
            self.inside = True
            try:
                self.step(len(self.writes))
            finally:
                self.inside = False
        return False


class FaultyBlobs:
    def __init__(self, inner: Blobs, plan: Plan) -> None:
        self._inner = inner
        self._plan = plan

    @property
    def location(self) -> str:
        return self._inner.location

    def batch(self) -> "FaultyBlobs":
        return FaultyBlobs(self._inner.batch(), self._plan)

    def get(self, key: str) -> bytes:
        return self._inner.get(key)

    def view(self, key: str) -> memoryview:
        return self._inner.view(key)

    def part(self, key: str, start: int, length: int) -> bytes:
        return self._inner.part(key, start, length)

    def list(self, prefix: str) -> Iterator[Listed]:
        return self._inner.list(prefix)

    def turn(self, what: str, seconds: float) -> AbstractContextManager[bool]:
        return self._inner.turn(what, seconds)

    def put(self, key: str, parts: Sequence[Buffer], *, cache: bool = True) -> None:
        failing = self._before(f"put {key}", b"".join(parts))
        self._inner.put(key, parts, cache=cache)
        self._after(failing)

    def flush(self) -> None:
        failing = self._before("flush")
        self._inner.flush()
        self._after(failing)

    def post(self, key: str, value: bytes) -> None:
        failing = self._before(f"post {key}", value)
        self._inner.post(key, value)
        self._after(failing)

    def delete(self, key: str) -> None:
        failing = self._before(f"delete {key}")
        self._inner.delete(key)
        self._after(failing)

    def swap(self, key: str, expected: bytes | None, to: bytes) -> None:
        failing = self._before(f"swap {key}", to)
        self._inner.swap(key, expected, to)
        self._after(failing)
        if failing and self._plan.kind == "lost":
            raise Changed(key, to)

    def _before(self, what: str, data: bytes = b"") -> bool:
        failing = self._plan.reached(what)
        self._plan.full |= failing and self._plan.kind == "full"
        if self._plan.full and not what.startswith("delete"):
            raise SystemFault("no_space", f"There is no room for {what}.")
        if failing and self._plan.kind == "slow":
            self._plan.meanwhile()
        if failing and self._plan.kind == "torn":
            self._tear(data)
            self._plan.die()
        if failing and self._plan.kind == "refuse":
            raise SystemFault("io_error", f"{what} was refused.")
        if failing and self._plan.kind == "kill":
            self._plan.die()
        return failing

    def _after(self, failing: bool) -> None:
        if failing and self._plan.kind == "late":
            raise SystemFault("io_error", "It was done, but its reply was lost.")
        if failing and self._plan.kind == "kill late":
            self._plan.die()

    def _tear(self, data: bytes) -> None:
        place = Path(self._inner.location, "tmp")
        if isinstance(self._inner, FolderBlobs) and data:
            place.mkdir(parents=True, exist_ok=True)
            (place / ids.new_id()).write_bytes(data[: len(data) // 2])
