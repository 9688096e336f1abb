"""An object as a file that can seek: any part of it is read by the chunks that it lies in.

Only chunks that are needed are read, each checked like all that leaves the hub; the last few stay in
memory, at most `CACHE` bytes of them.
"""

import io
import os
from collections import OrderedDict
from collections.abc import Callable
from threading import Event, Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

CACHE = 8 * 1024 * 1024


class ObjectFile(io.RawIOBase):
    """Read-only. `read_at` and `read_into` may be called from several threads; a position belongs to one."""

    def __init__(self, ends: NDArray[np.int64], load: Callable[[int], bytes | memoryview]) -> None:
        """`ends`: where each piece ends in the object; `load` gives one by its number."""
        super().__init__()
        self._ends = ends
        self._load = load
        self._at = 0
        self._held: OrderedDict[int, bytes | memoryview] = OrderedDict()
        self._bytes = 0
        self._loading: dict[int, Event] = {}  # pieces that a thread is at, for the others to wait
        self._lock = Lock()

    @property
    def size(self) -> int:
        return int(self._ends[-1]) if len(self._ends) else 0

    def read_at(self, offset: int, length: int) -> bytes:
        """Fewer bytes only at the end. Raises SystemFault (missing_object, damaged_object)."""
        target = bytearray(max(0, min(length, self.size - offset)))
        self._fill(offset, memoryview(target))
        return bytes(target)

    def read_into(self, offset: int, target: memoryview) -> int:
        """Fill `target` from this offset on; how many bytes there were. Raises as `read_at`."""
        length = max(0, min(len(target), self.size - offset))
        self._fill(offset, target[:length])
        return length

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        self._check_open()
        return self._at

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        self._check_open()
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self.size}[whence]
        if start + offset < 0:
            raise ValueError(f"negative seek position {start + offset}")
        self._at = start + offset
        return self._at

    def readinto(self, buffer: Any) -> int:  # its type has a name only from Python 3.12 on
        self._check_open()
        target = memoryview(buffer).cast("B")
        target = target[: max(0, min(len(target), self.size - self._at))]
        self._fill(self._at, target)
        self._at += len(target)
        return len(target)

    def readall(self) -> bytes:
        self._check_open()
        data = self.read_at(self._at, max(0, self.size - self._at))
        self._at += len(data)
        return data

    def _check_open(self) -> None:
        if self.closed:
            raise ValueError("I/O operation on closed file.")

    def _fill(self, offset: int, target: memoryview) -> None:
        number = int(np.searchsorted(self._ends, offset, side="right"))
        while len(target):
            start = int(self._ends[number - 1]) if number else 0
            piece = memoryview(self._piece(number))[offset - start :][: len(target)]
            target[: len(piece)] = piece
            target, offset, number = target[len(piece) :], offset + len(piece), number + 1

    def _piece(self, number: int) -> bytes | memoryview:
        done = Event()
        while True:
            with self._lock:
                held = self._held.get(number)
                if held is not None:
                    self._held.move_to_end(number)
                    return held
                busy = self._loading.setdefault(number, done)
            if busy is done:
                break
            busy.wait()
        try:
            piece = self._load(number)
            with self._lock:
                self._held[number] = piece
                self._bytes += len(piece)
                while self._bytes > CACHE and len(self._held) > 1:
                    self._bytes -= len(self._held.popitem(last=False)[1])
            return piece
        finally:
            with self._lock:
                del self._loading[number]
            done.set()
