"""Which refs a collection saw. A ref is never deleted, as long as its dataset can be had back: one that was
deleted by people is still there, and names nothing. So one that is not there any more was lost, and
what it alone led to must not be taken for garbage.
"""

from datetime import timedelta
from urllib.parse import unquote

from kamld import clock, ids
from kamld.blobs import Blobs, Changed, Missing
from kamld.errors import SystemFault
from kamld.records.history import SeenRefs
from kamld.store.envelope import seal, unseal
from kamld.store.refs.names import Names

SEEN = "gc/refs.json"
_SHOWN = 3
_BEGUN = timedelta(hours=1)  # so long a dataset may be without its first version


def check_refs(blobs: Blobs, dataset_names: Names) -> None:
    """Raises SystemFault (lost_refs)."""
    forgotten, (seen, _) = dataset_names.end_forgotten(), _read(blobs)
    present, live = _present(blobs), dataset_names.all()
    there = {_of(key) for key in present}
    long_ago = clock.moment(clock.now()) - _BEGUN
    missing = set(seen.refs) - present
    none = [one for one in live if one.id not in there and clock.moment(one.created) < long_ago]
    if missing or none:  # a collection beside this one may be forgetting them: it says so before it deletes
        missing &= set(_read(blobs)[0].refs)
        forgotten |= dataset_names.end_forgotten()
    names = {dataset.id: f"{dataset.project}/{dataset.name}" for dataset in live}
    lost = [key.split("/", 2)[1:] for key in sorted(missing) if _of(key) not in forgotten]
    if lost:
        of = [f"{names.get(dataset_id, 'a removed dataset')}@{unquote(word)}" for dataset_id, word in lost]
        raise _lost(of, "")
    if of := sorted(names[one.id] for one in none if one.id not in forgotten):
        raise _lost(of, f" If it never had a version: kamld rm {of[0]}")


def _of(key: str) -> str:
    """The id of the dataset whose ref it is."""
    return key.split("/")[1]


def _lost(of: list[str], otherwise: str) -> SystemFault:
    more = f" and {len(of) - _SHOWN} more" if len(of) > _SHOWN else ""
    return SystemFault(
        "lost_refs",
        f"The hub does not know any more which version {', '.join(of[:_SHOWN])}{more} was."
        " Nothing was deleted, for it may still be here.",
        "kamld fsck --repair --from COPY brings that back from a copy of the hub; without one,"
        f" kamld fsck --repair gives new names to what it may have been.{otherwise}",
    )


def note_refs(blobs: Blobs) -> None:
    """Before anything is condemned."""
    _swap(blobs)


def begin_round(blobs: Blobs) -> None:
    """Note them, so that another collection that slept in the middle of noting cannot go on with that."""
    _swap(blobs, round=ids.new_id())


def forget_refs(blobs: Blobs, dataset_id: str) -> None:
    """Its refs are about to be deleted, or were: the dataset is forgotten."""
    _swap(blobs, without=dataset_id)


def _swap(blobs: Blobs, *, without: str = "", round: str = "") -> None:
    while True:
        seen, data = _read(blobs)
        keys = set(seen.refs) | _present(blobs)
        refs = tuple(sorted(key for key in keys if _of(key) != without))
        now = SeenRefs(refs=refs, round=round or seen.round)
        if now == seen:
            return
        try:
            blobs.swap(SEEN, data, seal(now))
            return
        except Changed:
            continue


def _read(blobs: Blobs) -> tuple[SeenRefs, bytes | None]:
    try:
        data = blobs.get(SEEN)
    except Missing:
        return SeenRefs(), None
    return unseal(data, SeenRefs, SEEN), data


def _present(blobs: Blobs) -> set[str]:
    return {listed.key for listed in blobs.list("refs/")}
