"""What every place for bytes must do. The conformance suite is tests/blobs/conformance.py.

Two sorts of objects live under keys. *Immutable* ones are written by `put`; whoever writes a key
twice writes the same meaning, so either copy may win. *Mutable* ones are written by `swap` alone.
A key is a relative path of printable ASCII segments joined by `/`, none of them empty, `.` or `..`;
no key is the beginning of another's path (not `a` beside `a/b`).
"""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

from kamld.errors import KamldError, NotFound, SystemFault

Buffer = bytes | bytearray | memoryview


class Missing(NotFound):
    """There is no object under `key`."""

    def __init__(self, key: str) -> None:
        super().__init__("missing_blob", f"The hub has no {key}.", "kamld fsck tells what is affected.")
        self.key = key


class Changed(KamldError):
    """A swap found `value` (None: nothing) where it expected something else. Nothing was written."""

    def __init__(self, key: str, value: bytes | None) -> None:
        super().__init__("changed", f"{key} was changed by somebody else.", "Try again.")
        self.key = key
        self.value = value


@dataclass(frozen=True, slots=True)
class Listed:
    key: str
    size: int  # bytes


class Blobs(Protocol):
    @property
    def location(self) -> str:
        """Where the bytes are, for people: a folder, an address."""
        ...

    def get(self, key: str) -> bytes:
        """The whole object, as one version of it. Raises Missing."""
        ...

    def view(self, key: str) -> memoryview:
        """The whole of an immutable object, read-only and lazily where the place allows (a mapped
        file), so that reading a part costs a part. Stays valid after a delete. Raises Missing."""
        ...

    def part(self, key: str, start: int, length: int) -> bytes:
        """These bytes of an immutable object, copied, so that nothing that happens to it later is felt;
        fewer where it ends before. Raises Missing."""
        ...

    def batch(self) -> "Blobs":
        """The same place for one of several writers: its `flush` speaks of its own `put`s only."""
        ...

    def put(self, key: str, parts: Sequence[Buffer], *, cache: bool = True) -> None:
        """Keep the parts, joined, as an immutable object; they must not change before `flush`. Without
        `cache`: nobody is about to read it, so that memory is better used for something else.

        All or nothing: no reader ever sees a part of it, whatever happens. Durable only once
        `flush` has returned. Does nothing if the key exists. Raises SystemFault (no_space,
        no_permission, io_error), here or in `flush`, leaving nothing behind.
        """
        ...

    def flush(self) -> None:
        """Return when everything that was put before is durable.

        Raises SystemFault when any `put` since the last flush has failed, also one that said so."""
        ...

    def swap(self, key: str, expected: bytes | None, to: bytes) -> None:
        """Make a mutable object `to` if it is exactly `expected` (None: if it does not exist).

        Atomic among any number of processes and durable when it returns. Raises Changed, which has
        the present value: equal to `to` when our own earlier attempt landed and its reply was lost.
        """
        ...

    def post(self, key: str, value: bytes) -> None:
        """Make a mutable object `value`, whatever it was: seen by all at once and never in part, but a
        crash of the machine may undo it. For what need not outlive the machine; no sync is waited for."""
        ...

    def turn(self, what: str, seconds: float) -> AbstractContextManager[bool]:
        """Wait so long, and no longer, until one is alone among those who do `what` in this place, in
        this process or others of the machine; whether one is. Whoever dies gives up their turn.

        It saves people from doing what others make useless. Nothing may be wrong if two do it at once:
        somebody who was stopped is not waited for, and other machines need not know.
        """
        ...

    def delete(self, key: str) -> None:
        """Remove an object; no error when it is gone already."""
        ...

    def list(self, prefix: str) -> Iterator[Listed]:
        """Objects whose key begins with `prefix` (which ends in `/`), sorted by key.

        Objects written or deleted meanwhile may or may not appear.
        """
        ...


def check_key(key: str) -> str:
    """Raises SystemFault for a key that could leave its place; callers build keys, users do not."""
    parts = key.split("/")
    if not key.isascii() or not key.isprintable() or any(p in ("", ".", "..") for p in parts):
        raise SystemFault("bad_key", f"{key!r} cannot be a key in a hub.")
    return key
