"""Taking content out of the packs, beside others who read and write.

First it is published (`holes/…`, then `holes/purging.json`): who begins to write from then on refuses this
content and relies on none of its chunks. Who began before is waited for, by their leases; then everything
that needs any of the chunks is in the hub, and can be found. Packs that have what nothing else needs are
written anew without it, and deleted.

Killed at any moment it leaves a hub that is whole but for the content itself; the next one, or `finish`,
goes on. The list of a file's chunks goes last, so that they are found again.
"""

import time
from collections.abc import Callable, Collection, Iterator
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace

import msgspec
import numpy as np

from kamld import clock
from kamld.blobs import Blobs, Changed
from kamld.errors import Conflict
from kamld.records.holes import Hole, PurgedFile, Purging
from kamld.store import packs
from kamld.store.envelope import seal
from kamld.store.fsck.mending.keeping import Keeper
from kamld.store.fsck.mending.restore import DAMAGED
from kamld.store.leases import COLLECTING, REPAIRING, condemned
from kamld.store.objects.holes import PURGING, Holes
from kamld.store.purge.content import Parts, chunks_of, having, left_at, listed, parts, rows_of
from kamld.store.purge.touched import Touched, find
from kamld.store.repository import Repository

PATIENCE_S = 60.0  # for which those are waited for who write at the moment
_PURGE = "purge"  # what its lease says
_WRITERS = {"writer", REPAIRING, COLLECTING}  # whose leases are waited for
_POLL_S = 0.05
_ROUNDS = 20
_SHOWN = 100  # places that a hole names

Told = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Weight:
    """What a purge removes, and what of the content stays because other content has it too."""

    bytes: int  # as stored
    packs: int
    shared: int  # parts that stay
    elsewhere: tuple[str, ...] = ()  # addresses at which it was left, and stays


@dataclass(frozen=True, slots=True)
class Purged:
    holes: tuple[Hole, ...]
    bytes: int
    packs: int  # that were written anew
    shared: int
    elsewhere: tuple[str, ...] = ()  # as of `Weight`


def weigh(repository: Repository, ids: Collection[bytes]) -> Weight:
    """What `purge` would remove now. Changes nothing."""
    found = _parts(repository, ids)
    there = having(repository.blobs, found.all)
    return Weight(sum(there.values()), len(there), len(found.shared), left_at(repository, ids))


def unfinished(repository: Repository) -> list[bytes]:
    """Content whose purge was begun and has not come to its end."""
    holes = Holes(repository.blobs)
    begun = {bytes.fromhex(hole.id) for hole in holes.all() if not hole.done}
    return sorted(begun | {bytes.fromhex(one) for one in holes.purging()[0].ids})


def purge(
    repository: Repository, contents: dict[bytes, int], touched: Touched, *,
    author: str, reason: str, patience: float = PATIENCE_S, told: Told = lambda _: None,
) -> Purged:  # fmt: skip
    """Remove these contents (ids and sizes) for good; durable when it returns.

    Raises Conflict (older_hub; purging, where somebody else does it at the moment; hub_in_use, where
    somebody writes for longer than `patience`: then it is begun, and `finish` ends it).
    """
    repository.hub.check_deleting("kamld purge")
    holes = Holes(repository.blobs)
    for identifier, size in sorted(contents.items()):
        hole = Hole(
            id=identifier.hex(), size=size, time=clock.now(), author=author, reason=reason,
            files=tuple(_files(touched, identifier))[:_SHOWN],
        )  # fmt: skip
        holes.make(hole)
    return _finish(repository, list(contents), author, patience, told)


def _files(touched: Touched, identifier: bytes) -> Iterator[PurgedFile]:
    for place in touched.places:
        if place.dataset and identifier in place.ids:
            path = place.path.decode("utf-8", "backslashreplace")
            project, name = place.dataset.project, place.dataset.name
            yield PurgedFile(project=project, name=name, path=path, versions=len(place.versions))


def finish(
    repository: Repository, *, author: str, patience: float = PATIENCE_S, told: Told = lambda _: None
) -> Purged:
    """Bring to their end all purges that were begun. Raises as `purge`."""
    repository.hub.check_deleting("kamld purge")
    return _finish(repository, [], author, patience, told)


