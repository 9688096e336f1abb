"""Saying what was left out of a version because it was purged, beside whatever a verb says."""

from collections.abc import Iterable
from itertools import islice, takewhile

from kamld.cli import render
from kamld.store import Entries, Objects, purged
from kamld.store.trees import EXECUTABLE, FILE, Entry, present

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


def left_elsewhere(objects: Objects, entries: Iterable[Entry]) -> tuple[int, str]:
    """How many of the files the hub has no copy of, for they were left where they are; and where that is."""
    ids = [entry.id for entry in entries if entry.kind in (FILE, EXECUTABLE)]
    left = set(objects.left(ids))
    folders = [objects.left_at(one).split("/")[:-1] for one in islice(left, _LOOKED_AT)]
    shared = list(takewhile(lambda names: len(set(names)) == 1, zip(*folders, strict=False)))
    return sum(one in left for one in ids), "/".join(names[0] for names in shared) or "several places"
