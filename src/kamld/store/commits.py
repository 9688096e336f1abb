"""Commits: objects of canonical JSON that name a tree and what is known about it."""

import heapq
from collections.abc import Iterable, Iterator

from kamld.errors import SystemFault
from kamld.records.encoding import decode, encode
from kamld.records.history import Commit
from kamld.store.objects import Objects, Writer

_BEHIND = 4  # among the sides of a merge: an ancestor of a base that was found


def write_commit(writer: Writer, commit: Commit) -> str:
    return writer.put(encode(commit)).hex()


def read_commit(objects: Objects, identifier: str) -> Commit:
    return decode(objects.read(bytes.fromhex(identifier)), Commit, f"commit {identifier[:12]}")


def is_commit(objects: Objects, identifier: bytes) -> bool:
    """Whether the object, which may be anything at all, is a commit of this hub."""
    if objects.lengths([identifier])[0] > 1_000_000:
        return False
    data = objects.read(identifier)
    try:
        return data.startswith(b"{") and objects.has(bytes.fromhex(decode(data, Commit, "it").tree))
    except (SystemFault, ValueError):
        return False


def ancestry(objects: Objects, *starts: str) -> Iterator[tuple[str, Commit]]:
    """`starts` and all commits before them, newest first; a commit always before its parents, whose
    times are earlier than its own."""
    firsts = {start: read_commit(objects, start) for start in starts}
    waiting = [(_newest_first(first.time), start, first) for start, first in firsts.items()]
    heapq.heapify(waiting)
    seen = set(firsts)
    while waiting:
        _, identifier, commit = heapq.heappop(waiting)
        yield identifier, commit
        for parent in commit.parents:
            if parent not in seen:
                seen.add(parent)
                older = read_commit(objects, parent)
                heapq.heappush(waiting, (_newest_first(older.time), parent, older))


def _newest_first(time: str) -> tuple[int, ...]:
    return tuple(-ord(character) for character in time)


def is_ancestor(objects: Objects, older: str, newer: str) -> bool:
    return any(identifier == older for identifier, _ in ancestry(objects, newer))


def reached(objects: Objects, starts: Iterable[str], wanted: Iterable[str]) -> set[str]:
    """Which of the `wanted` commits are among `starts` or before one of them. Reads nothing that is
    older than they are, but every start."""
    begin, missing = set(starts), set(wanted)
    found = missing & begin
    missing -= found
    oldest = min((read_commit(objects, identifier).time for identifier in missing), default="")
    for identifier, commit in ancestry(objects, *begin) if missing else ():
        if identifier in missing:
            found.add(identifier)
            missing.discard(identifier)
        if not missing or commit.time < oldest:
            break
    return found


def apart(objects: Objects, starts: Iterable[str], others: Iterable[str]) -> Iterator[tuple[str, Commit]]:
    """`starts` and what came before them, of what is not among `others` or before one of them; newest first.

    Reads no more of either history than what is newer than what they have in common.
    """
    common = dict.fromkeys(starts, False) | dict.fromkeys(others, True)
    commits = {identifier: read_commit(objects, identifier) for identifier in common}
    waiting = [(_newest_first(commit.time), identifier) for identifier, commit in commits.items()]
    heapq.heapify(waiting)
    left = sum(not is_common for is_common in common.values())
    while left:
        _, identifier = heapq.heappop(waiting)
        commit, is_common = commits.pop(identifier), common[identifier]
        left -= not is_common
        for parent in commit.parents:
            if parent not in common:
                commits[parent] = read_commit(objects, parent)
                heapq.heappush(waiting, (_newest_first(commits[parent].time), parent))
                common[parent] = is_common
                left += not is_common
            elif is_common and not common[parent]:
                common[parent] = True
                left -= 1
        if not is_common:
            yield identifier, commit


def merge_base(objects: Objects, one: str, other: str) -> str | None:
    """The newest commit that both descend from; None where their histories never meet.

    Reads no more of either history than what is newer than that commit.
    """
    sides = {one: 1}
    sides[other] = sides.get(other, 0) | 2
    commits = {identifier: read_commit(objects, identifier) for identifier in sides}
    waiting = [(_newest_first(commit.time), identifier) for identifier, commit in commits.items()]
    heapq.heapify(waiting)
    while waiting:
        _, identifier = heapq.heappop(waiting)
        if sides[identifier] == 3:  # every child came before it, so this is known for certain
            return identifier
        for parent in commits.pop(identifier).parents:
            if parent not in sides:
                commits[parent] = read_commit(objects, parent)
                heapq.heappush(waiting, (_newest_first(commits[parent].time), parent))
            sides[parent] = sides.get(parent, 0) | sides[identifier]
    return None


def merge_bases(objects: Objects, one: str, other: str) -> list[str]:
    """The commits that both descend from and that no other such commit descends from, newest first.

    Several where the two histories were merged into each other crosswise.
    """
    sides = {one: 1}
    sides[other] = sides.get(other, 0) | 2
    commits = {identifier: read_commit(objects, identifier) for identifier in sides}
    waiting = [(_newest_first(commit.time), identifier) for identifier, commit in commits.items()]
    heapq.heapify(waiting)
    open_sides, found = len(waiting), []  # how many that wait are not behind one that was found
    while open_sides:
        _, identifier = heapq.heappop(waiting)
        side = sides[identifier]
        open_sides -= side < _BEHIND
        if side == 3:
            found.append(identifier)
        below = side | _BEHIND if side == 3 else side
        for parent in commits.pop(identifier).parents:
            before = sides.get(parent)
            if before is None:
                commits[parent] = read_commit(objects, parent)
                heapq.heappush(waiting, (_newest_first(commits[parent].time), parent))
            sides[parent] = (before or 0) | below
            open_sides += (sides[parent] < _BEHIND) - (before is not None and before < _BEHIND)
    return found
