"""Leases: who is writing to a hub at the moment, or relies on what no ref names.

A lease is a small record `leases/<id>.json`. On its holder's machine it counts for as long as that
process lives; elsewhere until it runs out, so its holder renews it. It is seen by all at once, but
need not outlive the machine, for neither does its holder. Whoever forgets to end one ends it by
forgetting the `Held` too.
"""

import os
import socket
import weakref
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cache
from threading import Event, Lock, RLock, Thread

from kamld import clock, ids
from kamld.blobs import Blobs, Missing
from kamld.errors import KamldError, SystemFault
from kamld.processes import no_harm
from kamld.records.history import Condemned, Lease
from kamld.store.envelope import seal, unseal

PREFIX = "leases/"
CONDEMNED = "gc/condemned.json"
COLLECTING, REPAIRING = "collection", "repair"  # what the leases of those say who do that
READING = "mount"  # a lease of who reads its commits and relies on nothing else: nobody waits for it
SECONDS = 600.0  # that a lease lasts beyond its last renewal
_GRACE = timedelta(minutes=5)  # by which the clocks of two machines may differ
_RENEWALS = 5  # while it lasts
_renewal = Lock()  # held meanwhile, so that no process forks in the middle of one
os.register_at_fork(
    before=_renewal.acquire, after_in_parent=_renewal.release, after_in_child=_renewal.release
)


@dataclass(eq=False)
class Held:
    """A lease of this process. It ends with this object at the latest."""

    id: str
    what: str
    seconds: float
    commits: tuple[str, ...] = ()  # pinned, with all that came before
    trees: tuple[str, ...] = ()  # pinned too, as are
    objects: tuple[str, ...] = ()
    until: str = ""
    waiting: set[str] = field(default_factory=set)  # versions that are to land under it
    let_go: "weakref.finalize[..., Held] | None" = field(default=None, repr=False)

    @property
    def lost(self) -> bool:
        """Whether it has run out, as when the machine slept: others may have taken it for gone."""
        return clock.now() > self.until


class Leases:
    def __init__(self, blobs: Blobs) -> None:
        self._blobs = blobs
        self._held: dict[str, weakref.ref[Held]] = {}
        self._lock = RLock()  # a lease may be forgotten, and so end, wherever Python tidies up
        self._wake = Event()  # something was begun, or all has ended
        self._renewing = 0  # the process that does

    @contextmanager
    def take(
        self, what: str, commits: tuple[str, ...] = (), seconds: float = SECONDS, *,
        trees: tuple[str, ...] = (), objects: tuple[str, ...] = (),
    ) -> Iterator[Held]:  # fmt: skip
        """While this is open, nothing is deleted that anybody could rely on who begins now, nor what
        these need, if that was kept until now."""
        held = self.begin(what, commits, seconds, trees=trees, objects=objects)
        try:
            yield held
        finally:
            self.end(held)

    def begin(
        self, what: str, commits: tuple[str, ...] = (), seconds: float = SECONDS, *,
        trees: tuple[str, ...] = (), objects: tuple[str, ...] = (),
    ) -> Held:  # fmt: skip
        """As `take`, until `end`, or until nobody has the `Held` any more."""
        held = Held(ids.new_id(), what, seconds, commits, trees, objects)
        try:
            self._post(held)
        except KamldError:
            with suppress(KamldError):  # it may be there all the same, for as long as this process lives
                self._blobs.delete(_key(held.id))
            raise
        held.let_go = weakref.finalize(held, _forget, self, held.id, os.getpid())
        with self._lock:
            self._held[held.id] = weakref.ref(held)
            start, self._renewing = self._renewing != os.getpid(), os.getpid()
        if start:
            thread = Thread(target=self._renew, daemon=True, name="hub-leases")
            no_harm(thread)
            thread.start()
        elif seconds < SECONDS:
            self._wake.set()
        return held

    def end(self, held: Held) -> None:
        if held.let_go and (ended := held.let_go.detach()) and ended[2][2] == os.getpid():  # no fork's
            self._let_go(held.id)

    def _let_go(self, identifier: str) -> None:
        with self._lock:
            self._held.pop(identifier, None)
            if not self._held:
                self._wake.set()
            with suppress(KamldError):  # then it runs out
                self._blobs.delete(_key(identifier))

    def all(self) -> dict[str, Lease]:
        """Those that count, by id; the others are removed."""
        found = {}
        for listed in self._blobs.list(PREFIX):
            with suppress(Missing):
                data = self._blobs.get(listed.key)
                lease = unseal(data, Lease, listed.key) if data.startswith(b"{") else None
                if lease and _counts(lease):  # what is empty or zeros went down with its machine
                    found[listed.key.removeprefix(PREFIX).removesuffix(".json")] = lease
                else:
                    self._blobs.delete(listed.key)
        return found

    def _post(self, held: Held) -> None:
        held.until = clock.text(clock.moment(clock.now()) + timedelta(seconds=held.seconds))
        pid = os.getpid()
        lease = Lease(
            what=held.what, until=held.until, host=_host(), pid=pid, started=_own_start(pid),
            commits=held.commits, trees=held.trees, objects=held.objects,
        )  # fmt: skip
        self._blobs.post(_key(held.id), seal(lease))

    def _renew(self) -> None:
        shortest = SECONDS
        while True:
            self._wake.wait(shortest / _RENEWALS)
            self._wake.clear()
            with _renewal, self._lock:
                present = [held for ref in self._held.values() if (held := ref())]
                if not present:
                    self._renewing = 0
                    return
                for held in present:
                    with suppress(SystemFault):  # a full disk: it may have room before the lease runs out
                        if not held.lost:  # who lost it must learn that
                            self._post(held)
                shortest = min(held.seconds for held in present)
                del held, present  # here, so that none lives longer for having been renewed


def _forget(leases: Leases, identifier: str, process: int) -> None:
    """The end of a lease that nobody ended; not in a fork of its holder."""
    if process == os.getpid():
        with suppress(BaseException):  # there is nobody whom it could be told
            leases._let_go(identifier)


def condemned(blobs: Blobs) -> tuple[Condemned, bytes | None]:
    """What is about to be deleted, as a record and as it is kept."""
    try:
        data = blobs.get(CONDEMNED)
    except Missing:
        return Condemned(), None
    return unseal(data, Condemned, CONDEMNED), data


def _counts(lease: Lease) -> bool:
    """For a process of this machine, whether it lives; for others their time must do."""
    if lease.host == _host() and lease.started:
        return _started(lease.pid) == lease.started
    return clock.moment(lease.until) + _GRACE >= clock.moment(clock.now())


def _started(pid: int) -> str:
    """What tells a process from a later one of the same number; "" where it is gone, or nobody says."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
            state, *rest = file.read().rpartition(")")[2].split()
            return "" if state in "ZX" else rest[18]
    except (OSError, ValueError, IndexError):
        return ""


@cache
def _own_start(process: int) -> str:
    return _started(process)


@cache
def _host() -> str:
    """This machine since it was started; a container has numbers of its own for its processes."""
    with suppress(OSError), open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
        return f"{file.read().strip()} {os.readlink('/proc/self/ns/pid')}"
    return socket.gethostname()


def _key(identifier: str) -> str:
    return f"{PREFIX}{identifier}.json"
