"""Blobs in this process's memory: for tests, and as the model that other places are held to."""

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from kamld.blobs.interface import Buffer, Changed, Listed, Missing, check_key


class MemoryBlobs:
    def __init__(self) -> None:
        self._objects: dict[str, bytes] = {}
        self._lock = threading.Lock()
        self._turns: dict[str, threading.Lock] = {}

    @property
    def location(self) -> str:
        return "memory"

    def get(self, key: str) -> bytes:
        try:
            return self._objects[check_key(key)]
        except KeyError:
            raise Missing(key) from None

    def view(self, key: str) -> memoryview:
        return memoryview(self.get(key))

    def part(self, key: str, start: int, length: int) -> bytes:
        return self.get(key)[start : start + length]

    def batch(self) -> "MemoryBlobs":
        return self

    def put(self, key: str, parts: Sequence[Buffer], *, cache: bool = True) -> None:  # noqa: ARG002
        value = b"".join(parts)
        with self._lock:
            self._objects.setdefault(check_key(key), value)

    def flush(self) -> None:
        pass

    def swap(self, key: str, expected: bytes | None, to: bytes) -> None:
        with self._lock:
            present = self._objects.get(check_key(key))
            if present != expected:
                raise Changed(key, present)
            self._objects[key] = bytes(to)

    def post(self, key: str, value: bytes) -> None:
        with self._lock:
            self._objects[check_key(key)] = value

    @contextmanager
    def turn(self, what: str, seconds: float) -> Iterator[bool]:
        with self._lock:
            turn = self._turns.setdefault(what, threading.Lock())
        alone = turn.acquire(timeout=seconds) if seconds > 0 else turn.acquire(blocking=False)
        try:
            yield alone
        finally:
            if alone:
                turn.release()

    def delete(self, key: str) -> None:
        with self._lock:
            self._objects.pop(check_key(key), None)

    def list(self, prefix: str) -> Iterator[Listed]:
        with self._lock:
            found = sorted((k, len(v)) for k, v in self._objects.items() if k.startswith(prefix))
        return (Listed(key, size) for key, size in found)
