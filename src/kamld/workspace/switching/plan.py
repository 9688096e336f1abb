"""What a folder needs to become another version: what is written, what goes, what is in the way.

`plan` is pure: it knows the versions and what was found, and touches nothing. `obstacles` looks for what
no scan shows: ignored files, and files of a person where the version wants to have a folder.
"""

import os
import stat
from bisect import bisect_left
from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from kamld.records.kinds import FOLDER
from kamld.scan.listing import Scan
from kamld.store import Change
from kamld.store.trees.entries import Entry

State = tuple[int, int, int, int]  # size, mtime, ctime, inode
A_FOLDER: State = (0, 0, 0, 0)
_WORDS = {"added": "new", "removed": "removed", "changed": "changed"}


@dataclass(slots=True)
class Plan:
    """`write`: the entry, and the state of what it replaces, if something is there. `remove`: likewise."""

    write: list[tuple[Entry, State | None]] = field(default_factory=list)
    remove: list[tuple[bytes, State]] = field(default_factory=list)
    in_the_way: list[tuple[str, bytes]] = field(default_factory=list)  # what was done to it, path


def state_of(found: Scan, path: bytes) -> State | None:
    """What the scan found at this path; None: nothing, or a folder that is not empty."""
    at = bisect_left(found.paths, path)
    if at == len(found) or found.paths[at] != path:
        return None
    size, mtime, ctime, inode = found.states[at].tolist()
    return A_FOLDER if found.kinds[at] == FOLDER else (size, mtime, ctime, inode)


def plan(
    changes: Sequence[Change], mine: Mapping[bytes, Change], agreed: Container[bytes], found: Scan
) -> Plan:
    """`changes`: from the version that the folder has to the one that is wanted. `mine`: the person's own,
    by path; those in `agreed` are already what is wanted."""
    made = Plan()
    for change in changes:
        own = mine.get(change.path)
        if change.path in agreed or (own and own.new is None and change.new is None):
            continue
        if own and not _is_filled(own) and not _is_emptied(own):
            made.in_the_way.append((_WORDS[own.sort], change.path))
        elif change.new:
            made.write.append((change.new, state_of(found, change.path)))
        elif there := state_of(found, change.path):
            made.remove.append((change.path, there))
    return made


def _is_filled(own: Change) -> bool:
    """Whether an empty folder of the version has something in it now."""
    return own.new is None and own.old is not None and own.old.kind == FOLDER


def _is_emptied(own: Change) -> bool:
    """Whether there is an empty folder where the version has none: nothing is lost with it."""
    return own.old is None and own.new is not None and own.new.kind == FOLDER


def obstacles(top: bytes, made: Plan) -> Iterator[bytes]:
    """What is in the way beside what the plan itself takes away. Raises OSError."""
    going = {path for path, _ in made.remove} | {entry.path for entry, old in made.write if old}
    told: set[bytes] = set()
    for entry, old in made.write:
        above = [entry.path[:at] for at, letter in enumerate(entry.path) if letter == ord("/")]
        blocked = next((path for path in above if _is_solid(top, path)), None)
        if blocked:
            if blocked not in going and blocked not in told:
                told.add(blocked)
                yield blocked
        elif old is None or old == A_FOLDER:
            found = _in_place_of(top, entry, going)
            yield from (path for path in found if path not in told)
            told.update(found)


def _is_solid(top: bytes, path: bytes) -> bool:
    """Whether there is something that is no folder."""
    mode = _mode(top + b"/" + path)
    return mode is not None and not stat.S_ISDIR(mode)


def _in_place_of(top: bytes, entry: Entry, going: set[bytes]) -> list[bytes]:
    mode = _mode(top + b"/" + entry.path)
    if mode is None:
        return []
    if not stat.S_ISDIR(mode):
        return [] if entry.path in going else [entry.path]
    return [] if entry.kind == FOLDER else list(_left(top, entry.path, going))


def _left(top: bytes, folder: bytes, going: set[bytes]) -> Iterator[bytes]:
    """What would still be in the folder, which has to make room for a file. Folders without files go too."""
    for place, folders, files in os.walk(top + b"/" + folder):
        links = [name for name in folders if os.path.islink(os.path.join(place, name))]
        for name in [*files, *links]:
            path = os.path.join(place, name)[len(top) + 1 :]
            if path not in going:
                yield path


def _mode(path: bytes) -> int | None:
    try:
        return os.lstat(path).st_mode
    except (FileNotFoundError, NotADirectoryError):
        return None
