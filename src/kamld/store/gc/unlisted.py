"""The index as a collection needs it: whole. A lost part of it would make what it lists look like
garbage, and all that that leads to.
"""

from collections.abc import Set as AbstractSet
from dataclasses import dataclass

import numpy as np

from kamld.blobs import Missing
from kamld.errors import SystemFault
from kamld.store import packs
from kamld.store.index import Segment
from kamld.store.packs import Footer
from kamld.store.repository import Repository

_ROWS_MAX = 500_000  # in a segment that is made here
_TRIES, _DROPS = 20, 3


@dataclass(frozen=True, slots=True)
class Found:
    """`segments` and the packs that are `there`, with their sizes; `redundant`: those of them that no
    segment lists, and that have nothing which is not in others too."""

    segments: list[Segment]
    there: dict[bytes, int]
    redundant: frozenset[bytes]


def whole_index(repository: Repository, unusable: AbstractSet[bytes]) -> Found:
    """Every pack that is there is listed in the segments, or redundant. Who was killed between writing a
    pack and listing it, or joining packs and deleting them, has left others: they are listed now.

    `unusable`: packs that are about to be deleted; what is in them alone counts as being nowhere else.
    Raises SystemFault (damaged_pack, busy_index).
    """
    before: set[bytes] | None = None  # what was unlisted a moment ago; else others are about to list it
    for attempt in range(_TRIES):
        repository.index.refresh()
        segments = repository.index.segments()
        listed = repository.blobs.list("packs/")
        there = {name: one.size for one in listed if (name := packs.name_of(one.key))}
        named = {name for segment in segments for name in segment.packs}
        if named - there.keys() and attempt < _DROPS:  # deleted, and listed by somebody who knew it before
            repository.index.without(frozenset(), segments, there.keys())
            continue
        unlisted = there.keys() - named
        if before is None and unlisted:
            before = set(unlisted)
            continue
        lost, redundant = _sorted_out(repository, unlisted & (before or set()), unusable | unlisted)
        if not lost:
            for name in unlisted - redundant:
                del there[name]  # its writer is about to list it
            return Found(segments, there, redundant)
        for some in lost:
            repository.index.write(some)
    raise SystemFault("busy_index", "The hub's index keeps changing.", "Try again.")


def _sorted_out(
    repository: Repository, names: AbstractSet[bytes], without: AbstractSet[bytes]
) -> tuple[list[list[tuple[bytes, Footer]]], frozenset[bytes]]:
    """Packs to be listed, as many together as one segment may have; packs that are redundant."""
    lost: list[list[tuple[bytes, Footer]]] = []
    redundant, rows = set(), _ROWS_MAX
    for name in sorted(names):
        footer = _footer(repository, name)
        if footer is None:
            continue
        if _is_elsewhere(repository, footer, without):
            redundant.add(name)
            continue
        if rows >= _ROWS_MAX:
            lost.append([])
            rows = 0
        lost[-1].append((name, footer))
        rows += len(footer.codecs)
    return lost, frozenset(redundant)


def _footer(repository: Repository, name: bytes) -> Footer | None:
    """None: it was joined with others since it was listed."""
    where = packs.key(name)
    try:
        return packs.read_footer(repository.blobs.view(where), where)
    except Missing:
        return None
    except SystemFault as fault:
        if fault.code != "damaged_pack":
            raise
        raise SystemFault(
            "damaged_pack",
            f"{where} is damaged, and the index does not say what it had, so nobody knows what is needed."
            " Nothing was deleted.",
            "kamld fsck tells what is affected.",
        ) from None


def _is_elsewhere(repository: Repository, footer: Footer, without: AbstractSet[bytes]) -> bool:
    ids = np.ascontiguousarray(footer.ids).reshape(-1).view("V32")
    return bool(repository.index.has(ids, without, set()).all())
