"""Holes: what was purged, and what follows from it for readers and writers. It purges nothing itself.

A hole is a sealed record `holes/<id>.json`. It is written before the first byte goes and is never
removed: reading the content later is answered by it, and so is committing it again.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from functools import cached_property

import msgspec
import numpy as np
from numpy.typing import NDArray

from kamld import clock
from kamld.blobs import Blobs, Changed, Missing
from kamld.errors import Conflict, NotFound
from kamld.records.holes import Hole, Purging
from kamld.store.envelope import seal, unseal

PREFIX = "holes/"
PURGING = "holes/purging.json"
_KEY = re.compile(r"holes/([0-9a-f]{64})\.json")


class Holes:
    def __init__(self, blobs: Blobs) -> None:
        self._blobs = blobs

    def listed(self) -> frozenset[bytes]:
        """Ids of all content that was purged, or is being purged."""
        keys = (_KEY.fullmatch(listed.key) for listed in self._blobs.list(PREFIX))
        return frozenset(bytes.fromhex(key[1]) for key in keys if key)

    def gone(self, known: AbstractSet[bytes]) -> frozenset[bytes]:
        """Ids of all content of which nothing is left; `known` are of these."""
        new = (self.find(identifier) for identifier in self.listed() - known)
        return frozenset(known | {bytes.fromhex(hole.id) for hole in new if hole and hole.done})

    def find(self, identifier: bytes) -> Hole | None:
        """Raises SystemFault (damaged_record)."""
        try:
            return unseal(self._blobs.get(key(identifier)), Hole, key(identifier))
        except Missing:
            return None

    def all(self) -> list[Hole]:
        found = [self.find(identifier) for identifier in sorted(self.listed())]
        return [hole for hole in found if hole]

    def make(self, hole: Hole) -> Hole:
        """The hole, begun: this one, or the one that is there already."""
        where = key(bytes.fromhex(hole.id))
        try:
            self._blobs.swap(where, None, seal(hole))
        except Changed as now:
            return unseal(now.value or b"", Hole, where)
        return hole

    def change(self, before: Hole, after: Hole) -> None:
        """Nothing where somebody else has changed it, for they can only have done the same."""
        where = key(bytes.fromhex(before.id))
        try:
            self._blobs.swap(where, self._blobs.get(where), seal(after))
        except (Changed, Missing):
            return

    def purging(self) -> tuple[Purging, bytes | None]:
        """What is being purged, as a record and as it is kept."""
        try:
            data = self._blobs.get(PURGING)
        except Missing:
            return Purging(), None
        return unseal(data, Purging, PURGING), data


@dataclass(frozen=True)
class Guard:
    """What a writer knows of holes: those that there were when it began. Made once it holds a lease."""

    ids: AbstractSet[bytes] = frozenset()  # of what was purged, or is being purged
    parts: AbstractSet[bytes] = frozenset()  # chunks of what is being purged: they may vanish
    is_purging: bool = False
    _holes: Holes | None = field(default=None, repr=False)

    @cached_property
    def _sizes(self) -> frozenset[int]:
        found = map(self._holes.find, self.ids) if self._holes else ()
        return frozenset(hole.size for hole in found if hole)

    def may_be(self, size: int) -> bool:
        """Whether content of this size may have been purged, so that it is worth hashing first."""
        return bool(self.ids) and size in self._sizes

    def check(self, identifier: bytes, path: bytes | str = "") -> None:
        """Raises Conflict (purged_content) for content that was purged."""
        if identifier in self.ids and self._holes and (hole := self._holes.find(identifier)):
            raise refused(hole, path)

    def check_each(self, ids: Sequence[bytes], paths: Sequence[bytes | str]) -> None:
        if not self.ids.isdisjoint(ids):
            for identifier, path in zip(ids, paths, strict=True):
                self.check(identifier, path)

    def check_all(self, ids: NDArray[np.uint8], paths: Sequence[bytes]) -> None:
        """The same for the files of a folder, also those that nobody had to read again."""
        if self.ids:
            known = np.frombuffer(b"".join(identifier[:8] for identifier in self.ids), "<u8")
            first = np.ascontiguousarray(ids[:, :8]).view("<u8").reshape(-1)
            for row in np.flatnonzero(np.isin(first, known)).tolist():
                self.check(ids[row].tobytes(), paths[row])

    def check_again(self, written: Iterable[bytes]) -> None:
        """For a writer that nobody has waited for, with what it has put into packs. Raises Conflict
        (purged_content) where that was purged meanwhile; the purge is open again then, for the bytes are."""
        new = self._holes.listed() - self.ids if self._holes else frozenset()
        for identifier in new.intersection(written) if new else ():
            hole = self._holes.find(identifier) if self._holes else None
            if hole and self._holes:
                self._holes.change(hole, msgspec.structs.replace(hole, done=""))
                raise refused(hole)


def guard(blobs: Blobs, chunks: Callable[[bytes], Iterable[tuple[bytes, int]]]) -> Guard:
    """`chunks`: those that an object is kept as; none where it is gone."""
    holes = Holes(blobs)
    ids = holes.listed()
    purging = holes.purging()[0] if ids else Purging()
    now = [bytes.fromhex(one) for one in purging.ids]
    parts = {chunk for one in now for chunk, _ in chunks(one)}
    return Guard(ids, parts, bool(now), holes)


def check_no_purge(blobs: Blobs) -> None:
    """For who copies objects as they are, once others can see their lease. Raises Conflict (purging)."""
    if Holes(blobs).purging()[0].ids:
        raise Conflict(
            "purging",
            "A purge goes on in this hub, or was stopped.",
            "Try again later; kamld purge --finish ends one that was stopped.",
        )


def key(identifier: bytes) -> str:
    return f"{PREFIX}{identifier.hex()}.json"


def purged(hole: Hole) -> NotFound:
    """For who asks for content that was purged."""
    return NotFound(
        "purged_file",
        f"{_named(hole)} was purged by {hole.author} on {_day(hole)}: {_sentence(hole.reason)}",
        "Its content cannot be had back from this hub; all other files of the version can.",
    )


def refused(hole: Hole, path: bytes | str = "") -> Conflict:
    shown = (path if isinstance(path, str) else path.decode("utf-8", "backslashreplace")) or _named(hole)
    return Conflict(
        "purged_content",
        f"{shown} has content that {hole.author} purged on {_day(hole)}: {_sentence(hole.reason)}"
        " Nothing was changed.",
        "Remove the file, or name it in .kamldignore.",
    )


def _day(hole: Hole) -> str:
    return clock.local(hole.time)[:10]


def _named(hole: Hole) -> str:
    if not hole.files:
        return f"Content {hole.id[:12]}"
    first = hole.files[0]
    return f"{first.project}/{first.name}:{first.path}"


def _sentence(text: str) -> str:
    return text if text.endswith((".", "!", "?")) else f"{text}."
