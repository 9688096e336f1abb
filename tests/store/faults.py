"""A place for bytes where one write goes wrong, with the interface of any other.

`refuse` and `kill` happen before the write, `late` and `kill late` after it was done. `lost` is what
a network does: the swap landed, its reply did not come, and the retry finds its own value there.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field

from kamld.blobs import Blobs, Changed, Listed
from kamld.blobs.interface import Buffer
from kamld.errors import SystemFault

KINDS = ("refuse", "late", "kill", "kill late", "lost")


class Killed(BaseException):
    """The process would be gone here."""


@dataclass
class Plan:
    """Which write goes wrong, and how; `writes` are those that happened, for people."""

    at: int = 0  # 1: the first; 0: none
    kind: str = "refuse"
    writes: list[str] = field(default_factory=list)

    def reached(self, what: str) -> bool:
        self.writes.append(what)
        return len(self.writes) == self.at


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

    def put(self, key: str, parts: Sequence[Buffer]) -> None:
        failing = self._before(f"put {key}")
        self._inner.put(key, parts)
        self._after(failing)

    def flush(self) -> None:
        failing = self._before("flush")
        self._inner.flush()
        self._after(failing)

    def post(self, key: str, value: bytes) -> None:
        failing = self._before(f"post {key}")
        self._inner.post(key, value)
        self._after(failing)

    def delete(self, key: str) -> None:
        failing = self._before(f"delete {key}")
        self._inner.delete(key)
        self._after(failing)

    def swap(self, key: str, expected: bytes | None, to: bytes) -> None:
        failing = self._before(f"swap {key}")
        self._inner.swap(key, expected, to)
        self._after(failing)
        if failing and self._plan.kind == "lost":
            raise Changed(key, to)

    def _before(self, what: str) -> bool:
        failing = self._plan.reached(what)
        if failing and self._plan.kind == "refuse":
            raise SystemFault("io_error", f"{what} was refused.")
        if failing and self._plan.kind == "kill":
            raise Killed
        return failing

    def _after(self, failing: bool) -> None:
        if failing and self._plan.kind == "late":
            raise SystemFault("io_error", "It was done, but its reply was lost.")
        if failing and self._plan.kind == "kill late":
            raise Killed
