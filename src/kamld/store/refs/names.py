"""Names of datasets and models. A name leads to an id that never changes; refs belong to the id.

The record of a name is never deleted. When its dataset is renamed or removed, the record says so, and
the name is free for others.

Renaming is two swaps: the new name is claimed (`moving_from`), then the old one is given up
(`moved_to`), which is the moment at which it happens; clearing the claim afterwards only saves others
a look. Killed after the first, the dataset has its old name, and the claim binds nobody: who wants
the new name first makes the old one's record another (`refused`), so that the renaming, if it goes on
after all, finds that and begins anew.
"""

import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from difflib import get_close_matches

import msgspec

from kamld import clock, ids
from kamld.blobs import Blobs, Changed, Missing
from kamld.errors import Conflict, NotFound
from kamld.records.history import Dataset, Kind, Named, Removed
from kamld.records.names import Name
from kamld.store.envelope import seal, unseal

PREFIX = "names/"
REMOVED = "removed/"
_KEEP_DAYS = "The setting keep_days says for how long what was removed can be had back."
_HOPS = 20  # renamings of a dataset that are followed one by one; then all names are looked through
_KEY = re.compile(r"names/([A-Za-z0-9_][A-Za-z0-9_.-]*)/([A-Za-z0-9_][A-Za-z0-9_.-]*)\.json")


@dataclass(frozen=True, slots=True)
class _Kept:
    """What is under a name: the bytes, to be swapped, and the record."""

    data: bytes | None
    record: Named | None


