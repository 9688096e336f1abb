"""Putting objects into a hub as they are kept elsewhere: in a damaged pack, in another hub, in a folder.

Never by a Writer, which would cut a chunk of more than 64 KiB again.
"""

from collections.abc import Set as AbstractSet

from kamld.blobs import Blobs
from kamld.store import packs
from kamld.store.codecs import encode
from kamld.store.objects import recipes
from kamld.store.packs import Footer, PackBuilder


class Keeper:
    """What is added is in no index before `finish`, and whoever calls that puts it there.

    `avoid`: names of packs that are not to be written: damaged ones, and those about to be deleted.
    """

    def __init__(self, blobs: Blobs, avoid: AbstractSet[bytes]) -> None:
        self._blobs, self._avoid = blobs.batch(), avoid
        self._builder = PackBuilder()
        self._made: list[tuple[bytes, Footer]] = []
        self.ids: set[bytes] = set()

    def add(self, identifier: bytes, codec: int, stored: bytes, raw: int) -> None:
        if identifier in self.ids:
            return
        self.ids.add(identifier)
        self._builder.add(identifier, codec, stored, raw)
        if self._builder.size >= packs.TARGET:
            self._seal()

    def whole(self, identifier: bytes, data: bytes) -> None:
        """Content as it is, whose hash is `identifier`."""
        ((codec, stored),) = encode([data])
        self.add(identifier, codec, stored, len(data))

    def recipe(self, identifier: bytes, chunks: list[tuple[bytes, int]]) -> None:
        size = sum(length for _, length in chunks)
        self.add(identifier, packs.RECIPE, recipes.encode(identifier, chunks), size)

    def finish(self) -> list[tuple[bytes, Footer]]:
        """The packs, durable."""
        if self._builder:
            self._seal()
        self._blobs.flush()
        made, self._made = self._made, []
        return made

    def _seal(self) -> None:
        name, parts, footer = packs.sealed(self._builder, self._avoid)
        self._builder = PackBuilder()
        self._blobs.put(packs.key(name), parts, cache=False)
        self._made.append((name, footer))
