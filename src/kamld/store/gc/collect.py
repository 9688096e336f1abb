"""The two phases. First what is garbage is *condemned*: from then on nobody who begins to write relies
on it. Later, when everybody who began before has ended, and a minimum age has passed, what is reached
all the same is copied elsewhere, and the condemned packs are deleted.

What is condemned is always a whole pack, so that everybody can tell by its name. Killed at any moment,
a collection leaves a hub that is whole; the next one goes on. One collects at a time.
"""

from collections.abc import Iterable, Iterator
from collections.abc import Set as AbstractSet
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta

import msgspec

from kamld import clock
from kamld.blobs import Blobs, Changed
from kamld.errors import Conflict
from kamld.records.history import Condemned
from kamld.store import packs
from kamld.store.envelope import seal
from kamld.store.gc.copying import copy_out
from kamld.store.gc.garbage import AGE, look
from kamld.store.gc.marking import Marking, Progress, unheard
from kamld.store.gc.roots import Root, Since, find_roots, forgotten_datasets, since
from kamld.store.gc.unlisted import whole_index
from kamld.store.leases import COLLECTING, CONDEMNED, READING, REPAIRING, Held, condemned
from kamld.store.objects.holes import check_no_purge
from kamld.store.refs.seen import begin_round, check_refs, forget_refs, note_refs
from kamld.store.repository import Repository

_ROUNDS = 3  # in which what was named meanwhile is marked too


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


def collect(
    repository: Repository, keep_days: int, age: timedelta = AGE, drafts: AbstractSet[Root] = frozenset(),
    progress: Progress = unheard,
) -> Collected:  # fmt: skip
    """Delete what was condemned, if it is time; else, or then, condemn what is garbage now.

    Raises Conflict (collecting) where somebody else does it at the same moment, SystemFault.
    """
    repository.hub.check_deleting("kamld gc")
    with _alone(repository) as lease:
        check_refs(repository.blobs, repository.names)
        begin_round(repository.blobs)
        record, _ = condemned(repository.blobs)
        done = Collected()
        if record.since:
            before, record = record, _waiting(repository)
            if record.since != before.since:
                raise _collecting()
            due = clock.text(clock.moment(record.since) + age)
            if record.waits_for or clock.now() < due:
                leases = repository.leases.all()
                holders = tuple(leases[one].what for one in record.waits_for or () if one in leases)
                return Collected(condemned=len(record.packs), since=record.since, waits_for=holders)
            done = _delete(repository, lease, record, since(keep_days, age, deleting=True), drafts, progress)
        garbage = look(repository, keep_days, age, drafts, progress)
        names = garbage.sparse
        if not names:
            return done
        note_refs(repository.blobs)
        now = _condemn(repository, names)
        return replace(done, condemned=len(names), condemned_bytes=garbage.bytes, since=now)


@contextmanager
def _alone(repository: Repository) -> Iterator[Held]:
    """Who finds another at it leaves it to that one; two that begin at once may both."""
    with repository.leases.take(COLLECTING) as lease:
        others = [one for one in repository.leases.all().items() if one[0] != lease.id]
        if any(other.what == COLLECTING for _, other in others):
            raise _collecting()
        if any(other.what == REPAIRING for _, other in others):
            raise Conflict("repairing", "Somebody repairs this hub at the moment.", "Try again later.")
        check_no_purge(repository.blobs)
        yield lease


def _collecting() -> Conflict:
    return Conflict(
        "collecting", "Somebody else gives room back in this hub at the moment.", "Try again later."
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
    others = repository.leases.all().items()
    leases = {name for name, lease in others if lease.what not in (COLLECTING, READING)}
    waits_for = tuple(
        one for one in sorted(leases) if record.waits_for is None or one in record.waits_for
    )  # fmt: skip
    now = msgspec.structs.replace(record, waits_for=waits_for)
    if now != record:
        _swap(repository.blobs, data, now)
    return now


def _delete(
    repository: Repository, lease: Held, record: Condemned, after: Since, drafts: AbstractSet[Root],
    progress: Progress,
) -> Collected:  # fmt: skip
    forgotten = tuple(_forget(repository, after))
    for dataset in repository.names.all():
        repository.refs.sweep(dataset)
    found = whole_index(repository, record.unusable)
    marking, copied = Marking(repository, found, progress), 0
    listed = {name for segment in found.segments for name in segment.packs} | found.redundant
    names = {bytes.fromhex(name) for name in record.packs} & listed
    roots, before = find_roots(repository, after, drafts), set[Root]()
    for _ in range(_ROUNDS):  # whoever names anything by now has looked whether it is kept; to look is cheap
        marking.mark(roots - before)
        copied += copy_out(repository, marking, names, record.unusable)
        before, roots = roots, find_roots(repository, after, drafts)
        if roots <= before:
            break
    repository.index.without(names, found.segments, found.there.keys())
    sizes = {name: found.there[name] for name in sorted(names) if name in found.there}
    for name in sizes:
        if lease.lost:
            raise _collecting()  # others may have taken us for gone
        repository.blobs.delete(packs.key(name))
    present, data = condemned(repository.blobs)
    if present.since != record.since:
        raise _collecting()
    _swap(repository.blobs, data, Condemned(gone=present.packs, gone_before=present.gone))
    return Collected(len(sizes), sum(sizes.values()), copied, forgotten)


def _forget(repository: Repository, after: Since) -> Iterable[str]:
    for removed in forgotten_datasets(repository, after):
        dataset, before = removed.dataset, removed.forgotten
        if repository.names.forget(removed):  # else: somebody has it back
            refs = [one.key for one in repository.blobs.list(f"refs/{dataset.id}/")]
            forget_refs(repository.blobs, dataset.id)
            for room in ("refs", "log", "merges"):
                for listed in list(repository.blobs.list(f"{room}/{dataset.id}/")):
                    repository.blobs.delete(listed.key)
            if refs:
                yield f"{dataset.project}/{dataset.name}"
            elif before:  # by an earlier collection: nobody is about to bring it back any more
                repository.names.forgotten(removed)


def _swap(blobs: Blobs, expected: bytes | None, to: Condemned) -> None:
    try:
        blobs.swap(CONDEMNED, expected, seal(to))
    except Changed as now:
        if now.value != seal(to):
            raise _collecting() from None
