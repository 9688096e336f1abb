"""Saying what was left out of a version because it was purged, beside whatever a verb says."""

from collections.abc import Iterable, Sequence
from itertools import islice, takewhile

from kamld import clock
from kamld.cli import render
from kamld.records.holes import Hole
from kamld.records.kinds import EXECUTABLE, FILE
from kamld.store import Entries, Objects, purged
from kamld.store.trees import present
from kamld.store.trees.entries import Entry

_SHOWN = 5
_LOOKED_AT = 200  # addresses, to tell in which folder all are


def paths_left_out(objects: Objects, entries: Entries) -> list[str]:
    """Paths of a version whose content was purged, for people."""
    return [render.path(path) for path in present(objects, entries)[1]]


def tell_left_out(objects: Objects, entries: Entries) -> None:
    """On standard error, so that what a program reads is as ever."""
    paths = present(objects, entries)[1]
    wanted = {row.path: row.id for row in entries.rows() if row.path in set(paths[:_SHOWN])} if paths else {}
    for path in paths[:_SHOWN]:
        hole = objects.hole(wanted[path])
        why = f": {purged(hole).message}" if hole else ""
        render.note(f"Left out {render.path(path)}{why}")
    if len(paths) > _SHOWN:
        render.note(f"… and {len(paths) - _SHOWN:,} more that were purged.")


def tell_refused(objects: Objects, found: Sequence[Entry]) -> None:
    """Files of a folder whose content was purged: the purge took them from the hub, not from here."""
    for entry in found[:_SHOWN]:
        hole = objects.hole(entry.id)
        render.say(f"{render.path(entry.path)} here was purged{_by(hole) if hole else ''}: remove it.")
    if len(found) > _SHOWN:
        render.say(f"… and {len(found) - _SHOWN:,} more here that were purged: remove them.")
    if found:
        render.say("A commit is refused until that is removed, or named in .kamldignore.")


def purged_of(objects: Objects, entries: Entries) -> str:
    """What of a version was purged, in a line; "" where nothing was."""
    paths = present(objects, entries)[1]
    if not paths:
        return ""
    first = next(row for row in entries.rows() if row.path == paths[0])
    hole = objects.hole(first.id)
    more = f", and {len(paths) - 1:,} more" if paths[1:] else ""
    return f"{render.path(first.path)}{_by(hole) if hole else ''}{more}"


def _by(hole: Hole) -> str:
    why = f", {hole.reason.rstrip('.')}" if hole.reason else ""
    return f" ({clock.local(hole.time)[:10]}, by {hole.author}{why})"


def left_elsewhere(objects: Objects, entries: Iterable[Entry]) -> tuple[int, str]:
    """How many of the files the hub has no copy of, for they were left where they are; and where that is."""
    ids = [entry.id for entry in entries if entry.kind in (FILE, EXECUTABLE)]
    left = set(objects.left(ids))
    folders = [objects.left_at(one).split("/")[:-1] for one in islice(left, _LOOKED_AT)]
    shared = list(takewhile(lambda names: len(set(names)) == 1, zip(*folders, strict=False)))
    return sum(one in left for one in ids), "/".join(names[0] for names in shared) or "several places"