def _finish(
    repository: Repository, more: Collection[bytes], author: str, patience: float, told: Told
) -> Purged:  # fmt: skip
    with repository.leases.take(_PURGE) as lease:
        others = [one for one in repository.leases.all().items() if one[0] != lease.id]
        if any(other.what == _PURGE for _, other in others):
            raise _purging()
        ids = sorted({*unfinished(repository), *more})
        if not ids:
            return Purged((), 0, 0, 0)
        old = {name for name, _ in listed(repository.blobs)}  # by those who are waited for, or were
        _publish(
            repository.blobs, Purging(ids=tuple(one.hex() for one in ids), since=clock.now(), author=author)
        )
        _wait(repository, patience, told)
        repository.index.refresh()
        elsewhere = left_at(repository, ids)  # now, for the records of that go too
        done = _remove(repository, frozenset(ids), old, patience, told)
        _publish(repository.blobs, Purging())
    return replace(done, elsewhere=elsewhere)


def _publish(blobs: Blobs, record: Purging) -> None:
    _, data = Holes(blobs).purging()
    try:
        blobs.swap(PURGING, data, seal(record))
    except Changed as now:
        if now.value != seal(record):
            raise _purging() from None


def _wait(repository: Repository, patience: float, told: Told) -> None:
    """Until nobody writes any more who does so now. Raises Conflict (hub_in_use)."""
    before, end = _writers(repository), time.monotonic() + patience
    if before:
        told("Waiting for those who write at the moment")
    while before:
        if time.monotonic() > end:
            raise Conflict(
                "hub_in_use",
                "Somebody writes to the hub for a long time. The content is refused from now on, and not"
                " removed yet.",
                "When they have ended: kamld purge --finish",
            )
        time.sleep(_POLL_S)
        before &= _writers(repository)


def _writers(repository: Repository) -> set[str]:
    return {name for name, lease in repository.leases.all().items() if lease.what in _WRITERS}


def _remove(
    repository: Repository, ids: AbstractSet[bytes], old: AbstractSet[bytes], patience: float, told: Told
) -> Purged:
    """`old`: packs in which nobody who writes now has put what they are about to need."""
    blobs, size, count = repository.blobs, 0, 0
    shared: frozenset[bytes] = frozenset()
    for _ in range(_ROUNDS):
        repository.index.refresh()
        found = _parts(repository, ids)
        shared |= found.shared
        there = having(blobs, found.all)
        if not there:
            break
        fresh = having(blobs, found.first - ids).keys() - old
        if fresh:
            _wait(repository, patience, told)
            old = old | fresh
            continue
        size, count = size + sum(there.values()), count + len(there)
        _without(repository, found.first - ids, old)
        _without(repository, found.first & ids)
        _without(repository, found.lists)
    for one in list(blobs.list(DAMAGED)):  # what repairs took away may have it too
        blobs.delete(one.key)
    return Purged(tuple(_done(blobs, ids)), size, count, len(shared))


def _parts(repository: Repository, ids: Collection[bytes]) -> Parts:
    chunks = chunks_of(repository.blobs, frozenset(ids))
    mine = {chunk for some in chunks.values() for chunk in some}
    entries = find(repository, mine).entries if mine else set()
    return parts(repository.blobs, chunks, entries)


def _without(
    repository: Repository, gone: AbstractSet[bytes], within: AbstractSet[bytes] | None = None
) -> None:
    """Write the packs that have any of these anew without them; None: all packs."""
    blobs = repository.blobs
    names = {name for name in having(blobs, gone) if within is None or name in within}
    if not names:
        return
    keeper = Keeper(blobs, condemned(blobs)[0].unusable | names)
    known = np.frombuffer(b"".join(identifier[:8] for identifier in gone), "<u8")
    for name, footer in listed(blobs):
        if name in names:
            keep = np.ones(len(footer.codecs), np.bool_)
            keep[rows_of(footer, gone, known)] = False
            for row in np.flatnonzero(keep).tolist():
                start, length = int(footer.offsets[row]), int(footer.stored[row])
                stored = blobs.part(packs.key(name), start, length)
                keeper.add(footer.ids[row].tobytes(), int(footer.codecs[row]), stored, int(footer.raw[row]))
    made = keeper.finish()
    if made:
        repository.index.add(made)
    repository.index.without(names)
    for name in names:
        blobs.delete(packs.key(name))


def _done(blobs: Blobs, ids: Collection[bytes]) -> list[Hole]:
    holes, found = Holes(blobs), []
    for identifier in ids:
        hole = holes.find(identifier)
        if hole:
            after = hole if hole.done else msgspec.structs.replace(hole, done=clock.now())
            holes.change(hole, after)
            found.append(after)
    return found


def _purging() -> Conflict:
    return Conflict("purging", "Somebody else purges in this hub at the moment.", "Try again later.")
