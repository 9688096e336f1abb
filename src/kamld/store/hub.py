"""The record that makes a place a hub: which format it has, and how its writers cut files.

Format 2 is format 1 with three promises among those who use it, so that things can be deleted while
others work: who writes holds a lease, relies on nothing that is condemned, and knows of holes. A hub of
format 1 is read and written as it is; what deletes from it asks for the step to 2 first, which locks out
programs that know nothing of this.
"""

import re

import msgspec

from kamld import clock, ids
from kamld.blobs import Blobs, Changed, Missing
from kamld.errors import Conflict, Invalid, NotFound, SystemFault
from kamld.records.encoding import damaged
from kamld.store.chunking import Chunking
from kamld.store.envelope import seal, unseal

HUB = "kamld-hub.json"
FORMAT = 2
_OF_A_HUB = re.compile(r"packs/[0-9a-f]{2}/[0-9a-f]{64}\.pack|names/[^/]+/[^/]+\.json")
DELETING = 2  # from which on anything may be deleted while others write


class _Made(msgspec.Struct):
    format: int


class Hub(msgspec.Struct, frozen=True, kw_only=True):
    """The record that makes a place a hub."""

    format: int
    id: str
    created: str
    chunking: Chunking

    def check_deleting(self, what: str) -> None:
        """Raises Conflict (older_hub) where programs may be at work that rely on nothing being deleted."""
        if self.format < DELETING:
            raise Conflict(
                "older_hub",
                f"This hub has format {self.format}; {what} needs format {DELETING}.",
                "kamld doctor --upgrade makes it so; a kamld that knows only older formats refuses it then.",
            )


def read_hub(blobs: Blobs, *, make: bool = True) -> Hub:
    """The record of the hub in this place; with `make`, an empty place becomes one.

    Raises SystemFault (newer_hub, hub_record_lost), Invalid (not_a_hub) where there is something else,
    NotFound (no_hub).
    """
    try:
        data = blobs.get(HUB)
    except Missing:
        data = _make_hub(blobs, make=make)
    made_as = _made_as(data)
    if made_as > FORMAT:
        raise SystemFault(
            "newer_hub",
            f"The hub in {blobs.location} has format {made_as}; this kamld reads up to {FORMAT}.",
            "Install a newer kamld.",
        )
    return unseal(data, Hub, HUB)


def _made_as(data: bytes) -> int:
    """Its format, whatever else a newer hub has. Raises SystemFault (damaged_record)."""
    line = data.partition(b"\n")[0]
    try:
        return msgspec.json.decode(line, type=_Made).format
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise damaged(HUB, Hub, error) from None


def upgrade(blobs: Blobs) -> tuple[Hub, Hub]:
    """The hub as it was and as it is now: of the newest format. One write, so it is done or not.

    Whoever has opened it before goes on by the rules of the old format: nothing may be deleted on the
    same day, and kamld gc sees to that.
    """
    while True:
        before = read_hub(blobs)
        after = msgspec.structs.replace(before, format=FORMAT)
        data = blobs.get(HUB)
        try:
            if before != after and unseal(data, Hub, HUB) == before:
                blobs.swap(HUB, data, seal(after))
        except Changed as now:
            if now.value != seal(after):
                continue
        return before, after


def lost_record(blobs: Blobs) -> SystemFault | None:
    """What is to be said of a place without this record, if it was a hub all the same."""
    keys = (listed.key for prefix in ("packs/", "names/") for listed in blobs.list(prefix))
    if not any(_OF_A_HUB.fullmatch(key) for key in keys):
        return None
    return SystemFault(
        "hub_record_lost",
        f"The hub at {blobs.location} has lost its {HUB}, without which it cannot be read. All else there"
        " is as it was.",
        "Bring it back from a copy of this hub: kamld fsck --repair --from COPY. It cannot be made anew, for"
        " nothing else in the hub says which id it has, by which folders know it.",
    )


def _make_hub(blobs: Blobs, *, make: bool) -> bytes:
    """The record of the hub, ours or that of somebody else who made it at the same moment."""
    something = next(iter(blobs.list("")), None)
    if something:
        try:
            return blobs.get(HUB)
        except Missing:
            if lost := lost_record(blobs):
                raise lost from None
            raise Invalid(
                "not_a_hub",
                f"{blobs.location} is not a hub, and not empty: it has {something.key}.",
                "Name a hub or an empty folder: KAMLD_HUB, or hub in kamld.toml.",
            ) from None
    if not make:
        said = f"There is no hub at {blobs.location} yet."
        raise NotFound("no_hub", said, "The first kamld commit makes it.")
    fresh = seal(Hub(format=FORMAT, id=ids.new_id(), created=clock.now(), chunking=Chunking()))
    try:
        blobs.swap(HUB, None, fresh)
    except Changed as now:
        return now.value or b""
    return fresh
