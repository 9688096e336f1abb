"""What content is made of, which of that nothing else needs, and the packs that have it."""

from collections.abc import Iterable, Iterator
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kamld.blobs import Blobs, Missing
from kamld.errors import KamldError, SystemFault
from kamld.store import packs
from kamld.store.fsck.verify import footer_of
from kamld.store.objects import places, recipes
from kamld.store.packs import Footer
from kamld.store.repository import Repository


@dataclass(frozen=True, slots=True)
class Parts:
    """`first` goes first: content that is kept whole, chunks, places. `lists` says which chunks there are,
    so it goes when they are gone, and a purge that was killed finds them. `shared` stays."""

    first: frozenset[bytes]
    lists: frozenset[bytes]
    shared: frozenset[bytes]  # chunks that other content has too

    @property
    def all(self) -> frozenset[bytes]:
        return self.first | self.lists


def chunks_of(blobs: Blobs, ids: AbstractSet[bytes]) -> dict[bytes, set[bytes]]:
    """What each content is made of: the chunks of every list of them, the records of its places. Also in
    packs that no index knows, as of a commit that was killed."""
    keys = {places.key_of(one, number): one for one in ids for number in range(places.PLACES_MAX)}
    wanted = keys.keys() | ids
    known = np.frombuffer(b"".join(identifier[:8] for identifier in wanted), "<u8")
    found: dict[bytes, set[bytes]] = {identifier: set() for identifier in ids}
    for name, footer in listed(blobs):
        for row in rows_of(footer, wanted, known).tolist():
            identifier, codec = footer.ids[row].tobytes(), int(footer.codecs[row])
            if identifier in keys:
                found[keys[identifier]].add(identifier)
            elif codec & packs.RECIPE and not codec & places.PLACE:
                found[identifier] |= set(_chunks(blobs, name, footer, row))
    return found


def _chunks(blobs: Blobs, name: bytes, footer: Footer, row: int) -> list[bytes]:
    """On the list in this row; none where that pack was rewritten meanwhile, or is damaged there."""
    start, length = int(footer.offsets[row]), int(footer.stored[row])
    try:
        stored = blobs.part(packs.key(name), start, length)
        chunks = recipes.chunk_ids(stored, int(footer.raw[row]), footer.ids[row].tobytes())
    except (Missing, SystemFault):
        return []
    table = np.ascontiguousarray(chunks).view(np.uint8).reshape(-1, 32)
    return [row.tobytes() for row in table]


def parts(blobs: Blobs, chunks: dict[bytes, set[bytes]], entries: AbstractSet[bytes]) -> Parts:
    """`entries`: those of the chunks that are files themselves, which were not asked for."""
    ids = frozenset(chunks)
    mine = {chunk for some in chunks.values() for chunk in some}
    shared = used_by_others(blobs, ids, mine | ids) | (entries - ids)
    lists = frozenset(identifier for identifier, some in chunks.items() if some) - shared
    return Parts(frozenset((mine | ids) - shared - lists), lists, frozenset(shared))


def used_by_others(blobs: Blobs, ids: AbstractSet[bytes], wanted: set[bytes]) -> set[bytes]:
    """Which of these objects are chunks of large objects other than `ids`, needed or not."""
    found: set[bytes] = set()
    for name, footer in listed(blobs):
        rows = np.flatnonzero((footer.codecs & packs.RECIPE != 0) & (footer.codecs & places.PLACE == 0))
        for row in rows.tolist():
            if footer.ids[row].tobytes() not in ids:
                found |= wanted.intersection(_chunks(blobs, name, footer, row))
    return found


def left_at(repository: Repository, ids: Iterable[bytes]) -> tuple[str, ...]:
    """The addresses at which the contents were left, which are not the hub's to remove; whether they are
    still there is not asked, for it may be another machine's disk."""
    wanted = sorted(ids)
    keys = [key for some in places.left(repository.index, wanted) for key in some]
    found = set()
    for key in keys:
        try:
            found.add(places.decode(repository.objects.stored(key)[1], key)[0].address)
        except KamldError:  # it is damaged: nobody can say where that was
            continue
    return tuple(sorted(found))


def listed(blobs: Blobs) -> Iterator[tuple[bytes, Footer]]:
    """Every pack that is there, with what is in it: also those that no index knows.

    Raises SystemFault (damaged_pack) for one of which nobody knows what is in it."""
    for one in list(blobs.list("packs/")):
        name = packs.name_of(one.key)
        if name:
            try:
                footer = footer_of(blobs, name, one.size)
            except Missing:
                continue
            if footer is None:
                raise SystemFault(
                    "damaged_pack",
                    f"{one.key} is damaged, so nobody can say what is in it. Nothing was removed from it.",
                    "kamld fsck --repair, then purge again.",
                )
            yield name, footer


def having(blobs: Blobs, ids: AbstractSet[bytes]) -> dict[bytes, int]:
    """Packs that have any of these, and how many stored bytes of them."""
    if not ids:
        return {}
    known = np.frombuffer(b"".join(identifier[:8] for identifier in ids), "<u8")
    found: dict[bytes, int] = {}
    for name, footer in listed(blobs):
        rows = rows_of(footer, ids, known)
        if len(rows):
            found[name] = int(footer.stored[rows].sum())
    return found


def rows_of(footer: Footer, ids: AbstractSet[bytes], known: NDArray[np.uint64]) -> NDArray[np.int64]:
    """Rows of a pack that have any of the ids; `known` are the first 8 bytes of each."""
    if not len(footer.codecs):
        return np.zeros(0, np.int64)
    first = np.ascontiguousarray(footer.ids[:, :8]).view("<u8").reshape(-1)
    maybe = np.flatnonzero(np.isin(first, known)).tolist()
    return np.array([row for row in maybe if footer.ids[row].tobytes() in ids], np.int64)
