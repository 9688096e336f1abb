"""What is still needed of packs that are about to be deleted goes into new ones, as it is stored there."""

from collections.abc import Set as AbstractSet

import numpy as np
from blake3 import blake3
from numpy.typing import NDArray

from kamld.blobs import Blobs, Missing
from kamld.errors import SystemFault
from kamld.store import packs
from kamld.store.codecs import decode
from kamld.store.gc.marking import COPIED, LIVE, Marking, all_rows, id_at
from kamld.store.index import Segment, as_ids
from kamld.store.objects import places, recipes
from kamld.store.packs import Footer, PackBuilder
from kamld.store.repository import Repository

_ROWS_AT_ONCE = 50_000
_PACKS_AT_ONCE = 32  # that are made before the index has them


def copy_out(
    repository: Repository, marking: Marking, names: AbstractSet[bytes], unusable: AbstractSet[bytes]
) -> int:
    """Copy what is marked and is in no other pack that stays; durable when it returns. How many objects.

    Raises SystemFault (damaged_object, missing_object): then nothing may be deleted.
    """
    copier = _Copier(repository, marking, unusable | names)
    for number, segment in enumerate(marking.segments):
        condemned = np.array([name in names for name in segment.packs], np.bool_)
        if condemned.any():
            for start in range(0, segment.count, 20 * _ROWS_AT_ONCE):
                marks = marking.marks[number][start : start + 20 * _ROWS_AT_ONCE]
                pack = segment.columns["pack"][start : start + len(marks)]
                rows = np.flatnonzero((marks & LIVE != 0) & (marks & COPIED == 0) & condemned[pack]) + start
                for some in range(0, len(rows), _ROWS_AT_ONCE):
                    copier.copy(number, rows[some : some + _ROWS_AT_ONCE])
    return copier.close()


class _Copier:
    def __init__(self, repository: Repository, marking: Marking, avoid: AbstractSet[bytes]) -> None:
        self._index, self._objects = repository.index, repository.objects
        self._marking, self._avoid = marking, avoid
        self._blobs: Blobs = repository.blobs.batch()
        self._stays = [
            np.array([name in marking.there and name not in avoid for name in s.packs], np.bool_)
            for s in marking.segments
        ]
        self._builder = PackBuilder()
        self._made: list[tuple[bytes, Footer]] = []
        self._copied = 0

    def copy(self, number: int, rows: NDArray[np.int64]) -> None:
        segment = self._marking.segments[number]
        ids = as_ids([id_at(segment.columns, row) for row in rows.tolist()])
        here = ~self._elsewhere(ids)
        rows, ids = rows[here], ids[here]
        order = np.lexsort((segment.columns["offset"][rows], segment.columns["pack"][rows]))
        for at in order.tolist():
            row = int(rows[at])
            if self._marking.marks[number][row] & COPIED:  # the same object from another row of these
                continue
            if kept := self._stored(segment, row):
                self._builder.add(ids[at].tobytes(), *kept)
                self._copied += 1
                self._mark_copied(ids[at : at + 1])
            if self._builder.size >= packs.TARGET:
                self._seal()

    def close(self) -> int:
        if self._builder:
            self._seal()
        self._publish()
        return self._copied

    def _elsewhere(self, ids: NDArray[np.void]) -> NDArray[np.bool_]:
        """Which are in a pack that is there, and stays."""
        found = np.zeros(len(ids), np.bool_)
        for segment, stays in zip(self._marking.segments, self._stays, strict=True):
            at, rows = all_rows(segment, ids)
            found[at[stays[segment.columns["pack"][rows]]]] = True
        return found

    def _mark_copied(self, ids: NDArray[np.void]) -> None:
        for segment, marks in zip(self._marking.segments, self._marking.marks, strict=True):
            marks[all_rows(segment, ids)[1]] |= COPIED

    def _stored(self, segment: Segment, row: int) -> tuple[int, bytes, int] | None:
        """Codec, the bytes in the pack, verified, and length. None: another row has it, for this pack
        was gone when we began."""
        columns = segment.columns
        name, start = segment.packs[int(columns["pack"][row])], int(columns["offset"][row])
        if name not in self._marking.there:
            return None
        length, raw, codec = (int(columns[key][row]) for key in ("stored", "raw", "codec"))
        identifier = id_at(columns, row)
        try:
            stored = self._blobs.part(packs.key(name), start, length)
        except Missing:  # joined with others since, by somebody whose machine slept
            codec, stored, raw = self._objects.stored(identifier)
        if codec & packs.RECIPE:
            recipes.chunk_ids(stored, raw, identifier)
        elif codec & places.PLACE:
            places.decode(stored, identifier)
        elif blake3(decode(codec, memoryview(stored), raw)).digest() != identifier:
            raise SystemFault(
                "damaged_object",
                f"The object {identifier.hex()[:12]} is damaged in {packs.key(name)}; nothing was deleted.",
                "kamld fsck tells what is affected.",
            )
        return codec, stored, raw

    def _seal(self) -> None:
        name, parts, footer = packs.sealed(self._builder, self._avoid)
        self._blobs.put(packs.key(name), parts, cache=False)
        self._made.append((name, footer))
        self._builder = PackBuilder()
        if len(self._made) >= _PACKS_AT_ONCE:
            self._publish()

    def _publish(self) -> None:
        self._blobs.flush()
        if self._made:
            self._index.add(self._made)
        self._made = []
