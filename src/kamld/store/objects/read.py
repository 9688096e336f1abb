"""Reading objects. Every byte that leaves here was checked against the id it was asked for."""

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from threading import Lock

import numpy as np
from blake3 import blake3

from kamld.blobs import Blobs, Missing
from kamld.errors import SystemFault
from kamld.store import packs
from kamld.store.codecs import decode
from kamld.store.index import Index, Places, as_ids
from kamld.store.objects import recipes

_PACKS_OPEN = 64
_ORDERED_AT_ONCE = 4096  # chunks of a large object that are looked up together


class Objects:
    """Safe to use from several threads."""

    def __init__(self, blobs: Blobs, index: Index) -> None:
        self._blobs = blobs
        self._index = index
        self._open: OrderedDict[bytes, memoryview] = OrderedDict()
        self._lock = Lock()

    def read(self, identifier: bytes) -> bytes:
        """A whole object in memory. Raises SystemFault (missing_object, damaged_object)."""
        return b"".join(self.stream(identifier))

    def stream(self, identifier: bytes) -> Iterator[bytes | memoryview]:
        """An object in pieces of at most a chunk each, in order. Raises like `read`."""
        places = self._find([identifier])
        yield from self._pieces(identifier, places, 0)

    def read_many(self, identifiers: Sequence[bytes]) -> Iterator[tuple[int, Iterator[bytes | memoryview]]]:
        """(position in `identifiers`, the object's pieces), in the order in which they lie on disk.

        Take an object's pieces before asking for the next one.
        """
        if not identifiers:
            return
        places = self._find(identifiers)
        for position in np.lexsort((places.offset, places.pack)).tolist():
            yield position, self._pieces(identifiers[position], places, position)

    def lengths(self, identifiers: Sequence[bytes]) -> list[int]:
        return [int(length) for length in self._find(identifiers).raw] if identifiers else []

    def has(self, identifier: bytes) -> bool:
        return bool(self._index.find(as_ids([identifier])).found[0])

    def with_prefix(self, prefix: str) -> list[bytes]:
        """Ids of the objects whose hex begins so."""
        self._index.refresh()
        low = int(prefix.ljust(16, "0")[:16], 16)
        high = int(prefix.ljust(16, "f")[:16], 16)
        found = {identifier for s in self._index.segments() for identifier in s.between(low, high)}
        return sorted(i for i in found if i.hex().startswith(prefix))

    def _find(self, identifiers: Sequence[bytes]) -> Places:
        places = self._index.find(as_ids(identifiers))
        if not places.found.all():
            lost = identifiers[int(places.found.argmin())]
            raise SystemFault(
                "missing_object",
                f"The hub has lost the object {lost.hex()[:12]}.",
                "kamld rebuild makes the index anew from the packs.",
            )
        return places

    def _pieces(self, identifier: bytes, places: Places, at: int) -> Iterator[bytes | memoryview]:
        stored = self._stored(places, at)
        codec, raw = int(places.codec[at]), int(places.raw[at])
        if not codec & packs.RECIPE:
            yield self._checked(identifier, decode(codec, stored, raw))
            return
        chunks = recipes.decode(stored, raw, identifier)
        for start in range(0, len(chunks), _ORDERED_AT_ONCE):
            some = [chunk for chunk, _ in chunks[start : start + _ORDERED_AT_ONCE]]
            found = self._find(some)
            for position, chunk in enumerate(some):
                yield from self._pieces(chunk, found, position)

    def _stored(self, places: Places, at: int) -> memoryview:
        number, offset = int(places.pack[at]), int(places.offset[at])
        if number >= len(places.packs):
            raise SystemFault(
                "damaged_index",
                "The hub's index names a pack that it does not list.",
                "kamld rebuild makes it anew from the packs.",
            )
        pack = self._pack(places.packs[number])
        return pack[offset : offset + int(places.stored[at])]

    def _pack(self, name: bytes) -> memoryview:
        with self._lock:
            if name not in self._open:
                try:
                    self._open[name] = self._blobs.view(packs.key(name))
                except Missing:
                    raise SystemFault("missing_pack", f"The hub has lost {packs.key(name)}.") from None
                if len(self._open) > _PACKS_OPEN:
                    self._open.popitem(last=False)
            self._open.move_to_end(name)
            return self._open[name]

    @staticmethod
    def _checked(identifier: bytes, data: bytes | memoryview) -> bytes | memoryview:
        if blake3(data).digest() != identifier:
            raise SystemFault(
                "damaged_object",
                f"The object {identifier.hex()[:12]} is damaged in the hub: its content has another hash.",
                "Restore that pack from a copy of the hub.",
            )
        return data
