"""The two phases. First what is garbage is *condemned*: from then on nobody who begins to write relies
on it. Later, when everybody who began before has ended, and a minimum age has passed, what has been
reached all the same is copied elsewhere, and the condemned packs are deleted.

What is condemned is always a whole pack, so that everybody can tell by its name. Killed at any moment,
a collection leaves a hub that is whole; the next one goes on.
"""

from collections import defaultdict
from collections.abc import Iterable
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

import msgspec
import numpy as np

from kamld import clock
from kamld.blobs import Blobs, Changed
from kamld.errors import Conflict, SystemFault
from kamld.records.history import Condemned
from kamld.store import packs
from kamld.store.envelope import seal
from kamld.store.gc.marking import Marking
from kamld.store.gc.roots import Since, find_roots, forgotten_datasets, since
from kamld.store.index import as_ids
from kamld.store.leases import CONDEMNED, condemned
from kamld.store.packs import PackBuilder
from kamld.store.repository import Repository

AGE = timedelta(days=1)  # between the two phases
_SPARSE = 0.25  # share of a pack's bytes that is garbage; with less it stays as it is


@dataclass(slots=True)
class Pack:
    stored: int = 0  # bytes of its objects
    garbage: int = 0
    objects: int = 0  # that are garbage

    @property
    def is_sparse(self) -> bool:
        return self.garbage > 0 and self.garbage >= _SPARSE * self.stored


@dataclass(slots=True)
class Garbage:
    """What nothing leads to, by pack."""

    packs: dict[bytes, Pack] = field(default_factory=dict)

    @property
    def sparse(self) -> set[bytes]:
        return {name for name, pack in self.packs.items() if pack.is_sparse}

    @property
    def bytes(self) -> int:
        """That a collection would give back."""
        return sum(self.packs[name].garbage for name in self.sparse)

    @property
    def objects(self) -> int:
        return sum(self.packs[name].objects for name in self.sparse)


@dataclass(frozen=True, slots=True)
class Collected:
    """What a collection did. `deleted` packs had `freed` bytes, less what was copied out of them."""

    deleted: int = 0
    freed: int = 0
    copied: int = 0  # objects
    forgotten: tuple[str, ...] = ()  # removed datasets that cannot be had back from now on
    condemned: int = 0  # packs
    condemned_bytes: int = 0  # garbage in them
    since: str = ""  # of what is condemned now
    waits_for: tuple[str, ...] = ()  # what those do who began before it was condemned


def look(repository: Repository, keep_days: int, age: timedelta = AGE) -> Garbage:
    """What is garbage; changes nothing, but makes an index whole that is not.

    Raises SystemFault (damaged_pack, missing_object): then nothing may be deleted.
    """
    _make_index_whole(repository)
    listed = (packs.name_of(one.key) for one in repository.blobs.list("packs/"))
    there = {name for name in listed if name}
    marking = Marking(repository)
    marking.mark(find_roots(repository, since(keep_days, age)))
    return _garbage(marking, there)


def collect(repository: Repository, keep_days: int, age: timedelta = AGE) -> Collected:
    """Delete what was condemned, if it is time; else, or then, condemn what is garbage now.

    Raises Conflict (collecting) where somebody else does it at the same moment.
    """
    record, _ = condemned(repository.blobs)
    done = Collected()
    if record.since:
        record = _waiting(repository)
        due = clock.text(clock.moment(record.since) + age)
        if record.waits_for or clock.now() < due:
            leases = repository.leases.all()
            holders = tuple(leases[one].what for one in record.waits_for or () if one in leases)
            return Collected(condemned=len(record.packs), since=record.since, waits_for=holders)
        done = _delete(repository, record, since(keep_days, age))
    garbage = look(repository, keep_days, age)
    names = garbage.sparse
    if not names:
        return done
    now = _condemn(repository, names)
    return replace(done, condemned=len(names), condemned_bytes=garbage.bytes, since=now)


def _garbage(marking: Marking, there: AbstractSet[bytes]) -> Garbage:
    found: defaultdict[bytes, Pack] = defaultdict(Pack)
    for segment, live in zip(marking.segments, marking.live, strict=True):
        number, stored = segment.columns["pack"], segment.columns["stored"].astype(np.int64)
        count = len(segment.packs)
        total = np.bincount(number, stored, count).tolist()
        dead = np.bincount(number[~live], stored[~live], count).tolist()
        objects = np.bincount(number[~live], minlength=count).tolist()
        for at, name in enumerate(segment.packs):
            pack = found[name]
            pack.stored += int(total[at])
            pack.garbage += int(dead[at])
            pack.objects += objects[at]
    return Garbage({name: pack for name, pack in found.items() if name in there})


def _make_index_whole(repository: Repository) -> None:
    """What a lost segment lists would look like garbage, and so would all that it leads to. The packs
    of an interrupted commit are listed too from here on, and become garbage as any other."""
    repository.index.refresh()
    if repository.index.lacking():
        _, damaged = repository.rebuild_index()
        if damaged:
            raise SystemFault(
                "damaged_pack",
                f"{damaged[0]} is damaged, so nobody knows what is needed. Nothing was deleted.",
                "kamld fsck tells what is affected.",
            )  # fmt: skip


