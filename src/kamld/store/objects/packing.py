"""What is to be kept: left out where the hub has it, else compressed and put into packs.

Nothing is visible to anyone until `flush`: packs first, then the index, each durable before the
next. What a crash leaves behind is garbage that names nothing.
"""

from collections.abc import Callable, Sequence
from collections.abc import Set as AbstractSet
from threading import Lock

from kamld.blobs import Blobs
from kamld.store import packs
from kamld.store.codecs import encode
from kamld.store.index import Index
from kamld.store.objects.holes import Guard
from kamld.store.objects.relied import Relied
from kamld.store.objects.small import Joiner
from kamld.store.packs import Footer, PackBuilder

_PACKS_PER_SEGMENT = 32
_NEW_MAX = 250_000  # objects that are remembered until the index knows them
_SURE_MAX = 10_000
Row = tuple[bytes, int, bytes | memoryview, int]  # id, codec, bytes as kept, length of the object


class Packing:
    """Safe to use from several threads, but for `flush`."""

    def __init__(
        self, blobs: Blobs, index: Index, avoid: AbstractSet[bytes], guard: Guard, late: Callable[[], bool]
    ) -> None:
        """`avoid`: packs that are about to be deleted, or were. `guard` knows of what was purged. `late`:
        whether our lease was lost, as when the machine slept."""
        self._avoid = avoid
        self._late = late
        self._guard = guard
        self._relied = Relied(blobs, index, avoid, guard.parts)
        self._blobs = blobs.batch()
        self._index = index
        self._lock = Lock()
        self._builder = PackBuilder()
        self._sealed: list[tuple[bytes, Footer]] = []
        self._new: set[bytes] = set()
        self._sure: set[bytes] = set()  # some of what was kept, or found: a small commit asks for no more
        self._aside: list[Row] | None = None
        self._published = False
        self.bytes_added = 0  # stored bytes of new objects
        self.objects_added = 0

    def flush(self) -> None:
        """Make all that was kept durable and findable."""
        self._seal()
        self._publish()

    def aside(self) -> list[Row]:
        """What is kept from here on, and goes into no pack: for a copy of this process."""
        self._aside = []
        return self._aside

    def whole(self, identifiers: Sequence[bytes]) -> list[bool]:
        """Which objects are there, or were kept, with all that they are made of."""
        if self._sure.issuperset(identifiers):
            return [True] * len(identifiers)
        return self._relied.whole(identifiers, self._new)

    def keep(self, objects: Sequence[tuple[bytes, bytes | memoryview]]) -> None:
        """Keep objects given whole, leaving out those the hub has."""
        known = self.has([identifier for identifier, _ in objects])
        wanted = {i: data for (i, data), has in zip(objects, known, strict=True) if not has}
        if len(self._sure) < _SURE_MAX:
            self._sure.update(identifier for identifier, _ in objects)
        stored = encode(list(wanted.values()))
        self.add(
            [
                (identifier, codec, kept, len(data))
                for (identifier, data), (codec, kept) in zip(wanted.items(), stored, strict=True)
            ]
        )

    def has(self, identifiers: list[bytes]) -> list[bool]:
        return self._relied.has(identifiers, self._new)

    def add_new(self, rows: Sequence[Row]) -> None:
        """What a copy of this process found that the hub has not; it knows of nothing published since."""
        known = self.has([row[0] for row in rows]) if self._published else [False] * len(rows)
        self.add([row for row, has in zip(rows, known, strict=True) if not has])

    def add(self, rows: Sequence[Row]) -> None:
        if self._aside is not None:
            self._aside += rows
            return
        with self._lock:
            for identifier, codec, stored, raw_length in rows:
                if identifier in self._new:
                    continue
                self._new.add(identifier)
                self._builder.add(identifier, codec, stored, raw_length)
                self.bytes_added += len(stored)
                self.objects_added += 1
                if self._builder.size >= packs.TARGET:
                    self._seal()
                if len(self._new) >= _NEW_MAX:
                    self._seal()
                    self._publish()

    def _seal(self) -> None:
        builder, self._builder = self._builder, PackBuilder()
        if builder:
            name, parts, footer = packs.sealed(builder, self._avoid)
            self._blobs.put(packs.key(name), parts)
            self._sealed.append((name, footer))
            if len(self._sealed) >= _PACKS_PER_SEGMENT:
                self._publish()

    def _publish(self) -> None:
        sealed, self._sealed = self._sealed, []
        if sealed:
            self._blobs.flush()
            if self._late():  # then no purge has waited for us
                self._guard.check_again(row.tobytes() for _, footer in sealed for row in footer.ids)
            joiner = Joiner(self._blobs.batch(), self._avoid, self._late)
            self._index.add(sealed, *([] if self._guard.is_purging else [joiner]))  # which rewrites packs
            self._published = True
            self._new = set()  # the index knows them from here on
