"""What a command writes, kept byte for byte up to a limit: its beginning and its end.

A log longer than that loses its middle, and says so at that place: what went wrong is told at the
end, what was asked for at the beginning.
"""

import os
import shutil
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

HEAD_MAX = 48_000_000  # bytes kept from the beginning
TAIL_MAX = 8_000_000  # bytes; of the end, once or twice as many are kept


class KeptLog:
    """Written by one thread. A disk that is full ends the keeping, not the command."""

    def __init__(self, path: Path, head_max: int = HEAD_MAX, tail_max: int = TAIL_MAX) -> None:
        self._path = path
        self._head_max = head_max
        self._tail_max = tail_max
        self._head = open(path, "wb", buffering=0)  # noqa: SIM115 - closed by `close`
        self._tails: list[BinaryIO] = []  # the older one first
        self._written = 0  # bytes in the head
        self._dropped = 0
        self._broken = False

    def write(self, data: bytes) -> None:
        if self._broken:
            return
        try:
            room = self._head_max - self._written
            if room > 0:
                self._head.write(data[:room])
                self._written += min(room, len(data))
            if len(data) > room:
                self._write_tail(data[max(room, 0) :])
        except OSError:
            self._broken = True

    def close(self) -> tuple[str, ...]:
        """Join what was kept into the one file; sentences about what was not."""
        notes: tuple[str, ...] = ()
        try:
            if self._dropped:
                gap = f"\n[kamld: {self._dropped:,} bytes left out here]\n"
                self._head.write(gap.encode())
                notes = (f"{self._path.name} was too long to keep whole: {gap.strip()[8:-6]}.",)
            for tail in self._tails:
                tail.seek(0)
                shutil.copyfileobj(tail, self._head)
        except OSError:
            self._broken = True
        for file in (self._head, *self._tails):
            file.close()
        for name in ("0", "1"):
            with suppress(OSError):
                os.unlink(self._tail_path(name))
        if self._broken:
            notes = (f"The disk was full: not all of {self._path.name} was kept.",)
        return notes

    def _write_tail(self, data: bytes) -> None:
        if not self._tails or self._tails[-1].tell() + len(data) > self._tail_max:
            if len(self._tails) == 2:
                oldest = self._tails.pop(0)
                self._dropped += os.fstat(oldest.fileno()).st_size
                name = oldest.name
                oldest.close()
            else:
                name = str(self._tail_path(str(len(self._tails))))
            self._tails.append(open(name, "w+b", buffering=0))  # noqa: SIM115
        self._tails[-1].write(data)

    def _tail_path(self, name: str) -> Path:
        return self._path.with_name(f"{self._path.name}.tail{name}")
