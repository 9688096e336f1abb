"""Reading objects. Every byte that leaves here was checked against the id it was asked for."""

from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from threading import Lock
from time import monotonic

import numpy as np
from blake3 import blake3

from kamld.blobs import Blobs, Missing
from kamld.blobs.foreign import Foreign
from kamld.errors import KamldError, NotFound, SystemFault
from kamld.records.holes import Hole
from kamld.store import packs
from kamld.store.codecs import decode
from kamld.store.index import Index, Places, as_ids
from kamld.store.objects import places as left_places
from kamld.store.objects import recipes
from kamld.store.objects.holes import Holes, purged
from kamld.store.objects.seekable import ObjectFile

_LOST = "kamld fsck tells what is affected; kamld fsck --repair --from PLACE brings it back."
_PACKS_OPEN = 64
_TRIES = 20  # packs that may vanish, one after the other, below somebody who reads an object
HEED_S = 5.0  # between two looks for what was purged since
_LOOKED_UP = 256  # chunks of a large object around the one that is read
_WINDOWS = 64  # of such chunks that stay known, for who reads here and there
_MANY = 2000  # files that are not looked up one by one where the hub has none that was left elsewhere
_ORDERED_AT_ONCE = 4096  # chunks of a large object that are looked up together


class Objects:
    """Safe to use from several threads."""

    def __init__(self, blobs: Blobs, index: Index) -> None:
        self._blobs = blobs
        self._index = index
        self.foreign = Foreign({})  # reads files that were left where they are; a door gives a better one
        self._open: OrderedDict[bytes, memoryview] = OrderedDict()
        self._lock = Lock()
        self._holes: frozenset[bytes] = frozenset()
        self._look_at = monotonic() + HEED_S

    def read(self, identifier: bytes) -> bytes:
        """A whole object in memory. Raises SystemFault (missing_object, damaged_object)."""
        return b"".join(self.stream(identifier))

    def stream(self, identifier: bytes) -> Iterator[bytes | memoryview]:
        """An object in pieces of at most a chunk each, in order. Raises like `read`."""
        places = self._find([identifier])
        yield from self._pieces(identifier, places, 0)

    def read_many(self, identifiers: Sequence[bytes]) -> Iterator[tuple[int, Iterator[bytes | memoryview]]]:
        """(position in `identifiers`, the object's pieces), in the order in which they lie on disk.

        Take an object's pieces before asking for the next one. What was purged is left out.
        """
        if not identifiers:
            return
        positions = list(range(len(identifiers)))
        try:
            places = self._find(identifiers)
        except NotFound as error:
            if error.code != "purged_file":
                raise
            gone = self.purged(identifiers)
            positions = [at for at, identifier in enumerate(identifiers) if identifier not in gone]
            identifiers = [identifiers[at] for at in positions]
            if not identifiers:
                return
            places = self._find(identifiers)
        for at in np.lexsort((places.offset, places.pack)).tolist():
            yield positions[at], self._pieces(identifiers[at], places, at)

    def together(self, identifiers: Sequence[bytes]) -> Callable[[int], bytes]:
        """Whole objects by their positions; all are looked up now, at once. Raises like `read`."""
        places = self._find(identifiers)
        return lambda position: b"".join(self._pieces(identifiers[position], places, position))

    def open(self, identifier: bytes) -> ObjectFile:
        """An object as a file that can seek; only what is read of it is fetched. Raises like `read`."""
        places = self._find([identifier])
        codec, raw = int(places.codec[0]), int(places.raw[0])
        if codec & left_places.PLACE:
            ends = np.append(np.arange(left_places.BLOCK, raw, left_places.BLOCK), raw)
            return ObjectFile(ends, lambda number: next(self._left(identifier, number)))
        if not codec & packs.RECIPE:
            return ObjectFile(np.array([raw]), lambda _: next(self._pieces(identifier, places, 0)))
        chunks = recipes.decode(self._stored(identifier, places, 0), raw, identifier)
        ids = [chunk for chunk, _ in chunks]
        load = _ByWindow(ids, self._find, self._pieces)
        return ObjectFile(np.cumsum([length for _, length in chunks]), load)

    def chunks(self, identifier: bytes) -> list[tuple[bytes, int]]:
        """What an object is kept as: (id, length) of each chunk; itself where it is one, or was left
        where it is. Raises SystemFault (missing_object, damaged_object)."""
        places = self._find([identifier])
        codec, raw = int(places.codec[0]), int(places.raw[0])
        if codec & left_places.PLACE or not codec & packs.RECIPE:
            return [(identifier, raw)]
        return recipes.decode(self._stored(identifier, places, 0), raw, identifier)

    def stored(self, identifier: bytes) -> tuple[int, bytes, int]:
        """An object, or the record of a place, as its pack has it: (codec, stored bytes, length). Nothing
        is checked. Raises SystemFault (missing_object, missing_pack)."""
        places = self._index.find(as_ids([identifier]))
        if not places.found[0]:
            raise self._missing(identifier)
        return int(places.codec[0]), bytes(self._stored(identifier, places, 0)), int(places.raw[0])

    def lengths(self, identifiers: Sequence[bytes]) -> list[int]:
        return [int(length) for length in self._find(identifiers).raw] if identifiers else []

    def has(self, identifier: bytes) -> bool:
        found = self._index.find(as_ids([identifier]))
        return bool(left_places.with_places(self._index, [identifier], found).found[0])

    def held(self, identifiers: Sequence[bytes]) -> list[bool]:
        """Which objects the hub has the content of; others it may only know the place of."""
        found: list[bool] = self._index.find(as_ids(identifiers)).found.tolist() if identifiers else []
        return found

    def left(self, identifiers: Sequence[bytes]) -> list[bytes]:
        """Those that were left elsewhere, and of which the hub has no copy."""
        codecs = (segment.columns["codec"] for segment in self._index.segments())
        if len(identifiers) > _MANY and not any((codec & left_places.PLACE).any() for codec in codecs):
            return []  # as in most hubs, which is found out at once
        lacking = [one for one, held in zip(identifiers, self.held(identifiers), strict=True) if not held]
        keys = left_places.left(self._index, lacking)
        return [one for one, some in zip(lacking, keys, strict=True) if some]

    def left_at(self, identifier: bytes) -> str:
        """The address at which such a file was left last. Raises SystemFault."""
        key = left_places.left(self._index, [identifier])[0][0]
        return left_places.decode(self.stored(key)[1], key)[0].address

    def purged(self, identifiers: Iterable[bytes]) -> frozenset[bytes]:
        """Which of these were purged: whoever reads many leaves them out, and says so."""
        holes = Holes(self._blobs).listed()
        return holes.intersection(identifiers) if holes else holes

    def hole(self, identifier: bytes) -> Hole | None:
        """Who purged it, when and why."""
        return Holes(self._blobs).find(identifier)

    def parts(self, identifiers: Sequence[bytes]) -> list[bytes]:
        """What is kept for these objects beside themselves: the chunks of large ones, the records of the
        places of files that were left where they are."""
        if not identifiers:
            return []
        places = self._index.find(as_ids(identifiers))
        needed: list[bytes] = []
        for at in np.flatnonzero(places.found & (places.codec & packs.RECIPE != 0)).tolist():
            stored = self._stored(identifiers[at], places, at)
            needed += [chunk for chunk, _ in recipes.decode(stored, int(places.raw[at]), identifiers[at])]
        lost = [identifiers[at] for at in np.flatnonzero(~places.found).tolist()]
        return needed + [key for keys in left_places.left(self._index, lost) for key in keys]

    def with_prefix(self, prefix: str) -> list[bytes]:
        """Ids of the objects whose hex begins so."""
        self._index.refresh()
        low = int(prefix.ljust(16, "0")[:16], 16)
        high = int(prefix.ljust(16, "f")[:16], 16)
        found = {identifier for s in self._index.segments() for identifier in s.between(low, high)}
        return sorted(i for i in found if i.hex().startswith(prefix))

    def _find(self, identifiers: Sequence[bytes]) -> Places:
        if len(identifiers) == 1 and (place := self._index.glance(identifiers[0])):
            return place
        places = self._index.find(as_ids(identifiers))
        if not places.found.all():
            places = left_places.with_places(self._index, identifiers, places)
        if not places.found.all():
            raise self._missing(identifiers[int(places.found.argmin())])
        return places

    def _missing(self, identifier: bytes) -> KamldError:
        """Why an object is not to be had: it was purged, the index is not whole, or it is lost."""
        if hole := self.hole(identifier):
            return purged(hole)
        unknown = self._index.lacking()
        if unknown:
            return SystemFault(
                "damaged_index",
                f"The hub's index is not whole: it lacks {unknown} pack{'' if unknown == 1 else 's'}.",
                "kamld rebuild makes it anew from the packs.",
            )
        return SystemFault(
            "missing_object",
            f"The hub has lost the object {identifier.hex()[:12]}.",
            _LOST,
        )

    def _pieces(self, identifier: bytes, places: Places, at: int) -> Iterator[bytes | memoryview]:
        stored = self._stored(identifier, places, at)
        codec, raw = int(places.codec[at]), int(places.raw[at])
        if codec & left_places.PLACE:
            yield from self._left(identifier)
            return
        if not codec & packs.RECIPE:
            try:
                data = self._checked(identifier, decode(codec, stored, raw))
            except SystemFault:
                if not self._index.refresh():
                    raise
                data = self._repaired(identifier)  # by somebody else, perhaps, since we looked
            yield data
            return
        chunks = recipes.decode(stored, raw, identifier)
        for start in range(0, len(chunks), _ORDERED_AT_ONCE):
            some = [chunk for chunk, _ in chunks[start : start + _ORDERED_AT_ONCE]]
            found = self._find(some)
            for position, chunk in enumerate(some):
                yield from self._pieces(chunk, found, position)

    def _repaired(self, identifier: bytes) -> bytes | memoryview:
        places = self._find([identifier])
        codec, raw = int(places.codec[0]), int(places.raw[0])
        return self._checked(identifier, decode(codec, self._stored(identifier, places, 0), raw))

    def _left(self, identifier: bytes, first: int = 0) -> Iterator[bytes]:
        """The blocks of a file that was left where it is, from number `first` on."""
        keys = left_places.left(self._index, [identifier])[0]

        if not keys:
            raise SystemFault(
                "damaged_index",
                f"The hub's index takes {identifier.hex()[:12]} for a file that was left somewhere.",
                "kamld rebuild makes it anew from the packs.",
            )

        def read_place(key: bytes) -> tuple[left_places.Place, list[bytes]]:
            return left_places.decode(self._stored(key, self._index.find(as_ids([key])), 0), key)

        yield from left_places.pieces([partial(read_place, key) for key in keys], self.foreign, first)

    def _stored(self, identifier: bytes, places: Places, at: int) -> memoryview:
        """The bytes in the pack; where that pack is gone, for others took its place, those of another."""
        if monotonic() > self._look_at:
            self.heed_purges()
        name = b""
        for _ in range(_TRIES):
            number, offset = int(places.pack[at]), int(places.offset[at])
            if number >= len(places.packs):
                raise SystemFault(
                    "damaged_index",
                    "The hub's index names a pack that it does not list.",
                    "kamld rebuild makes it anew from the packs.",
                )
            name = places.packs[number]
            try:
                return self._pack(name)[offset : offset + int(places.stored[at])]
            except Missing:
                self._index.miss(name)
                there = self._index.find(as_ids([identifier]))
                if there.found[0]:
                    places, at = there, 0
        if hole := self.hole(identifier):
            raise purged(hole)
        raise SystemFault("missing_pack", f"The hub has lost {packs.key(name)}.", _LOST)

    def heed_purges(self) -> None:
        """Whoever lives long lets go of packs that a purge has deleted, and so of what was purged."""
        self._look_at = monotonic() + HEED_S
        known, self._holes = self._holes, Holes(self._blobs).gone(self._holes)
        if known != self._holes:
            with self._lock:
                self._open.clear()
            self._index.refresh()

    def _pack(self, name: bytes) -> memoryview:
        """Raises Missing."""
        with self._lock:
            if name not in self._open:
                self._open[name] = self._blobs.view(packs.key(name))
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
                _LOST,
            )
        return data


class _ByWindow:
    """The chunks of one object by their numbers; neighbours are looked up together."""

    def __init__(
        self, chunks: Sequence[bytes], find: Callable[[Sequence[bytes]], Places],
        pieces: Callable[[bytes, Places, int], Iterator[bytes | memoryview]],
    ) -> None:  # fmt: skip
        self._chunks, self._find, self._pieces = chunks, find, pieces
        self._windows: dict[int, Places] = {}

    def __call__(self, number: int) -> bytes | memoryview:
        at, within = divmod(number, _LOOKED_UP)
        places = self._windows.get(at)
        if places is None:
            if len(self._windows) >= _WINDOWS:
                self._windows = {}
            places = self._find(self._chunks[at * _LOOKED_UP : (at + 1) * _LOOKED_UP])
            self._windows[at] = places
        return next(self._pieces(self._chunks[number], places, within))
