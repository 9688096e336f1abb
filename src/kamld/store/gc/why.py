"""What keeps something in the hub, in words."""

from collections import defaultdict
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass

import numpy as np

from kamld.errors import Invalid, NotFound, SystemFault
from kamld.store import packs
from kamld.store.commits import ancestry
from kamld.store.gc.marking import id_at
from kamld.store.gc.roots import Root
from kamld.store.repository import Repository
from kamld.store.trees import decode_tree, page_ids


@dataclass(frozen=True, slots=True)
class Need:
    """A version that needs it, and what keeps that version. `commit` "": it is no version's."""

    about: str
    commit: str


def kept_by(repository: Repository, commit_id: str, roots: set[Root]) -> list[Root]:
    """The roots that keep a commit, sorted by what they are; none: it is garbage."""
    objects = repository.objects
    starts = [root for root in roots if root.kind == "commit" and objects.has(root.id)]
    found = [r for r in starts if any(i == commit_id for i, _ in ancestry(objects, r.id.hex()))]
    return sorted(found, key=lambda root: root.about)


def needs(repository: Repository, roots: set[Root], wanted: Collection[bytes]) -> Iterator[Need]:
    """Who needs any of these objects, each version once: under all that names it now, else under the first
    root that leads to it."""
    named: defaultdict[str, set[str]] = defaultdict(set)
    for root in roots:
        if root.kind == "commit" and root.lives:
            named[root.id.hex()].add(root.about)
    search = _Search(repository, frozenset(wanted))
    seen: set[str] = set()
    for root in sorted(roots, key=lambda root: (not root.sure, root.about, root.id)):
        if root.kind == "commit" and repository.objects.has(root.id):
            for identifier, commit in ancestry(repository.objects, root.id.hex()):
                if identifier not in seen:
                    seen.add(identifier)
                    if search.is_in([bytes.fromhex(identifier)]) or search.tree(bytes.fromhex(commit.tree)):
                        yield Need(", ".join(sorted(named.get(identifier, {root.about}))), identifier)
        elif search.tree(root.id) if root.kind == "tree" else search.is_in([root.id]):
            yield Need(root.about, "")


def objects_in(repository: Repository, name: str) -> tuple[str, list[bytes]]:
    """The pack whose name begins so, and all objects in it. Raises NotFound (unknown_pack), Invalid."""
    word = name.removeprefix("packs/").rpartition("/")[2].removesuffix(".pack")
    repository.index.refresh()
    segments = repository.index.segments()
    found = sorted({pack for segment in segments for pack in segment.packs if pack.hex().startswith(word)})
    if not found:
        raise NotFound("unknown_pack", f"No pack in this hub begins with {word}.", "kamld fsck looks at all.")
    if len(found) > 1:
        raise Invalid("ambiguous_pack", f"{len(found)} packs begin with {word}.", "Write more of it.")
    ids: set[bytes] = set()
    for segment in segments:
        if found[0] in segment.packs:
            rows = np.flatnonzero(segment.columns["pack"] == segment.packs.index(found[0]))
            ids.update(id_at(segment.columns, row) for row in rows.tolist())
    return packs.key(found[0]), sorted(ids)


class _Search:
    """Looks for objects in trees; a page that several trees have is read once."""

    def __init__(self, repository: Repository, wanted: frozenset[bytes]) -> None:
        self._objects = repository.objects
        self._wanted = wanted
        self._known: dict[bytes, bool] = {}  # pages, trees and files: whether it is in them

    def is_in(self, identifiers: Collection[bytes]) -> bool:
        return not self._wanted.isdisjoint(identifiers)

    def tree(self, identifier: bytes) -> bool:
        return self._of(identifier, lambda data: any(self._page(page.id) for page in decode_tree(data)))

    def _page(self, identifier: bytes) -> bool:
        return self._of(identifier, lambda data: any(self._file(row.tobytes()) for row in page_ids(data)))

    def _file(self, identifier: bytes) -> bool:
        if identifier not in self._known:
            parts = () if self.is_in([identifier]) else self._objects.parts([identifier])
            self._known[identifier] = self.is_in([identifier]) or self.is_in(parts)
        return self._known[identifier]

    def _of(self, identifier: bytes, inside: Callable[[bytes], bool]) -> bool:
        if identifier not in self._known:
            self._known[identifier] = self.is_in([identifier, *self._objects.parts([identifier])])
            if not self._known[identifier]:
                try:
                    self._known[identifier] = inside(self._objects.read(identifier))
                except SystemFault as fault:
                    if fault.code not in ("missing_object", "missing_pack"):  # an expired checkpoint
                        raise
        return self._known[identifier]
