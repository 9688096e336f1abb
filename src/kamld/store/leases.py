"""Leases: who is writing to a hub at the moment, or reads what no ref names.

A lease is a small record `leases/<id>.json`. Its holder renews it; when its holder is gone it runs
out. It is seen by all at once, but need not outlive the machine, for neither does its holder.
"""

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from threading import Event, Lock, Thread

from kamld import clock, ids
from kamld.blobs import Blobs, Missing
from kamld.errors import SystemFault
from kamld.records.history import Condemned, Lease
from kamld.store.envelope import seal, unseal

PREFIX = "leases/"
CONDEMNED = "gc/condemned.json"
SECONDS = 600.0  # that a lease lasts beyond its last renewal
_RENEWALS = 5  # while it lasts


@dataclass(slots=True)
class Held:
    """A lease of this process."""

    id: str
    what: str
    commits: tuple[str, ...]
    seconds: float
    until: str = ""

    @property
    def lost(self) -> bool:
        """Whether it has run out, as when the machine slept: others may have taken it for gone."""
        return clock.now() > self.until


class Leases:
    def __init__(self, blobs: Blobs) -> None:
        self._blobs = blobs
        self._held: dict[str, Held] = {}
        self._lock = Lock()
        self._wake = Event()  # something was begun, or all has ended
        self._renewing = False

    @contextmanager
    def take(self, what: str, commits: tuple[str, ...] = (), seconds: float = SECONDS) -> Iterator[Held]:
        """While this is open, nothing is deleted that anybody could rely on who begins now, nor what
        these commits need."""
        held = self.begin(what, commits, seconds)
        try:
            yield held
        finally:
            self.end(held)

    def begin(self, what: str, commits: tuple[str, ...] = (), seconds: float = SECONDS) -> Held:
        held = Held(ids.new_id(), what, commits, seconds)
        self._post(held)
        with self._lock:
            self._held[held.id] = held
            start, self._renewing = not self._renewing, True
        if start:
            Thread(target=self._renew, daemon=True, name="hub-leases").start()
        elif seconds < SECONDS:
            self._wake.set()
        return held

    def end(self, held: Held) -> None:
        with self._lock:
            self._held.pop(held.id, None)
            self._blobs.delete(_key(held.id))
            if not self._held:
                self._wake.set()

    def all(self) -> dict[str, Lease]:
        """Those that have not run out, by id; the others are removed."""
        found = {}
        for listed in self._blobs.list(PREFIX):
            with suppress(Missing):
                lease = unseal(self._blobs.get(listed.key), Lease, listed.key)
                if lease.until < clock.now() or _is_dead(lease):
                    self._blobs.delete(listed.key)
                else:
                    found[listed.key.removeprefix(PREFIX).removesuffix(".json")] = lease
        return found

    def _post(self, held: Held) -> None:
        held.until = clock.text(clock.moment(clock.now()) + timedelta(seconds=held.seconds))
        lease = Lease(
            what=held.what, until=held.until, host=_host(), pid=os.getpid(), commits=held.commits
        )  # fmt: skip
        self._blobs.post(_key(held.id), seal(lease))

    def _renew(self) -> None:
        shortest = SECONDS
        while True:
            self._wake.wait(shortest / _RENEWALS)
            self._wake.clear()
            with self._lock:
                if not self._held:
                    self._renewing = False
                    return
                for held in self._held.values():
                    with suppress(SystemFault):  # a full disk: it may have room before the lease runs out
                        if not held.lost:  # who lost it must learn that
                            self._post(held)
                shortest = min(held.seconds for held in self._held.values())


def condemned(blobs: Blobs) -> tuple[Condemned, bytes | None]:
    """What is about to be deleted, as a record and as it is kept."""
    try:
        data = blobs.get(CONDEMNED)
    except Missing:
        return Condemned(), None
    return unseal(data, Condemned, CONDEMNED), data


def _is_dead(lease: Lease) -> bool:
    """Whether its holder was a process of this machine that is gone."""
    if lease.host != _host():
        return False
    try:
        os.kill(lease.pid, 0)
    except ProcessLookupError:
        return True
    except OSError:
        return False
    return False


@cache
def _host() -> str:
    """This machine since it was started; a container has numbers of its own for its processes."""
    with suppress(OSError), open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
        return f"{file.read().strip()} {os.readlink('/proc/self/ns/pid')}"
    return socket.gethostname()


def _key(identifier: str) -> str:
    return f"{PREFIX}{identifier}.json"
