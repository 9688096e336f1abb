"""DVC's cache and its remotes in folders: where a content is, and whether it is what its MD5 says."""

import hashlib
import json
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

from kamld.errors import Invalid
from kamld.exchange.dvc.outputs import Content

_PIECE = 1024 * 1024  # as DVC reads: how it treats line ends depends on where a piece ends
_TEXT = bytes(range(32, 127)) + b"\n\r\t\f\b"
_LOOKED_AT = 512


class Cache:
    """Layouts: files/md5/ab/cdef… of DVC 3, ab/cdef… of those before; a folder's list ends in .dir."""

    def __init__(self, places: list[Path]) -> None:
        self.places = places
        self.folder = lru_cache(maxsize=4)(self._folder)

    def find(self, content: Content) -> Path | None:
        name = f"{content.md5[:2]}/{content.md5[2:]}" + (".dir" if content.folder else "")
        layouts = (f"files/md5/{name}", name)
        for layout in layouts if content.exact else layouts[::-1]:
            for place in self.places:
                if (place / layout).is_file():
                    return place / layout
        return None

    def pieces(self, content: Content) -> Iterator[bytes]:
        """Raises Invalid (missing_content), and at the end, once all was given, Invalid (damaged_cache)."""
        path = self.find(content)
        if path is None:
            raise Invalid("missing_content", f"{content.md5} is missing from DVC's cache.")
        exact, older = hashlib.md5(usedforsecurity=False), hashlib.md5(usedforsecurity=False)
        with open(path, "rb") as file:
            while piece := file.read(_PIECE):
                exact.update(piece)
                if not content.exact:
                    text = _is_text(piece[:_LOOKED_AT])
                    older.update(piece.replace(b"\r\n", b"\n") if text else piece)
                yield piece
        found = (exact.hexdigest(), exact.hexdigest() if content.exact else older.hexdigest())
        if content.md5 not in found:
            raise Invalid(
                "damaged_cache", f"{path} has the MD5 {found[0]}, not {content.md5}.",
                "Bring it again: dvc fetch --force, or dvc add it anew.",
            )  # fmt: skip

    def is_whole(self, content: Content) -> bool:
        try:
            for _ in self.pieces(content):
                pass
        except Invalid:
            return False
        return True

    def _folder(self, content: Content) -> list[tuple[str, str]]:
        """What is in a folder, by path, and the MD5s. Raises as `pieces`, and Invalid (bad_description)."""
        try:
            listed = json.loads(b"".join(self.pieces(content)))
            return [_entry(row) for row in listed]
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            raise Invalid(
                "bad_description", f"{self.find(content)} is no list of a folder's files.", "Look at it."
            ) from None


def _entry(row: dict[str, Any]) -> tuple[str, str]:
    path, md5 = row["relpath"], row["md5"]
    if not path.encode("utf-8", "surrogateescape") or len(md5) != 32 or not md5.isalnum():
        raise ValueError
    return path, md5


def _is_text(start: bytes) -> bool:
    """As DVC guesses: no zero byte, and few that are no letters."""
    return b"\0" not in start and len(start.translate(None, _TEXT)) <= 0.3 * len(start)