def _condemn(repository: Repository, names: AbstractSet[bytes]) -> str:
    """Publish it; who begins to write from here on knows. Then note who began before."""
    before, data = condemned(repository.blobs)
    listed = tuple(sorted(name.hex() for name in names))
    record = msgspec.structs.replace(before, since=clock.now(), packs=listed, waits_for=None)
    _swap(repository.blobs, data, record)
    _waiting(repository)
    return record.since


def _waiting(repository: Repository) -> Condemned:
    """The record, with those leases of the ones that it waits for that still count."""
    record, data = condemned(repository.blobs)
    leases = repository.leases.all()
    waits_for = tuple(one for one in leases if record.waits_for is None or one in record.waits_for)
    now = msgspec.structs.replace(record, waits_for=waits_for)
    if now != record:
        _swap(repository.blobs, data, now)
    return now


def _delete(repository: Repository, record: Condemned, after: Since) -> Collected:
    forgotten = tuple(_forget(repository, after))
    names = {bytes.fromhex(name) for name in record.packs}
    sizes = {
        name: listed.size
        for listed in repository.blobs.list("packs/")
        if (name := packs.name_of(listed.key)) in names and name
    }
    copied = 0
    _make_index_whole(repository)
    marking, done = Marking(repository), False
    roots = find_roots(repository, after)
    while not done:  # what somebody has named meanwhile is marked too
        marking.mark(roots)
        copied += _copy(repository, marking, names, record.unusable)
        now = find_roots(repository, after)
        done, roots = now <= roots, now
    repository.index.without(names)
    for name in sizes:
        repository.blobs.delete(packs.key(name))
    present, data = condemned(repository.blobs)
    _swap(repository.blobs, data, Condemned(gone=present.packs, gone_before=present.gone))
    return Collected(len(sizes), sum(sizes.values()), copied, forgotten)


def _forget(repository: Repository, after: Since) -> Iterable[str]:
    for removed in forgotten_datasets(repository, after):
        dataset = removed.dataset
        repository.names.forget(removed)
        if all(live.id != dataset.id for live in repository.names.all()):  # else: brought back just now
            for room in ("refs", "log"):
                for listed in list(repository.blobs.list(f"{room}/{dataset.id}/")):
                    repository.blobs.delete(listed.key)
            yield f"{dataset.project}/{dataset.name}"


def _copy(
    repository: Repository, marking: Marking, names: AbstractSet[bytes], unusable: AbstractSet[bytes]
) -> int:
    """Into new packs, what is needed of these and is nowhere else; durable when it returns."""
    blobs, builder, made = repository.blobs.batch(), PackBuilder(), []
    copies: set[bytes] = set()
    index = repository.index
    for segment, live in zip(marking.segments, marking.live, strict=True):
        mine = [at for at, name in enumerate(segment.packs) if name in names]
        rows = np.flatnonzero(live & np.isin(segment.columns["pack"], mine))
        columns = {name: column[rows] for name, column in segment.columns.items()}
        order = np.lexsort((columns["offset"], columns["pack"]))
        wanted = [_id(columns, at) for at in order.tolist()]
        elsewhere = index.has(as_ids(wanted), unusable | names).tolist() if wanted else []
        for at, identifier, has in zip(order.tolist(), wanted, elsewhere, strict=True):
            if has or identifier in copies:
                continue
            pack = blobs.view(packs.key(segment.packs[int(columns["pack"][at])]))
            start = int(columns["offset"][at])
            stored = bytes(pack[start : start + int(columns["stored"][at])])
            builder.add(identifier, int(columns["codec"][at]), stored, int(columns["raw"][at]))
            copies.add(identifier)
            if builder.size >= packs.TARGET:
                made.append(_put(blobs, builder, unusable | names))
                builder = PackBuilder()
    if builder.ids:
        made.append(_put(blobs, builder, unusable | names))
    blobs.flush()
    if made:
        index.add(made)
    return len(copies)


def _put(blobs: Blobs, builder: PackBuilder, avoid: AbstractSet[bytes]) -> tuple[bytes, packs.Footer]:
    name, parts, footer = packs.sealed(builder, avoid)
    blobs.put(packs.key(name), parts)
    return name, footer


def _id(columns: dict[str, Any], at: int) -> bytes:
    rest: bytes = columns["rest"][at].tobytes()
    return int(columns["prefix"][at]).to_bytes(8, "big") + rest


def _swap(blobs: Blobs, expected: bytes | None, to: Condemned) -> None:
    try:
        blobs.swap(CONDEMNED, expected, seal(to))
    except Changed as now:
        if now.value != seal(to):
            raise Conflict(
                "collecting", "Somebody else gives room back in this hub at the moment.", "Try again later."
            ) from None
