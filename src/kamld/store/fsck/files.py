"""Which files of which trees can be had. Pages that several trees share are read once."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np

from kamld.errors import SystemFault
from kamld.records.kinds import FOLDER
from kamld.store.fsck.left import Fault, Left, LeftFiles
from kamld.store.fsck.look import Look
from kamld.store.fsck.report import SHOWN
from kamld.store.fsck.verify import Prefixes, among, prefixes, prefixes_of
from kamld.store.objects import places
from kamld.store.trees import Page, decode_page, decode_tree


@dataclass(frozen=True, slots=True)
class Lost:
    """Of a tree or a page: files that cannot be had. `files` None: all, and nobody knows which. `unlisted`:
    of these, those of which only the list is lost, as far as anybody can tell."""

    files: int | None
    total: int | None
    paths: tuple[bytes, ...] = ()
    unlisted: int = 0


Fetch = Callable[[bytes], bytes | None]  # an object from elsewhere; None: it is not to be had there


class Files:
    """`needed`: prefixes of all that was asked for so far. `left`: files that are only left somewhere.
    `lost`: content that is not to be had, and how long it is (-1: not known). `faults`: why those that were
    left somewhere are not to be had.

    `fetch` brings commits, trees and pages that are lost here."""

    def __init__(
        self, look: Look, left: LeftFiles, *, gather: bool, fetch: Fetch = lambda _: None
    ) -> None:  # fmt: skip
        self._look, self._left_files, self._gather, self._fetch = look, left, gather, fetch
        self.faults: dict[bytes, Fault] = {}
        self.lost: dict[bytes, int] = {}
        self._holes = look.holes()
        self.purged: set[bytes] = set()  # content that was purged, which is no damage
        self._pages: dict[bytes, Lost | None] = {}
        self._trees: dict[str, Lost | None] = {}
        self._needed: list[Prefixes] = []
        self.left = 0
        self._unindexed: list[Prefixes] = []

    @property
    def needed(self) -> Prefixes:
        return _unique(self._needed)

    @property
    def unindexed(self) -> Prefixes:
        """Of what was asked for, what the index does not know, chunks included."""
        return self._look.with_chunks(_unique(self._unindexed))

    def read(self, identifier: bytes) -> bytes | None:
        data = self.read_here(identifier)
        return data if data is not None else self._fetch(identifier)

    def read_here(self, identifier: bytes) -> bytes | None:
        self._note(prefixes_of([identifier]))
        return self._look.read(identifier)

    def lacking(self, ids: Iterable[str]) -> list[str]:
        """Those of the files that cannot be had."""
        found = [one for one in ids if not self._has([bytes.fromhex(one)])[0]]
        self.lost |= {bytes.fromhex(one): -1 for one in found}
        return found

    def lost_of(self, tree: str) -> Lost | None:
        """None: all is there."""
        if tree not in self._trees:
            self._trees[tree] = self._tree(bytes.fromhex(tree))
        return self._trees[tree]

    def _tree(self, identifier: bytes) -> Lost | None:
        data = self.read(identifier)
        try:
            pages = decode_tree(data) if data is not None else None
        except SystemFault:
            pages = None
        if pages is None:
            return Lost(None, None)
        found = [lost for page in pages if (lost := self._page(page))]
        if not found:
            return None
        paths = [path for lost in found for path in lost.paths][:SHOWN]
        return Lost(
            sum(lost.files or 0 for lost in found), sum(page.count for page in pages), tuple(paths),
            sum(lost.unlisted for lost in found),
        )  # fmt: skip

    def _page(self, page: Page) -> Lost | None:
        if page.id not in self._pages:
            self._pages[page.id] = self._read_page(page)
        return self._pages[page.id]

    def _read_page(self, page: Page) -> Lost | None:
        data = self.read(page.id)
        try:
            entries = decode_page(data) if data is not None else None
        except SystemFault:
            entries = None
        if entries is None:
            return Lost(page.count, page.count, unlisted=page.count)
        at = np.flatnonzero(entries.kinds != FOLDER)
        blob = entries.ids.tobytes()
        bad = at[~among(prefixes(entries.ids[at]), self._look.sound)]
        self._note(prefixes(entries.ids[at]))
        there = self._has([blob[32 * row : 32 * row + 32] for row in bad.tolist()])
        bad = bad[~np.array(there, np.bool_)]
        if not len(bad):
            return None
        self.lost |= {blob[32 * row : 32 * row + 32]: int(entries.sizes[row]) for row in bad.tolist()}
        return Lost(len(bad), page.count, tuple(entries.paths[row] for row in bad[:SHOWN].tolist()))

    def _has(self, ids: list[bytes]) -> list[bool]:
        """Also files that were left where they are, and are still what they were."""
        wanted = prefixes_of(ids)
        self._note(wanted)
        found = among(wanted, self._look.sound)
        left: dict[bytes, Left] = {}
        for row in np.flatnonzero(~found).tolist():
            if ids[row] in self._holes:
                found[row] = True
                self.purged.add(ids[row])
            elif there := self._places(ids[row]):
                found[row] = True
                left[ids[row]] = there
        self.left += len(left)
        faults = self._left_files.faults(left) if left else {}
        self.faults |= faults
        return [bool(one) and identifier not in faults for one, identifier in zip(found, ids, strict=True)]

    def _places(self, identifier: bytes) -> Left:
        there: list[tuple[places.Place, list[bytes]]] = []
        for number in range(places.PLACES_MAX):
            key = places.key_of(identifier, number)
            self._note(prefixes_of([key]))
            if not among(prefixes_of([key]), self._look.sound)[0]:
                break
            if place := self._look.place(key):
                there.insert(0, place)
        return there

    def _note(self, ids: Prefixes) -> None:
        if self._gather:
            self._needed.append(ids)
        if len(self._look.lacking) and among(ids, self._look.lacking).any():
            self._unindexed.append(ids[among(ids, self._look.lacking)])


def _unique(parts: list[Prefixes]) -> Prefixes:
    return np.unique(np.concatenate([np.zeros(0, np.uint64), *parts]))
