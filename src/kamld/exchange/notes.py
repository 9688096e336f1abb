"""What earlier imports of a source brought: which content stood behind which stamp.

A note is this machine's own: it saves fetching, and is believed only for content the hub still has.
"""

import json
import time
from contextlib import suppress
from hashlib import sha256
from pathlib import Path

from kamld.errors import filesystem_fault

_OLD_S = 90 * 24 * 3600.0


class Notes:
    """A line an item, appended once its content is durable; a line cut off by a kill is passed over."""

    def __init__(self, folder: Path, source: str) -> None:
        self.aside = folder / sha256(source.encode()).hexdigest()[:32]
        self._path = self.aside.with_suffix(".notes")
        self._waiting: list[str] = []

    def read(self) -> dict[tuple[bytes, str], tuple[bytes, int]]:
        """(id, length) by path and stamp. What nobody will miss goes: sources that were not looked at for
        long, and lines that say again what others say."""
        known: dict[tuple[bytes, str], tuple[bytes, int]] = {}
        count = 0
        with suppress(FileNotFoundError), open(self._path, encoding="utf-8") as lines:
            for line in lines:
                count += 1
                with suppress(ValueError):
                    path, stamp, identifier, size = json.loads(line)
                    known[bytes.fromhex(path), stamp] = bytes.fromhex(identifier), size
        if count > 2 * len(known):
            self._shorten(known)
        self._remove_old()
        return known

    def _shorten(self, known: dict[tuple[bytes, str], tuple[bytes, int]]) -> None:
        lines = [_line(path, stamp, *kept) for (path, stamp), kept in known.items()]
        fresh = self._path.with_suffix(".new")
        with suppress(OSError):  # it only saves room
            fresh.write_text("".join(lines), encoding="utf-8")
            fresh.replace(self._path)

    def _remove_old(self) -> None:
        """Notes only save time."""
        for notes in self._path.parent.glob("*.notes"):
            with suppress(OSError):
                if notes.stat().st_mtime < time.time() - _OLD_S:
                    notes.unlink()

    def add(self, path: bytes, stamp: str, identifier: bytes, size: int) -> None:
        if stamp:
            self._waiting.append(_line(path, stamp, identifier, size))

    def write(self) -> None:
        """Once what was added is durable. Raises SystemFault (no_space …)."""
        if not self._waiting:
            return
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with open(self._path, "a", encoding="utf-8") as file:
                file.write("".join(self._waiting))
        except OSError as error:
            raise filesystem_fault(error, str(self._path)) from None
        self._waiting = []


def _line(path: bytes, stamp: str, identifier: bytes, size: int) -> str:
    return json.dumps([path.hex(), stamp, identifier.hex(), size]) + "\n"
