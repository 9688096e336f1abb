"""Joining small packs, when the index joins segments: ten thousand small commits leave some dozens.

Each pack below `SMALL` that only those segments name goes into a new one with its neighbours. What is
in a pack of that size or more is not copied again, so a commit copies some megabytes at most.
"""

from collections.abc import Callable, Sequence
from collections.abc import Set as AbstractSet

import numpy as np

from kamld.blobs import Blobs, Missing
from kamld.store import packs
from kamld.store.index import Repacked, Segment
from kamld.store.packs import Footer, PackBuilder

SMALL = 4 * 1024 * 1024  # bytes of a pack's objects


class Joiner:
    """A writer's `repack` for the index. `avoid`: packs that are about to be deleted, or were. `late`:
    whether the writer's lease was lost, as when its machine slept."""

    def __init__(self, blobs: Blobs, avoid: AbstractSet[bytes], late: Callable[[], bool]) -> None:
        self._blobs = blobs
        self._avoid = avoid
        self._late = late

    def __call__(self, group: Sequence[Segment], others: AbstractSet[bytes]) -> Repacked:
        footers = self._small(group, others | self._avoid)
        builder, made, retired, seen = PackBuilder(), [], set[bytes](), set[bytes]()
        for name, footer in footers:
            try:
                pack = self._blobs.view(packs.key(name))
            except Missing:  # somebody else joins it at this moment
                continue
            for row in range(len(footer.codecs)):
                identifier, start = footer.ids[row].tobytes(), int(footer.offsets[row])
                if identifier not in seen:
                    seen.add(identifier)
                    stored = pack[start : start + int(footer.stored[row])]
                    builder.add(identifier, int(footer.codecs[row]), stored, int(footer.raw[row]))
            retired.add(name)
            if builder.size >= packs.TARGET:
                made.append(self._put(builder))
                builder = PackBuilder()
        if len(retired) < 2:
            return Repacked()
        if builder:
            made.append(self._put(builder))
        self._blobs.flush()
        return Repacked(made, frozenset(retired) - {name for name, _ in made}, self._late)

    def _put(self, builder: PackBuilder) -> tuple[bytes, Footer]:
        name, parts, footer = packs.sealed(builder, self._avoid)
        self._blobs.put(packs.key(name), parts, cache=False)
        return name, footer

    @staticmethod
    def _small(group: Sequence[Segment], others: AbstractSet[bytes]) -> list[tuple[bytes, Footer]]:
        """The rows of the small packs, in the order in which they were written."""
        found: list[tuple[bytes, Footer]] = []
        for segment in group:
            columns = segment.columns
            number = columns["pack"].astype(np.int64)
            sizes = np.bincount(number, columns["stored"].astype(np.int64), len(segment.packs))
            small = {at for at in range(len(segment.packs)) if sizes[at] < SMALL}
            small -= {at for at in small if segment.packs[at] in others}
            order = np.lexsort((columns["offset"], number))
            ends = np.searchsorted(number[order], np.arange(len(segment.packs) + 1))
            for at in sorted(small):
                rows = order[ends[at] : ends[at + 1]]
                found.append((segment.packs[at], _footer(segment, rows)))
        return found


def _footer(segment: Segment, rows: "np.ndarray[tuple[int], np.dtype[np.int64]]") -> Footer:
    columns = segment.columns
    ids = np.empty((len(rows), 32), np.uint8)
    ids[:, :8] = columns["prefix"][rows].astype(">u8").view(np.uint8).reshape(-1, 8)
    ids[:, 8:] = np.ascontiguousarray(columns["rest"][rows]).view(np.uint8).reshape(-1, 24)
    return Footer(
        ids, columns["offset"][rows], columns["stored"][rows], columns["raw"][rows], columns["codec"][rows]
    )
