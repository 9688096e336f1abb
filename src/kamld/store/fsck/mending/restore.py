"""Records that are damaged or lost come back from a copy of the hub, and hints are made anew.

Those that never change are in any copy what they were here. A name or a ref is in a copy what it was
on that day, and that is said.
"""

import re
from collections.abc import Iterator, Sequence
from collections.abc import Set as AbstractSet
from contextlib import suppress

from blake3 import blake3

from kamld.blobs import Blobs, Changed, Missing
from kamld.errors import SystemFault
from kamld.records.hints import Last
from kamld.records.history import Ref, SealedMoves
from kamld.store.envelope import seal, unseal
from kamld.store.fsck.mending.sources import Source
from kamld.store.fsck.records import read_records
from kamld.store.fsck.report import Step
from kamld.store.hub import HUB
from kamld.store.leases import CONDEMNED
from kamld.store.objects.holes import PURGING

DAMAGED = "damaged/"  # what a repair has taken out of a hub is kept there
_NEVER_DELETED = ("names/", "log/", "runs/", "run-numbers/", "events/", "deployments/", "endpoints/", "refs/")
_MAY_BE_DELETED = ("removed/", "merges/", "holes/")
_MAY_CHANGE = ("names/", "refs/", "merges/")
_HINT = re.compile(r"(?:run-(numbers)/([^/]+)/last|(endpoints)/([^/]+/[^/]+))\.json")


def restore_records(blobs: Blobs, sources: Sequence[Source]) -> Iterator[Step]:
    found = read_records(blobs, None)
    keys = {one.key for one in found.findings}
    for source in sources:
        for prefix in (*_NEVER_DELETED, *_MAY_BE_DELETED):
            there = {listed.key for listed in blobs.list(prefix)}
            for key in source.keys(prefix):
                is_wrong = key in found.losses or (key in keys and not key.startswith(_MAY_CHANGE))
                wanted = is_wrong or key in keys or (key not in there and _must_be(key, found.named, keys))
                data = source.record(key) if wanted else None
                if data is None or (key in found.losses and says_lost(key, data)):
                    continue
                if is_sound(key, data) and put_right(blobs, key, data, is_wrong=is_wrong):
                    old = " as it was in that copy" if key.startswith(_MAY_CHANGE) else ""
                    yield Step(key, f"restored{old} from {source.name}")
                    keys.discard(key)
    if CONDEMNED in keys:  # without it nothing is deleted, and the next collection writes it anew
        set_aside(blobs, CONDEMNED, blobs.get(CONDEMNED))
        blobs.delete(CONDEMNED)
        yield Step(CONDEMNED, "taken away; the next kamld gc begins anew")
    for key in sorted(keys):
        hint = _counted(blobs, key)
        if hint is not None and put_right(blobs, key, hint):
            yield Step(key, "made anew")


def _must_be(key: str, datasets: AbstractSet[str], found: AbstractSet[str]) -> bool:
    """Whether a record that is not here, but in a copy, cannot have been deleted by anybody."""
    prefix, word = key.split("/")[:2]
    if prefix in ("refs", "log"):
        return word in datasets
    if prefix == "removed":
        return f"refs/{word.removesuffix('.json')}/" in found  # refs that belong to nothing
    return key != PURGING and prefix != "merges"


def restore_hub(blobs: Blobs, copy: Blobs) -> Step | None:
    """The record without which a hub is none, where this is a copy of it: both have the same packs or
    names. None: that other place is something else, or has none either."""
    with suppress(Missing):
        data = copy.get(HUB)
        mine = {listed.key for prefix in ("packs/", "names/") for listed in blobs.list(prefix)}
        theirs = {listed.key for prefix in ("packs/", "names/") for listed in copy.list(prefix)}
        if is_sound(HUB, data) and mine & theirs and put_right(blobs, HUB, data):
            return Step(HUB, f"restored from {copy.location}")
    return None


def set_aside(blobs: Blobs, key: str, data: bytes) -> None:
    """Keep a copy of what is damaged: somebody may know more about it than this program does."""
    batch = blobs.batch()
    batch.put(f"{DAMAGED}{blake3(data).hexdigest()[:16]}/{key}", [data])
    batch.flush()


def put_right(blobs: Blobs, key: str, data: bytes, *, is_wrong: bool = False) -> bool:
    """In the place of what is not there, or damaged, or sound and wrong all the same. Whether it was another
    before, and is this one now."""
    try:
        present = blobs.get(key)
    except Missing:
        present = None
    if present is not None:
        if present == data or (is_sound(key, present) and not is_wrong):
            return False
        set_aside(blobs, key, present)
    with suppress(Changed):
        blobs.swap(key, present, data)
        return True
    return False


def says_lost(key: str, data: bytes) -> bool:
    """Whether a ref, or a part of a log, says only that it was lost."""
    try:
        if key.startswith("refs/"):
            return unseal(data, Ref, key).last.lost
        return unseal(data, SealedMoves, key).moves[0].lost
    except SystemFault:
        return False


def is_sound(key: str, data: bytes) -> bool:
    """By its own hash; a number has none, and is an id or a key."""
    content, _, rest = data.partition(b"\n")
    if key.startswith(("run-numbers/", "deployments/")) and not key.endswith(".json"):
        return re.fullmatch(rb"[0-9a-f]{32}|[0-9a-f]{8}", data) is not None
    return rest == b"%s\n" % blake3(content).hexdigest().encode()


def _counted(blobs: Blobs, key: str) -> bytes | None:
    """A hint as the numbers beside it say; None for a key that is none."""
    match = _HINT.fullmatch(key)
    if not match:
        return None
    prefix = f"run-numbers/{match[2]}/" if match[1] else f"deployments/{match[4]}/"
    words = (listed.key.rpartition("/")[2] for listed in blobs.list(prefix))
    return seal(Last(last=max((int(word) for word in words if word.isdecimal()), default=0)))
