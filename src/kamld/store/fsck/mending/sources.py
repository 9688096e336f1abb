"""Where what a hub has lost can be had: another hub, or a folder. Every byte from there is verified."""

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Protocol

import numpy as np
from blake3 import blake3

from kamld.blobs import Blobs, Missing
from kamld.errors import KamldError, SystemFault
from kamld.records.kinds import FOLDER, SYMLINK
from kamld.store.chunking import WHOLE_MAX, Chunking, cut
from kamld.store.fsck.look import Look
from kamld.store.fsck.mending.keeping import Keeper
from kamld.store.fsck.verify import Prefixes, among, prefixes_of, verified
from kamld.store.index import Index, as_ids
from kamld.store.objects import Objects, object_id, places
from kamld.store.packs import key as pack_key
from kamld.store.trees import plan_tree
from kamld.store.trees.entries import Entries

_WINDOW = 8 * 1024 * 1024


class Source(Protocol):
    @property
    def name(self) -> str:
        """For people."""
        ...

    def record(self, key: str) -> bytes | None:
        """What is kept under this key there; None where it is no copy of this hub."""
        ...

    def keys(self, prefix: str) -> list[str]:
        """Keys of records there; none where it is no copy of this hub."""
        ...

    def read(self, identifier: bytes) -> bytes | None:
        """A commit, tree or page."""
        ...

    def give(self, lost: Mapping[bytes, int], look: Look, keeper: Keeper) -> None:
        """Add to the keeper what there is of this content and of what it is made of."""
        ...


class HubSource:
    """Another hub; a copy of this one where their ids are the same."""

    def __init__(self, blobs: Blobs, *, is_copy: bool) -> None:
        self._blobs, self._is_copy = blobs, is_copy
        self._index = Index(blobs)
        self._objects = Objects(blobs, self._index)

    @property
    def name(self) -> str:
        return self._blobs.location

    def record(self, key: str) -> bytes | None:
        if self._is_copy:
            with suppress(Missing):
                return self._blobs.get(key)
        return None

    def keys(self, prefix: str) -> list[str]:
        return [listed.key for listed in self._blobs.list(prefix)] if self._is_copy else []

    def read(self, identifier: bytes) -> bytes | None:
        try:
            return self._objects.read(identifier)
        except (KamldError, Missing):  # it is damaged too, or lacks it
            return None

    def give(self, lost: Mapping[bytes, int], look: Look, keeper: Keeper) -> None:
        for identifier in lost:
            chunks = look.recipe(identifier)
            if chunks is not None:
                self._chunks(identifier, chunks, look, keeper)
            elif not self._row(identifier, look, keeper):
                self._places(identifier, look, keeper)

    def _chunks(self, identifier: bytes, chunks: list[tuple[bytes, int]], look: Look, keeper: Keeper) -> None:
        """Those that are lost, however that hub has cut the file."""
        with suppress(KamldError, Missing):
            file, start = self._objects.open(identifier), 0
            for chunk, length in chunks:
                if not among(prefixes_of([chunk]), look.sound)[0]:
                    file.seek(start)
                    with suppress(SystemFault):
                        data = file.read(length)
                        if object_id(data) == chunk:
                            keeper.whole(chunk, data)
                start += length

    def _places(self, identifier: bytes, look: Look, keeper: Keeper) -> None:
        """It may have been left elsewhere: then what is lost is the record of that, or the file there."""
        for number in range(places.PLACES_MAX):
            key = places.key_of(identifier, number)
            if not among(prefixes_of([key]), look.sound)[0] and not self._row(key, look, keeper):
                return

    def _row(self, identifier: bytes, look: Look, keeper: Keeper) -> bool:
        """As it is kept there, with its chunks; whether it was there and sound."""
        ids = as_ids([identifier])
        for segment in self._index.segments():
            row = int(segment.find(ids)[0])
            if row < 0:
                continue
            columns = segment.columns
            offset, length, codec, raw, number = (
                int(columns[name][row]) for name in ("offset", "stored", "codec", "raw", "pack")
            )
            with suppress(Missing):
                stored = self._blobs.part(pack_key(segment.packs[number]), offset, length)
                chunks = verified(identifier, codec, memoryview(stored), raw, length)
                if chunks is None:
                    continue
                for chunk in chunks:
                    if not among(prefixes_of([chunk]), look.sound)[0]:
                        self._row(chunk, look, keeper)
                keeper.add(identifier, codec, stored, raw)
                return True
        return False


@dataclass(frozen=True, slots=True)
class FolderFile:
    path: bytes  # in the folder
    kind: int
    place: bytes  # on this machine


