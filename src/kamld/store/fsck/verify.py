"""Verifying packs and index segments, byte by byte. Nothing is mapped: what is cut off while it is read
gives fewer bytes, never a signal that ends the process.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from blake3 import blake3
from numpy.typing import NDArray

from kamld.blobs import Blobs, Missing
from kamld.errors import SystemFault
from kamld.store import packs
from kamld.store.codecs import decode
from kamld.store.index import Segment
from kamld.store.index import decode as decode_segment
from kamld.store.objects import places, recipes
from kamld.store.packs import RECIPE, Footer

_WINDOW = 8 * 1024 * 1024
_END = 48  # bytes of a pack behind its footer
_COMMIT, _COMMIT_MAX = b'{"author":', 1_000_000  # how a commit begins, and how long it is at most

Prefixes = NDArray[np.uint64]  # the first 8 bytes of ids: enough to tell a billion objects apart


@dataclass(slots=True)
class Checked:
    """A pack as it was found. `ids`: what is in it, by its footer, else by the index."""

    name: bytes
    size: int
    fault: str = ""  # what is wrong with the pack as such
    has_footer: bool = False
    ids: Prefixes = field(default_factory=lambda: np.zeros(0, np.uint64))
    sound: NDArray[np.bool_] = field(default_factory=lambda: np.zeros(0, np.bool_))
    recipes: list[tuple[bytes, Prefixes]] = field(default_factory=list)  # of large objects: their chunks
    commits: list[bytes] = field(default_factory=list)  # what looks like one; where content was read

    @property
    def damaged(self) -> bool:
        return bool(self.fault) or not bool(self.sound.all())


@dataclass(frozen=True, slots=True)
class Depth:
    """How closely objects are looked at. Recipes and places always are."""

    quick: bool  # other objects need only lie inside of their pack
    only: Prefixes | None = None  # None: all objects

    def asks(self, ids: Prefixes) -> NDArray[np.bool_]:
        if self.quick:
            return np.zeros(len(ids), np.bool_)
        return np.ones(len(ids), np.bool_) if self.only is None else among(ids, self.only)


def check_pack(
    blobs: Blobs, name: bytes, size: int, known: list[Segment], depth: Depth, stopped: Callable[[], bool]
) -> Checked | None:
    """None: it is gone, which whoever asks must look into. Raises SystemFault only as the machine does."""
    key = packs.key(name)
    try:
        found = Checked(name, size)
        footer = footer_of(blobs, name, size)
        found.has_footer = footer is not None
        if footer is None:
            found.fault, footer = "its end is damaged or cut off", rows_by_index(known, name)
        if blobs.part(key, 0, len(packs.HEADER)) != packs.HEADER:
            found.fault = found.fault or "its beginning is damaged"
        if footer is not None:
            _check_objects(blobs, key, footer, found, depth, stopped)
    except Missing:
        return None
    return found


def footer_of(blobs: Blobs, name: bytes, size: int) -> Footer | None:
    """None: it is not what it was. Raises Missing."""
    key = packs.key(name)
    tail = blobs.part(key, max(0, size - _END), _END + 1)
    if len(tail) != _END or size < _END + len(packs.HEADER):
        return None
    length = int.from_bytes(tail[:8], "little")
    if length > size - _END - len(packs.HEADER):
        return None
    data = blobs.part(key, size - _END - length, length + _END)
    try:
        footer = packs.read_footer(memoryview(packs.HEADER + data), key)
    except SystemFault:
        return None
    return footer if blake3(data[:length]).digest() == name else None


def rows_by_index(known: list[Segment], name: bytes) -> Footer | None:
    """What the index says is in a pack."""
    for segment in known:
        if name not in segment.packs:
            continue
        rows = np.flatnonzero(segment.columns["pack"] == segment.packs.index(name))
        if len(rows):
            columns = {key: column[rows] for key, column in segment.columns.items()}
            ids = np.empty((len(rows), 32), np.uint8)
            ids[:, :8] = columns["prefix"].astype(">u8").view(np.uint8).reshape(-1, 8)
            ids[:, 8:] = np.ascontiguousarray(columns["rest"]).view(np.uint8).reshape(-1, 24)
            order = np.argsort(columns["offset"], kind="stable")
            return Footer(
                ids[order], columns["offset"][order], columns["stored"][order], columns["raw"][order],
                columns["codec"][order],
            )  # fmt: skip
    return None


def _check_objects(
    blobs: Blobs, key: str, footer: Footer, found: Checked, depth: Depth, stopped: Callable[[], bool]
) -> None:
    count = len(footer.codecs)
    found.ids, found.sound = prefixes(footer.ids), np.zeros(count, np.bool_)
    asked = depth.asks(found.ids)
    window_size = _WINDOW if depth.only is None and not depth.quick else 0
    offsets, stored, raw = footer.offsets.tolist(), footer.stored.tolist(), footer.raw.tolist()
    codecs, ids = footer.codecs.tolist(), footer.ids.tobytes()
    window, start = b"", 0
    for row in range(count):
        begin, length, codec = offsets[row], stored[row], codecs[row]
        if not asked[row] and not codec & (RECIPE | places.PLACE):
            found.sound[row] = begin + length <= found.size
            continue
        if begin < start or begin + length > start + len(window):
            if stopped():
                return
            start, window = begin, blobs.part(key, begin, max(window_size, length))
        piece = memoryview(window)[begin - start : begin - start + length]
        identifier = ids[32 * row : 32 * row + 32]
        if not codec & (RECIPE | places.PLACE):
            data = whole(identifier, codec, piece, raw[row], length)
            found.sound[row] = data is not None
            if data is not None and raw[row] < _COMMIT_MAX and data[: len(_COMMIT)] == _COMMIT:
                found.commits.append(identifier)
            continue
        chunks = verified(identifier, codec, piece, raw[row], length)
        found.sound[row] = chunks is not None
        if chunks is not None and codec & RECIPE and not codec & places.PLACE:
            found.recipes.append((identifier, prefixes_of(chunks)))


def verified(identifier: bytes, codec: int, piece: memoryview, raw: int, length: int) -> list[bytes] | None:
    """None: it is damaged. Else the chunks that it needs, none for a whole object."""
    if len(piece) != length:
        return None
    try:
        if codec & places.PLACE:
            places.decode(piece, identifier)
        elif codec & RECIPE:
            return [chunk for chunk, _ in recipes.decode(piece, raw, identifier)]
        elif whole(identifier, codec, piece, raw, length) is None:
            return None
    except SystemFault:
        return None
    return []


def whole(
    identifier: bytes, codec: int, piece: memoryview, raw: int, length: int
) -> bytes | memoryview | None:
    """An object that is kept in one piece. None: it is damaged."""
    try:
        data = decode(codec, piece, raw) if len(piece) == length else None
    except SystemFault:
        return None
    return data if data is not None and blake3(data).digest() == identifier else None


def read_segment(blobs: Blobs, key: str, name: bytes) -> Segment | None:
    """None: it is damaged. Raises Missing."""
    data = blobs.get(key)
    if len(data) < 32 or data[-32:] != name or blake3(memoryview(data)[:-32]).digest() != name:
        return None
    try:
        return decode_segment(memoryview(data), key)
    except (SystemFault, ValueError):
        return None


def prefixes(ids: NDArray[np.uint8]) -> Prefixes:
    return np.ascontiguousarray(ids.reshape(-1, 32)[:, :8]).view("<u8").reshape(-1)


def prefixes_of(identifiers: list[bytes]) -> Prefixes:
    return prefixes(np.frombuffer(b"".join(identifiers), np.uint8))


def among(wanted: Prefixes, there: Prefixes) -> NDArray[np.bool_]:
    """Which of the wanted are there; `there` is sorted."""
    if not len(there):
        return np.zeros(len(wanted), np.bool_)
    at = np.minimum(np.searchsorted(there, wanted), len(there) - 1)
    found: NDArray[np.bool_] = there[at] == wanted
    return found
