"""What a writer need not write again: objects in packs that are there, and that are not about to go.

What is not needed any more is not deleted at once, and not all together: the list of a large file's
chunks may still be there while the chunks are gone. So who relies on such a list looks for what is on it.
"""

from collections.abc import Sequence
from collections.abc import Set as AbstractSet

import numpy as np

from kamld.blobs import Blobs, Missing
from kamld.store import packs
from kamld.store.index import Index, as_ids
from kamld.store.objects import recipes

_AT_ONCE = 100_000  # objects that are looked up together


class Relied:
    """`avoid`: packs that are about to be deleted, or were. Make it once a lease is held: then what is
    found stays for as long as that lease counts."""

    def __init__(
        self, blobs: Blobs, index: Index, avoid: AbstractSet[bytes], going: AbstractSet[bytes] = frozenset()
    ) -> None:
        """`going`: objects that may vanish at any moment, wherever they are, for they are being purged."""
        self._blobs = blobs
        self._index = index
        self._going = going
        self.avoid = avoid
        self._there: set[bytes] = set()  # packs that were seen since

    def has(self, identifiers: Sequence[bytes], also: AbstractSet[bytes] = frozenset()) -> list[bool]:
        """Which objects are there themselves; those of `also` are for certain."""
        if not identifiers:
            return []
        known: list[bool] = self._index.has(as_ids(identifiers), self.avoid, self._there).tolist()
        if self._going:
            known = [has and i not in self._going for i, has in zip(identifiers, known, strict=True)]
        return [has or i in also for i, has in zip(identifiers, known, strict=True)]

    def whole(self, identifiers: Sequence[bytes], also: AbstractSet[bytes] = frozenset()) -> list[bool]:
        """Which are there with all that they are made of."""
        found: list[bool] = []
        for start in range(0, len(identifiers), _AT_ONCE):
            found += self._whole(identifiers[start : start + _AT_ONCE], also)
        return found

    def _whole(self, identifiers: Sequence[bytes], also: AbstractSet[bytes]) -> list[bool]:
        places = self._index.usable(as_ids(identifiers), self.avoid, self._there)
        found = [
            (has and i not in self._going) or i in also
            for i, has in zip(identifiers, places.found.tolist(), strict=True)
        ]
        for at in np.flatnonzero(places.found & (places.codec & packs.RECIPE != 0)).tolist():
            key, start = packs.key(places.packs[int(places.pack[at])]), int(places.offset[at])
            try:
                stored = self._blobs.part(key, start, int(places.stored[at]))
            except Missing:  # joined with others a moment ago; to write it again does no harm
                found[at] = False
                continue
            chunks = recipes.decode(stored, int(places.raw[at]), identifiers[at])
            found[at] = all(self.has([chunk for chunk, _ in chunks], also))
        return found
