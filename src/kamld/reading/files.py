"""The files of a version as lazy things: nothing is read before it is asked for."""

import io
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import BinaryIO, overload

import numpy as np

from kamld.errors import NotFound
from kamld.reading.choose import chosen
from kamld.reading.folders import Folders
from kamld.records.kinds import EXECUTABLE, FILE, FOLDER, SYMLINK
from kamld.store import Entries, Objects, Tree
from kamld.store.trees.entries import Entry

KINDS = {FILE: "file", EXECUTABLE: "executable", SYMLINK: "link", FOLDER: "folder"}


@dataclass(frozen=True, slots=True)
class File:
    """One file of a version. `id` is the BLAKE3 of its content; a link's content is its target."""

    path: str
    size: int
    id: str
    kind: str  # file, executable, link
    _objects: Objects = field(repr=False, compare=False)

    def read(self) -> bytes:
        """All of it. Raises SystemFault."""
        return self._objects.read(bytes.fromhex(self.id))

    def text(self, encoding: str = "utf-8") -> str:
        """All of it as text. Raises SystemFault, UnicodeDecodeError."""
        return self.read().decode(encoding)

    def open(self) -> BinaryIO:
        """A file to read from and seek in; only what is read is fetched."""
        return io.BufferedReader(self._objects.open(bytes.fromhex(self.id)), 256 * 1024)


class Files(Sequence[File]):
    """Files sorted by path. A million cost what their paths do: each `File` is made when looked at."""

    def __init__(self, objects: Objects, entries: Entries) -> None:
        self.objects = objects
        self.entries = entries

    def __len__(self) -> int:
        return len(self.entries)

    @overload
    def __getitem__(self, at: int) -> File: ...
    @overload
    def __getitem__(self, at: slice) -> "Files": ...
    def __getitem__(self, at: int | slice) -> "File | Files":
        if isinstance(at, slice):
            return Files(self.objects, self.entries.take(sorted(range(len(self))[at])))
        at = range(len(self))[at]
        entries = self.entries
        kind, size = int(entries.kinds[at]), int(entries.sizes[at])
        return file_of(self.objects, Entry(entries.paths[at], kind, size, entries.ids[at].tobytes()))

    def __iter__(self) -> Iterator[File]:
        return (file_of(self.objects, row) for row in self.entries.rows())

    @cached_property
    def bytes(self) -> int:
        return int(self.entries.sizes.sum())

    @property
    def paths(self) -> list[str]:
        return [os.fsdecode(path) for path in self.entries.paths]

    def __repr__(self) -> str:
        some = ", ".join(self[:3].paths)
        return f"<{len(self):,} files, {self.bytes:,} bytes: {some}{', …' if len(self) > 3 else ''}>"


def file_of(objects: Objects, row: Entry) -> File:
    return File(os.fsdecode(row.path), row.size, row.id.hex(), KINDS.get(row.kind, "file"), objects)


def files_of(objects: Objects, tree: Tree, pattern: str | None, where: str) -> Files:
    """All files, or those of a pattern, of which there must be one; empty folders are none.

    Raises NotFound (unknown_path, no_match) in words about `where`.
    """
    pattern = (pattern or "").strip("/")
    entries = chosen(Folders(objects, tree), pattern, where) if pattern else tree.entries()
    files = entries.take(np.flatnonzero(entries.kinds != FOLDER).tolist())
    if pattern and not len(files):
        raise NotFound("no_match", f'"{pattern}" in {where} is an empty folder: there are no files in it.')
    return Files(objects, files)
