"""Making sure that what is about to be named stays, for it may be garbage that is being collected.

What a ref names is kept, with all that came before. Anything else (an old move's commit, what a split
or a merge takes from elsewhere) may be in packs that are about to be deleted: then it is written anew,
as it is stored, or it is too late. Do it under the lease of a writer, and name it before that ends.
"""

import threading
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

from kamld import ids
from kamld.errors import NotFound, SystemFault
from kamld.records.history import Commit, Dataset
from kamld.store.commits import apart
from kamld.store.leases import Held
from kamld.store.objects import Objects, Writer
from kamld.store.refs import Refs
from kamld.store.trees import EMPTY_ID, decode_tree, page_ids
from kamld.store.trees.entries import Entries

Done = TypeVar("Done")
_AT_ONCE = 50_000  # files that are looked up together
_GONE = ("missing_object", "missing_pack", "damaged_index")  # the last: while others write


def secure(objects: Objects, writer: Writer, commit_ids: Collection[str], heads: Collection[str]) -> None:
    """Make sure of these commits and all that came before; what `heads`, which live refs name, lead to
    needs nothing. Raises NotFound (collected), and then they must not be named.
    """
    named = set(commit_ids) - set(heads)
    with none_collected(sorted(named)):
        for identifier, commit in apart(objects, named, heads):
            lost = keep(objects, writer, [bytes.fromhex(identifier)])
            lost = lost or _keep_tree(objects, writer, bytes.fromhex(commit.tree))
            if lost and (identifier in named or not commit.checkpoint):  # an older one may have expired
                raise collected(identifier)


def take_back_unless_whole(
    objects: Objects, refs: Refs, writer: Writer, dataset: Dataset, commit_id: str
) -> None:  # fmt: skip
    """After a commit was named while it was no longer kept. Raises SystemFault (slept)."""
    try:
        secure(objects, writer, [commit_id], [])
        writer.flush()
    except NotFound:
        for ref in refs.all(dataset):
            if ref.commit == commit_id:
                before = next((move.commit for move in list(refs.history(dataset, ref.name))[1:2]), None)
                refs.move(
                    dataset, ref.name, ref.kind, before, expected=commit_id, after=ref.last,
                    author=ref.last.author, reason=f"undo: {ref.last.reason}", passed=ref.protection,
                )  # fmt: skip
        raise Slept("what the version needs was") from None


class Slept(SystemFault):
    """Nothing was changed. Whoever looks anew whether all is still kept may go on."""

    def __init__(self, what: str) -> None:
        super().__init__(
            "slept",
            f"This machine slept for so long that {what} collected meanwhile. Nothing was changed.",
            "Do it again.",
        )


class Relying(threading.local):
    """The leases that what this thread is about to name relies on."""

    def __init__(self) -> None:
        self._leases: list[Held] = []

    @contextmanager
    def on(self, lease: Held | None) -> Iterator[None]:
        self._leases += [lease] if lease else []
        try:
            yield
        finally:
            if lease:
                self._leases.remove(lease)

    def check(self) -> None:
        """Raises Slept where this machine slept until one had run out."""
        if any(lease.lost for lease in self._leases):
            raise Slept("what was to be named may have been")


def awake(do: Callable[[], Done]) -> Done:
    """Do it; where this machine slept meanwhile, do it once more, which looks whether all is still kept."""
    try:
        return do()
    except Slept as slept:
        try:
            return do()
        except NotFound as error:
            raise slept if error.code == "collected" else error from None


def rely(
    objects: Objects, writer: Writer, entries: Entries, tree: bytes, parents: Sequence[Commit]
) -> None:  # fmt: skip
    """Make sure of the files of a new tree, which is in the hub, that the parents' trees do not have.

    Raises SystemFault (missing_object).
    """
    try:
        wanted = _added(objects, entries, tree, parents)
    except SystemFault as fault:
        if fault.code != "missing_object":
            raise
        wanted = _added(objects, entries, tree, ())  # a parent's files may have expired
    for start in range(0, len(wanted), _AT_ONCE):
        lost = keep(objects, writer, wanted[start : start + _AT_ONCE])
        if lost:
            path = next(row.path for row in entries.rows() if row.id == lost[0])
            raise SystemFault(
                "missing_object",
                f'The hub does not have "{path.decode("utf-8", "backslashreplace")}" any more, which was to'
                " be in this version: it was collected as garbage. Nothing was changed.",
                "kamld fsck tells whether anything else is affected.",
            )


def keep(objects: Objects, writer: Writer, identifiers: Sequence[bytes]) -> list[bytes]:
    """Make sure of objects, with what they are made of; gives those that are lost."""
    lost = []
    for identifier, has in zip(identifiers, writer.has(list(identifiers)), strict=True):
        if identifier in writer.guard.ids:  # it was purged, and whoever lists it knows
            continue
        if not has and identifier != EMPTY_ID and not _adopted(objects, writer, identifier):
            lost.append(identifier)
    return lost


@contextmanager
def none_collected(commit_ids: Sequence[str]) -> Iterator[None]:
    """Something of these commits that is not there was collected. Raises NotFound (collected)."""
    try:
        yield
    except SystemFault as fault:
        if fault.code not in _GONE or not commit_ids:
            raise
        raise collected(commit_ids[0]) from None


def collected(commit_id: str) -> NotFound:
    return NotFound(
        "collected",
        f"{ids.short(commit_id)} is not kept any more: nothing led to it, and its time was over.",
        "The setting keep_days says for how long such versions can be had back.",
    )


def _adopted(objects: Objects, writer: Writer, identifier: bytes) -> bool:
    try:
        parts = [identifier] if objects.held([identifier])[0] else []
        parts += objects.parts([identifier])
        for part, has in zip(parts, writer.has(parts), strict=True):
            if not has:
                writer.adopt(part, *objects.stored(part))
    except SystemFault as fault:
        if fault.code not in _GONE:
            raise
        return False
    return bool(parts)


def _keep_tree(objects: Objects, writer: Writer, tree: bytes) -> list[bytes]:
    if lost := keep(objects, writer, [tree]):
        return lost
    pages = [page.id for page in decode_tree(objects.read(tree))]
    if lost := keep(objects, writer, pages):
        return lost
    for page in pages:
        if lost := keep(objects, writer, sorted(_ids(objects, [page]))):
            return lost
    return []


def _added(objects: Objects, entries: Entries, tree: bytes, parents: Sequence[Commit]) -> list[bytes]:
    """Ids of the entries in pages that no parent has, but those of the pages in whose place they are."""
    if not parents:
        blob = entries.ids.tobytes()
        return [blob[at : at + 32] for at in range(0, len(blob), 32)]
    pages = _pages(objects, tree)
    before = {page for parent in parents for page in _pages(objects, bytes.fromhex(parent.tree))}
    known = _ids(objects, before - pages)
    return sorted(_ids(objects, pages - before) - known)


def _pages(objects: Objects, tree: bytes) -> set[bytes]:
    return {page.id for page in decode_tree(objects.read(tree))}


def _ids(objects: Objects, pages: Collection[bytes]) -> set[bytes]:
    blob = b"".join(page_ids(objects.read(page)).tobytes() for page in sorted(pages))
    return {blob[at : at + 32] for at in range(0, len(blob), 32)}
