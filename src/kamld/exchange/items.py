"""What a source gives: files one after the other, with where they come from. It says nothing about how
they are kept."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from typing import Any

from kamld.errors import Invalid
from kamld.records.kinds import FILE, FOLDER

_NEVER = (b"", b".", b"..", b".kamld")  # as a part of a path
_OUTSIDE = "would leave the folder, or change what kamld keeps in it"


@dataclass(frozen=True, slots=True)
class Item:
    """One entry of the version to be. `stamp` is the same again only if the content is ("": unknown)."""

    path: bytes
    kind: int = FILE
    size: int = 0
    stamp: str = ""
    file: str = ""  # on this machine; else `pieces` gives the content
    pieces: Callable[[], Iterable[bytes]] = tuple
    address: str = ""  # where it could be left, without secrets
    etag: str = ""
    modified: str = ""
    same_as: bytes = b""  # a hard link: the path of an earlier item


@dataclass(frozen=True, slots=True)
class Source:
    """Somewhere files come from. `items` may be gone through once; those with the stamps it is given are
    not read."""

    kind: str
    source: str  # as it is recorded: without secrets
    name: str  # what a dataset of it would be called
    items: Callable[[], Iterator[Item]]
    model: bool = False
    metadata: dict[str, Any] = field(default_factory=dict)
    revision: Callable[[], str] = str  # asked at the end
    checksum: Callable[[], str] = str
    verify: Callable[[Iterable[bytes]], None] | None = None  # for one not read again
    done: Callable[[], None] = lambda: None  # all is kept: what was put aside may go
    remarks: list[str] = field(default_factory=list)  # what did not come, and more; full at the end
    history: object = None  # a DVC repository, which has versions of its own in the place of `items`


def checked(source: str, items: Iterable[Item]) -> Iterator[Item]:
    """Raises Invalid (unsafe_path) for what must not be in any version, by name."""
    seen: set[bytes] = set()
    folders: set[bytes] = set()
    for item in items:
        path = item.path
        parts = path.split(b"/")
        if any(part in _NEVER for part in parts) or b"\0" in path:
            raise refused(source, path, _OUTSIDE)
        if path in seen:
            raise refused(source, path, "is there twice")
        above = {b"/".join(parts[:n]) for n in range(1, len(parts))}
        if (path in folders and item.kind != FOLDER) or above & seen:
            raise refused(source, path, "is a file and a folder at once")
        if item.kind == FOLDER:
            folders.add(path)
        else:
            seen.add(path)
        folders |= above
        yield item


def check_paths(source: str, paths: AbstractSet[bytes] | Mapping[bytes, object]) -> None:
    """The same for files that are all known. Raises Invalid (unsafe_path)."""
    folders: set[bytes] = set()
    for path in paths:
        if any(part in _NEVER for part in path.split(b"/")) or b"\0" in path:
            raise refused(source, path, _OUTSIDE)
        folder = path.rpartition(b"/")[0]
        while folder and folder not in folders:
            folders.add(folder)
            folder = folder.rpartition(b"/")[0]
    for path in folders:
        if path in paths:
            raise refused(source, path, "is a file and a folder at once")


def refused(source: str, path: bytes, why: str) -> Invalid:
    shown = path.decode("utf-8", "backslashreplace")
    return Invalid(
        "unsafe_path", f'"{shown}" in {source} {why}. Nothing was imported.',
        "Do not trust who made it; or unpack it yourself and import the folder.",
    )  # fmt: skip