class Names:
    def __init__(self, blobs: Blobs) -> None:
        self._blobs = blobs

    def create(self, name: Name, kind: Kind, is_made: Callable[[Dataset], bool]) -> Dataset:
        """The dataset of this name that is still to be made: a new one, or one that somebody else
        began and did not finish, which may be us. Raises Conflict (name_taken).
        """
        while True:
            kept = self._read(name)
            there = kept.record if kept.record and self._is_live(name, kept.record) else None
            if there and is_made(there.dataset):
                raise _taken(name, "Choose another name with --name.")
            if there and there.kind == kind:
                return there.dataset
            if there is None:
                self._make_free(name, kept)
            dataset = Dataset(
                id=there.id if there else ids.new_id(), project=name.project, name=name.name, kind=kind,
                created=clock.now(),
            )  # fmt: skip
            if self._swap(name, kept, _named(dataset)):
                return dataset  # else: perhaps by an earlier try of ours, whose reply was lost

    def get(self, name: Name) -> Dataset:
        """Raises NotFound (unknown_name), with the nearest name there is."""
        found = self.find(name)
        if found is None:
            raise NotFound("unknown_name", *self._unknown(name))
        return found

    def find(self, name: Name) -> Dataset | None:
        record = self._read(name).record
        return record.dataset if record and self._is_live(name, record) else None

    def bound(self, dataset_id: str, name: Name) -> Dataset | None:
        """The dataset of this id, which once had this name, under whatever name it has today. None: it
        was removed, or is none of this hub's."""
        for known in self._trail(name):
            found = self.find(Name(known.project, known.name)) if known.id == dataset_id else None
            if found and found.id == dataset_id:
                return found
        return next((one for one in self.all() if one.id == dataset_id), None)

    def follow(self, name: Name) -> Dataset | None:
        """Whatever has this name, else what had it until it was renamed."""
        for known in self._trail(name):
            if found := self.find(Name(known.project, known.name)):
                return found
        return None

    def all(self) -> list[Dataset]:
        """By project and name."""
        keys = [listed.key for listed in self._blobs.list(PREFIX)]
        names = sorted((match[1], match[2]) for key in keys if (match := _KEY.fullmatch(key)))
        return [found for name in names if (found := self.find(Name(*name)))]

    def rename(self, old: Name, new: Name, *, author: str) -> Dataset:
        """Raises NotFound (unknown_name), Conflict (name_taken)."""
        while True:
            here = self._read(old)
            if here.record is None or not self._is_live(old, here.record):
                raise NotFound("unknown_name", *self._unknown(old))
            there = self._read(new)
            if there.record and self._is_live(new, there.record):
                raise _taken(new, "Choose another name.")
            if here.record.moving_from:
                self._settle(old, here)
                continue
            claim = _named(here.record.dataset, project=new.project, name=new.name, moving_from=str(old))
            if there.record != claim:
                if self._make_free(new, there):
                    continue
                if not self._swap(new, there, claim):
                    continue
            given_up = msgspec.structs.replace(
                here.record, gone=clock.now(), by=author, moved_to=str(new), moving_from=""
            )
            if self._swap(old, here, given_up):
                self._settle(new, self._read(new))
                return claim.dataset

    def remove(self, dataset: Dataset, *, author: str) -> None:
        """Free the name; the dataset can be had back with `restore`. Raises NotFound (unknown_name)."""
        name = Name(dataset.project, dataset.name)
        removed = Removed(dataset=dataset, time=clock.now(), author=author)
        while True:
            kept = self._read(name)
            live = kept.record is not None and self._is_live(name, kept.record)
            if kept.record is None or not live or kept.record.id != dataset.id:
                raise NotFound("unknown_name", f"{name} was renamed or removed meanwhile.")
            if kept.record.moving_from:
                self._settle(name, kept)
                continue
            key = _removed_key(dataset.id)
            with suppress(Changed):  # by somebody who removes it too
                self._blobs.swap(key, self._bytes(key), seal(removed))
            gone = msgspec.structs.replace(kept.record, gone=removed.time, by=author)
            if self._swap(name, kept, gone):
                return

    def removed(self) -> Iterator[Removed]:
        """Datasets that were removed and can be had back, unless the hub has forgotten them."""
        live = {dataset.id for dataset in self.all()}
        for listed in self._blobs.list(REMOVED):
            data = self._bytes(listed.key)
            removed = unseal(data, Removed, listed.key) if data else None
            if removed and removed.dataset.id not in live:
                yield removed

    def removed_from(self, name: Name) -> Removed | None:
        """The newest removed dataset that had this name."""
        return next(iter(self.all_removed_from(name)), None)

    def all_removed_from(self, name: Name) -> list[Removed]:
        """Newest first."""
        here = [
            one for one in self.removed()
            if Name(one.dataset.project, one.dataset.name) == name and not one.forgotten
        ]  # fmt: skip
        return sorted(here, key=lambda one: one.time, reverse=True)

    def restore(self, removed: Removed) -> Dataset:
        """Raises Conflict (name_taken) where something else has its name by now, NotFound (collected)
        where it is being forgotten."""
        dataset = removed.dataset
        while present := self._removed(dataset.id):
            if present.forgotten:
                raise _forgotten(dataset)
            if self._mark(present, msgspec.structs.replace(present, time=clock.now())):
                break
        if present is None and all(live.id != dataset.id for live in self.all()):
            raise _forgotten(dataset)
        name = Name(dataset.project, dataset.name)
        while True:
            kept = self._read(name)
            if kept.record and self._is_live(name, kept.record):
                if kept.record.id == dataset.id:
                    break
                raise _taken(name, f"Rename that first: kamld mv {dataset.said} NEW-NAME")
            if not self._make_free(name, kept) and self._swap(name, kept, _named(dataset)):
                break
        while present := self._removed(dataset.id):  # again: a collection may have been faster
            if present.forgotten:
                self._give_up(dataset)
                raise _forgotten(dataset)
            if self._mark(present, msgspec.structs.replace(present, time=clock.now())):
                self._blobs.delete(_removed_key(dataset.id))
                break
        else:  # somebody else had it back too; or we slept while it was forgotten, and that record with it
            if not any(self._blobs.list(f"refs/{dataset.id}/")):
                self._give_up(dataset)
                raise _forgotten(dataset)
        return dataset

    def end_forgotten(self) -> set[str]:
        """The ids of datasets that are being forgotten. Whoever was killed while bringing back such a one
        left a name without refs: it is given up."""
        live, found = {dataset.id for dataset in self.all()}, set()
        for listed in self._blobs.list(REMOVED):
            removed = self._removed(listed.key.removeprefix(REMOVED).removesuffix(".json"))
            if removed and removed.forgotten:
                found.add(removed.dataset.id)
                if removed.dataset.id in live:
                    self._give_up(removed.dataset)
        return found

    def _give_up(self, dataset: Dataset) -> None:
        name = Name(dataset.project, dataset.name)
        while (kept := self._read(name)).record and kept.record.id == dataset.id and not kept.record.gone:
            if self._swap(name, kept, msgspec.structs.replace(kept.record, gone=clock.now())):
                return

    def forget(self, removed: Removed) -> bool:
        """From here on it cannot be had back, unless somebody has begun to; the caller removes its refs.
        Whoever brings it back at the same time finds the record, so it stays until the next collection,
        which removes it with `forgotten`."""
        return removed.forgotten or self._mark(removed, msgspec.structs.replace(removed, forgotten=True))

    def _removed(self, dataset_id: str) -> Removed | None:
        data = self._bytes(_removed_key(dataset_id))
        return unseal(data, Removed, _removed_key(dataset_id)) if data else None

    def forgotten(self, removed: Removed) -> None:
        self._blobs.delete(_removed_key(removed.dataset.id))

    def _mark(self, removed: Removed, to: Removed) -> bool:
        """Whoever changes the record first decides whether the dataset comes back or goes."""
        try:
            self._blobs.swap(_removed_key(removed.dataset.id), seal(removed), seal(to))
        except Changed as now:
            return now.value == seal(to)
        return True

    def _trail(self, name: Name) -> Iterator[Named]:
        """The record of the name, and of those that its dataset got later."""
        for _ in range(_HOPS):
            record = self._read(name).record
            if record is None:
                return
            yield record
            if not record.moved_to:
                return
            project, _, word = record.moved_to.partition("/")
            name = Name(project, word)

    def _is_live(self, name: Name, record: Named) -> bool:
        """Whether the dataset in the record has this name."""
        if record.gone or not record.moving_from:
            return not record.gone
        before = self._read(_parsed(record.moving_from)).record
        if before and before.id == record.id:
            return bool(before.gone) and before.moved_to == str(name)
        # Something else has the old name; who took it has settled this one before, if it counted.
        now = self._read(name).record
        return now is not None and now.id == record.id and not (now.gone or now.moving_from)

    def _make_free(self, name: Name, kept: _Kept) -> bool:
        """Let go what still hangs on a name that is not in use. True: look at it again."""
        record = kept.record
        if record is None:
            return False
        if record.moved_to:
            there = _parsed(record.moved_to)
            claim = self._read(there)
            if claim.record and claim.record.id == record.id and claim.record.moving_from == str(name):
                self._settle(there, claim)
        if record.moving_from:
            source = _parsed(record.moving_from)
            origin = self._read(source)
            if origin.record and origin.record.id == record.id and not origin.record.gone:
                other = msgspec.structs.replace(origin.record, refused=origin.record.refused + 1)
                return not self._swap(source, origin, other)
        return False

    def _settle(self, name: Name, kept: _Kept) -> None:
        """A renaming that has happened: the claim becomes an ordinary record."""
        if kept.record and kept.record.moving_from and self._is_live(name, kept.record):
            self._swap(name, kept, msgspec.structs.replace(kept.record, moving_from=""))

    def _swap(self, name: Name, kept: _Kept, to: Named) -> bool:
        try:
            self._blobs.swap(_key(name), kept.data, seal(to))
        except Changed as now:
            return now.value == seal(to) and bool(to.gone)  # it had landed; only the reply was lost
        return True

    def _read(self, name: Name) -> _Kept:
        data = self._bytes(_key(name))
        return _Kept(data, unseal(data, Named, _key(name)) if data is not None else None)

    def _bytes(self, key: str) -> bytes | None:
        try:
            return self._blobs.get(key)
        except Missing:
            return None

    def _unknown(self, name: Name) -> tuple[str, str]:
        """What to say about a name that nothing has, and what to do."""
        record = self._read(name).record
        if record and record.gone and record.moved_to:
            now = self.bound(record.id, _parsed(record.moved_to))
            said = f"{name} was renamed to {record.moved_to} by {record.by}."
            return said, f"It is {now.project}/{now.name} today." if now else "It was removed since."
        if record and record.gone and (removed := self._removed(record.id)):
            back = f"This brings it back: kamld undo {name}"
            return f"{name} was removed by {record.by}.", _KEEP_DAYS if removed.forgotten else back
        there = {str(Name(d.project, d.name)): d for d in self.all()}
        near = get_close_matches(str(name), there, 1, 0.75) or [
            full for full, dataset in there.items() if dataset.name == name.name
        ]
        advice = "kamld ls shows those there are; kamld commit FOLDER makes one."
        said = f"No dataset or model {name} in this hub."
        return said, f'Did you mean "{near[0]}"?' if near else advice


def _named(dataset: Dataset, **other: str) -> Named:
    return Named(**(msgspec.structs.asdict(dataset) | other))


def _forgotten(dataset: Dataset) -> NotFound:
    return NotFound(
        "collected",
        f"{dataset.project}/{dataset.name} cannot be had back: its time was over.",
        _KEEP_DAYS,
    )


def _parsed(text: str) -> Name:
    project, _, word = text.partition("/")
    return Name(project, word)


def _taken(name: Name, hint: str) -> Conflict:
    return Conflict("name_taken", f"There is a dataset or model {name} already.", hint)


def _key(name: Name) -> str:
    return f"{PREFIX}{name.project}/{name.name}.json"


def _removed_key(dataset_id: str) -> str:
    return f"{REMOVED}{dataset_id}.json"
