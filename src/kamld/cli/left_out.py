"""Saying what was left out of a version because it was purged, beside whatever a verb says."""

from kamld.cli import render
from kamld.store import Entries, Objects, purged
from kamld.store.trees import present

_SHOWN = 5


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
