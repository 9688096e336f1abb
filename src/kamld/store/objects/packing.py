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
from kamld.store.packs import Footer, PackBuilder, Rows

_PACKS_PER_SEGMENT = 32
_NEW_MAX = 250_000  # objects that are remembered until the index knows them
_SURE_MAX = 10_000


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
        self._aside: list[Rows] | None = None
        self._published = False
        self.bytes_added = 0  # stored bytes of new objects
        self.objects_added = 0

    def flush(self) -> None:
        """Make all that was kept durable and findable."""
        self._seal()
        self._publish()

    def aside(self) -> list[Rows]:
        """What is kept from here on, and goes into no pack: for a copy of this process."""
        self._aside = []
        return self._aside

    def whole(self, identifiers: Sequence[bytes]) -> list[bool]:
        """Which objects are there, or were kept, with all that they are made of."""
        if self._sure.issuperset(identifiers):
            return [True] * len(identifiers)
        return self._relied.whole(identifiers, self._new)

    def keep(self, ids: Sequence[bytes], objects: Sequence[bytes | memoryview]) -> None:
        """Keep objects given whole, leaving out those the hub has."""
        known = self.has(ids)
        wanted = {i: data for i, data, has in zip(ids, objects, known, strict=True) if not has}
        if len(self._sure) < _SURE_MAX:
            self._sure.update(ids)
        if wanted:
            codecs, stored = zip(*encode(list(wanted.values())), strict=True)
            self.add(Rows(list(wanted), bytes(codecs), stored, list(map(len, wanted.values()))))

    def has(self, identifiers: Sequence[bytes]) -> list[bool]:
        return self._relied.has(identifiers, self._new)

    def add_new(self, rows: Rows) -> None:
        """What a copy of this process found that the hub has not; it knows of nothing published since."""
        if self._published and any(known := self.has(rows.ids)):
            rows = rows.at([row for row, has in enumerate(known) if not has])
        self.add(rows)

    def add(self, rows: Rows) -> None:
        if self._aside is not None:
            self._aside.append(rows)
            return
        with self._lock:
            size, new = sum(map(len, rows.stored)), set(rows.ids)
            if (
                len(new) == len(rows.ids)
                and self._new.isdisjoint(new)
                and self._builder.size + size < packs.TARGET
                and len(self._new) + len(new) < _NEW_MAX
            ):
                self._new |= new
                self._builder.extend(rows)
                self.bytes_added += size
                self.objects_added += len(new)
            else:
                for row in rows.each():
                    self._add(*row)

    def _add(self, identifier: bytes, codec: int, stored: bytes | memoryview, raw_length: int) -> None:
        if identifier in self._new:
            return
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
            self._blobs.put(packs.key(name), parts, cache=False)
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
