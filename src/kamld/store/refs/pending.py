"""Merges that wait for somebody to decide: one a branch, kept in the hub until it lands or is given up."""

from collections.abc import Iterator
from contextlib import suppress
from urllib.parse import quote

from kamld.blobs import Blobs, Changed, Missing
from kamld.errors import Conflict
from kamld.records.history import Dataset
from kamld.records.merging import PendingMerge
from kamld.store.commits import reached
from kamld.store.envelope import seal, unseal
from kamld.store.objects import Objects
from kamld.store.refs.moves import Refs

PREFIX = "merges/"


class PendingMerges:
    def __init__(self, blobs: Blobs) -> None:
        self._blobs = blobs

    def find(self, dataset: Dataset, branch: str) -> PendingMerge | None:
        key = _key(dataset, branch)
        data = self._read(key)
        return unseal(data, PendingMerge, key) if data else None

    def all(self) -> Iterator[PendingMerge]:
        """Of every dataset; also of removed ones."""
        for listed in self._blobs.list(PREFIX):
            with suppress(Missing):  # it landed meanwhile
                data = self._blobs.get(listed.key)
                if data:
                    yield unseal(data, PendingMerge, listed.key)

    def keep(self, dataset: Dataset, before: PendingMerge | None, after: PendingMerge) -> None:
        """Replace `before` (None: there is none). Raises Conflict (merge_changed)."""
        key = _key(dataset, after.branch)
        present = self._read(key)
        if (unseal(present, PendingMerge, key) if present else None) != before:
            raise _changed(after.branch)
        try:
            self._blobs.swap(key, present, seal(after))
        except Changed as now:
            if now.value != seal(after):
                raise _changed(after.branch) from None

    def drop(self, dataset: Dataset, pending: PendingMerge) -> None:
        """Forget it: it has landed or was given up. Whatever somebody else made of it goes too."""
        self._blobs.delete(_key(dataset, pending.branch))

    def _read(self, key: str) -> bytes | None:
        try:
            return self._blobs.get(key)
        except Missing:
            return None


def is_open(objects: Objects, refs: Refs, dataset: Dataset, pending: PendingMerge) -> bool:
    """Whether anything is left to be done: the branch is there, and lacks what is to come. Its end may have
    been cut off, or what it brings came another way."""
    ref = refs.find(dataset, pending.branch)
    return bool(ref and ref.commit and not reached(objects, [ref.commit], [pending.theirs]))


def _changed(branch: str) -> Conflict:
    return Conflict(
        "merge_changed",
        f"Somebody else has changed the merge into {branch} at this moment.",
        "Look at it with kamld merge NAME, then try again.",
    )


def _key(dataset: Dataset, branch: str) -> str:
    return f"{PREFIX}{dataset.id}/{quote(branch, safe='')}.json"
