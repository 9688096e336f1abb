"""What earlier imports of a source brought: which content stood behind which stamp.

A note is this machine's own: it saves fetching, and is believed only for content the hub still has.
"""

import json
from contextlib import suppress
from hashlib import sha256
from pathlib import Path


class Notes:
    """A line an item, appended once its content is durable; a line cut off by a kill is passed over."""

    def __init__(self, folder: Path, source: str) -> None:
        self.aside = folder / sha256(source.encode()).hexdigest()[:32]
        self._path = self.aside.with_suffix(".notes")
        self._waiting: list[str] = []

    def read(self) -> dict[tuple[bytes, str], tuple[bytes, int]]:
        """(id, length) by path and stamp."""
        known: dict[tuple[bytes, str], tuple[bytes, int]] = {}
        with suppress(FileNotFoundError), open(self._path, encoding="utf-8") as lines:
            for line in lines:
                with suppress(ValueError):
                    path, stamp, identifier, size = json.loads(line)
                    known[bytes.fromhex(path), stamp] = bytes.fromhex(identifier), size
        return known

    def add(self, path: bytes, stamp: str, identifier: bytes, size: int) -> None:
        if stamp:
            self._waiting.append(json.dumps([path.hex(), stamp, identifier.hex(), size]) + "\n")

    def write(self) -> None:
        """Once what was added is durable."""
        if self._waiting:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with open(self._path, "a", encoding="utf-8") as file:
                file.write("".join(self._waiting))
            self._waiting = []
