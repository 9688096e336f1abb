"""What is fetched as one file, and its checksum; an interruption loses nothing of it."""

import errno
import hashlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO

from kamld.blobs.foreign import Foreign
from kamld.blobs.web import Found
from kamld.errors import Invalid, filesystem_fault

_PIECE = 1024 * 1024


class Digest:
    """The checksum of what is fetched as one file."""

    def __init__(self, wanted: str, where: str) -> None:
        self.wanted, self.where, self._found = wanted, where, ""

    def check(self, pieces: Iterable[bytes]) -> None:
        """Raises Invalid (other_checksum)."""
        for _ in self.through(pieces):
            pass

    def through(self, pieces: Iterable[bytes]) -> Iterator[bytes]:
        """The same pieces. Raises Invalid (other_checksum) at their end."""
        found = hashlib.sha256()
        for piece in pieces:
            found.update(piece)
            yield piece
        if self.wanted and found.hexdigest() != self.wanted:
            raise Invalid(
                "other_checksum",
                f"{self.where} has the SHA-256 {found.hexdigest()}, not {self.wanted}. Nothing was imported.",
                "Do not use it before you know why.",
            )
        self._found = found.hexdigest()

    def text(self) -> str:
        """Of what was read; "": nothing was."""
        return f"sha256:{self._found}" if self._found else ""


class Aside:
    """What came of an address so far, in a file, with the etag that it had beside it."""

    def __init__(self, url: str, foreign: Foreign, path: Path) -> None:
        self._url, self._foreign, self._path = url, foreign, path
        self._mark = path.with_suffix(".etag")
        self.found: Found | None = None  # as it was fetched

    def etag(self) -> str:
        return self.found.etag if self.found else ""

    def remove(self) -> None:
        self._path.unlink(missing_ok=True)
        self._mark.unlink(missing_ok=True)

    def fetch(self) -> Path:
        """All of it. Raises NotFound (unknown_address), SystemFault."""
        try:
            return self._fetch()
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                self.remove()  # it would only be in the way of whoever makes room
            raise filesystem_fault(error, str(self._path)) from None

    def _fetch(self) -> Path:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        there = self._path.stat().st_size if self._path.exists() and self._mark.exists() else 0
        known = self._mark.read_text() if there else ""
        answer = self._foreign.web.open(self._url)
        assert answer is not None
        found = answer.found
        self.found = found
        if there and found.etag and known == found.etag and there <= (found.size or 0):
            answer.pieces.close()  # type: ignore[attr-defined]
            pieces: Iterator[bytes] = iter(())
            if there < (found.size or 0):
                again = self._foreign.web.open(self._url, there)
                assert again is not None
                there, pieces = again.start, again.pieces
        else:
            there, pieces = 0, answer.pieces
        self._mark.write_text(found.etag)
        with open(self._path, "r+b" if there else "wb") as file:
            file.seek(there)
            file.writelines(pieces)
        return self._path


def pieces_in(path: str | Path) -> Iterator[bytes]:
    """Of a file of this machine."""
    with open(path, "rb") as file:
        yield from pieces_of(file)


def pieces_of(file: IO[bytes]) -> Iterator[bytes]:
    with file:
        while piece := file.read(_PIECE):
            yield piece