class FolderSource:
    """A folder that has the files, or other versions of them. It is read only when something is lost."""

    def __init__(self, folder: Path, files: Sequence[FolderFile], chunking: Chunking) -> None:
        """`files`: all of it, sorted by path."""
        self._folder, self._files, self._chunking = folder, files, chunking

    @property
    def name(self) -> str:
        return str(self._folder)

    def record(self, _: str) -> bytes | None:
        return None

    def keys(self, _: str) -> list[str]:
        return []

    def read(self, identifier: bytes) -> bytes | None:
        return self._trees.get(identifier)

    def give(self, lost: Mapping[bytes, int], look: Look, keeper: Keeper) -> None:
        rest = dict(lost)
        if self._knows_trees:
            for identifier in rest.keys() & self._trees.keys():
                self._tree(identifier, rest.pop(identifier), look, keeper)
        known = {one: look.recipe(one) for one in rest}
        parts = [chunk for chunks in known.values() for chunk, _ in chunks or ()]
        wanted = prefixes_of(parts)
        wanted = np.unique(wanted[~among(wanted, look.sound)])
        for file, identifier in self._ids.items() if rest else ():
            if identifier in rest:
                self._whole(file, identifier, known[identifier], look, keeper)
            elif len(wanted) and file.kind != SYMLINK:
                self._parts(file, wanted, keeper)

    def _tree(self, identifier: bytes, size: int, look: Look, keeper: Keeper) -> None:
        data, chunks = self._trees[identifier], look.recipe(identifier)
        if size <= WHOLE_MAX and not chunks:
            keeper.whole(identifier, data)
            return
        lengths = [length for _, length in chunks] if chunks else None
        pieces = list(_in_pieces(iter([data]), lengths, self._chunking))
        for piece in pieces:
            keeper.whole(object_id(piece), piece)
        if len(pieces) > 1 and not chunks:
            keeper.recipe(identifier, [(object_id(piece), len(piece)) for piece in pieces])

    @property
    def _knows_trees(self) -> bool:
        return "_trees" in vars(self)

    @cached_property
    def _ids(self) -> dict[FolderFile, bytes]:
        found = {}
        for file in self._files:
            if file.kind != FOLDER:
                digest = blake3()
                with suppress(OSError):
                    for piece in _pieces(file):
                        digest.update(piece)
                    found[file] = digest.digest()
        return found

    @cached_property
    def _trees(self) -> dict[bytes, bytes]:
        """The tree and pages of a version that has just what is in the folder."""
        rows, sizes = [], []
        for file in self._files:
            if file.kind != FOLDER and file not in self._ids:
                return {}
            rows.append(self._ids.get(file, object_id(b"")))
            sizes.append(_size(file))
        ids = np.frombuffer(b"".join(rows), np.uint8).reshape(-1, 32)
        kinds = np.array([file.kind for file in self._files], np.uint8)
        entries = Entries([file.path for file in self._files], kinds, np.array(sizes, np.uint64), ids)
        tree, pages = plan_tree(entries)
        return {object_id(data): data for data in [tree, *pages]}

    def _whole(
        self, file: FolderFile, identifier: bytes, chunks: list[tuple[bytes, int]] | None, look: Look,
        keeper: Keeper,
    ) -> None:  # fmt: skip
        """Cut as it was cut; where nobody knows how, as it would be cut now. It may have changed since it
        was hashed, so everything is compared again."""
        with suppress(OSError):
            if not chunks and _size(file) <= WHOLE_MAX:
                data = b"".join(_pieces(file))
                if object_id(data) == identifier:
                    keeper.whole(identifier, data)
                return
            digest, made = blake3(), []
            lengths = [length for _, length in chunks] if chunks else None
            for piece in _in_pieces(_pieces(file), lengths, self._chunking):
                digest.update(piece)
                made.append((object_id(piece), len(piece)))
                if not among(prefixes_of([made[-1][0]]), look.sound)[0]:
                    keeper.whole(made[-1][0], piece)
            if len(made) > 1 and not chunks and digest.digest() == identifier:
                keeper.recipe(identifier, made)

    def _parts(self, file: FolderFile, wanted: Prefixes, keeper: Keeper) -> None:
        with suppress(OSError):
            for piece in _in_pieces(_pieces(file), None, self._chunking):
                identifier = object_id(piece)
                if among(prefixes_of([identifier]), wanted)[0]:
                    keeper.whole(identifier, piece)


def _in_pieces(windows: Iterator[bytes], lengths: list[int] | None, chunking: Chunking) -> Iterator[bytes]:
    """Chunks of these lengths; without, as a file is cut today."""
    rest = b""
    for window, last in _with_last(windows):
        data, end = rest + window, 0
        while lengths and end + lengths[0] <= len(data):
            yield data[end : end + lengths[0]]
            end += lengths.pop(0)
        if lengths is None:
            for offset, length in cut(memoryview(data), chunking, last=last):
                yield data[offset : offset + length]
                end = offset + length
        rest = data[end:]


def _pieces(file: FolderFile) -> Iterator[bytes]:
    """Raises OSError."""
    if file.kind == SYMLINK:
        yield os.readlink(file.place)
        return
    handle = os.open(file.place, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        while piece := os.read(handle, _WINDOW):
            yield piece
    finally:
        os.close(handle)


def _size(file: FolderFile) -> int:
    if file.kind == FOLDER:
        return 0
    with suppress(OSError):
        return os.lstat(file.place).st_size
    return 0


def _with_last(windows: Iterator[bytes]) -> Iterator[tuple[bytes, bool]]:
    present = next(windows, b"")
    for following in windows:
        yield present, False
        present = following
    yield present, True
