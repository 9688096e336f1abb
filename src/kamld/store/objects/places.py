"""Files left where they are: the hub keeps where, how large, and the hash of every block.

The record of a place is kept in packs under a key that is made from the file's id, never under the id
itself: so a writer who has the content keeps the content, and that is what is read then. Every block
that is read from a place is checked before anybody gets it.
"""

import struct
from collections.abc import Callable, Iterator, Sequence

import msgspec
import numpy as np
from blake3 import blake3

from kamld import clock
from kamld.blobs.foreign import Foreign
from kamld.errors import KamldError, NotFound, SystemFault
from kamld.records.encoding import decode as decode_record
from kamld.records.encoding import encode as encode_record
from kamld.store.index import Index, Places, as_ids

BLOCK = 1024 * 1024  # bytes that are hashed, read and checked together
PLACE = 0x40  # beside the codec in a pack: the object is the record of a place
_HEAD = struct.Struct("<32sI")  # hash of the key and all that follows; length of the record
PLACES_MAX = 16  # places of one file that are remembered


class Place(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Where a file is, and how it looked when it was recorded."""

    address: str  # without secrets
    size: int
    since: str
    etag: str = ""
    modified: str = ""


def key_of(identifier: bytes, number: int) -> bytes:
    """Under what the record of a file's place number 0, 1, … is kept."""
    return blake3(b"kamld place %d\0" % number + identifier).digest()


def encode(key: bytes, place: Place, blocks: Sequence[bytes]) -> bytes:
    record = encode_record(place)
    body = struct.pack("<I", len(record)) + record + b"".join(blocks)
    return blake3(key + body).digest() + body


def decode(stored: bytes | memoryview, key: bytes) -> tuple[Place, list[bytes]]:
    """Raises SystemFault (damaged_object)."""
    data = bytes(stored)
    if len(data) >= _HEAD.size and blake3(key + data[32:]).digest() == data[:32]:
        start = _HEAD.size + _HEAD.unpack_from(data)[1]
        place = decode_record(data[_HEAD.size : start], Place, "a place")
        return place, [data[at : at + 32] for at in range(start, len(data), 32)]
    raise SystemFault("damaged_object", f"The record of the place {key.hex()[:12]} is damaged.")


def left(index: Index, identifiers: Sequence[bytes]) -> list[list[bytes]]:
    """The keys of each file's places, newest first; none where the file was never left anywhere.

    Whoever keeps objects for the files that need them keeps these for the files it does not find.
    """
    keys: list[list[bytes]] = [[] for _ in identifiers]
    waiting = list(range(len(identifiers)))
    for number in range(PLACES_MAX):
        if not waiting:
            break
        asked = [key_of(identifiers[at], number) for at in waiting]
        there = index.find(as_ids(asked)).found.tolist()
        waiting = [at for at, found in zip(waiting, there, strict=True) if found]
        for key, at in zip((k for k, found in zip(asked, there, strict=True) if found), waiting, strict=True):
            keys[at].insert(0, key)
    return keys


def free_number(index: Index, identifier: bytes) -> int | None:
    """The number for one more place of this file; None where it has too many."""
    known = len(left(index, [identifier])[0])
    return known if known < PLACES_MAX else None


def with_places(index: Index, identifiers: Sequence[bytes], found: Places) -> Places:
    """`found`, with the newest places of the files whose content is not in the hub."""
    missing = np.flatnonzero(~found.found).tolist()
    keys = left(index, [identifiers[at] for at in missing])
    rows = [(at, some[0]) for at, some in zip(missing, keys, strict=True) if some]
    if not rows:
        return found
    other = index.find(as_ids([key for _, key in rows]))
    at = np.array([row for row, _ in rows])
    columns = {}
    for name in ("found", "pack", "offset", "stored", "raw", "codec"):
        column = getattr(found, name).copy()
        column[at] = getattr(other, name) + (len(found.packs) if name == "pack" else 0)
        columns[name] = column
    return Places(packs=[*found.packs, *other.packs], **columns)


def pieces(
    places: Sequence[Callable[[], tuple[Place, list[bytes]]]], foreign: Foreign, first: int = 0
) -> Iterator[bytes]:
    """The file's blocks from number `first` on, from the first of the places where it is as it was.

    Raises SystemFault (left_file_gone, left_file_changed), or what cannot be reached raises.
    """
    failure: KamldError | None = None
    for read_place in places:
        place, blocks = read_place()
        at = first
        try:
            for at in range(first, len(blocks)):
                yield _block(place, blocks[at], at, foreign)
            return
        except KamldError as error:
            failure, first = failure or error, at
    if failure:
        raise failure


def _block(place: Place, expected: bytes, number: int, foreign: Foreign) -> bytes:
    start = number * BLOCK
    try:
        data = foreign.read(place.address, start, min(start + BLOCK, place.size))
    except NotFound:
        raise SystemFault(
            "left_file_gone",
            f"{place.address} is not there any more. The hub left it there on {clock.local(place.since)}"
            " and has no copy.",
            "Bring it back to that place, or have it copied into the hub from where it is now:"
            " kamld fsck --repair --from NEWPLACE",
        ) from None
    if blake3(data).digest() != expected:
        now = foreign.find(place.address)
        size = f"{place.size:,} bytes then, {now.size:,} now" if now and now.size is not None else ""
        when = f"; it was changed on {now.modified}" if now and now.modified else ""
        raise SystemFault(
            "left_file_changed",
            f"{place.address} is not the file any more that the hub left there on {clock.local(place.since)}"
            f" ({size}{when}).",
            "Bring the old content back to that place; what is there now is a new version: import it again.",
        )
    return data
