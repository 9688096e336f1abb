"""What `kamld status` says of changed tables: apart, for looking into files loads a lot, and is rare."""

from pathlib import Path

from kamld.changes.compare import Wanted, compare_change
from kamld.cli import diff_views, views
from kamld.formats.tables import SUFFIXES
from kamld.store import Change, Repository

_LOOKED_INTO = 4_000_000  # bytes of changed tables that are compared by rows, smallest first
_SUFFIXES = tuple(suffix.encode() for suffix in SUFFIXES)


def notes(repository: Repository, top: Path, changes: list[Change]) -> dict[bytes, str]:
    """What is said about changed tables that are small."""
    altered = [change for change in changes if change.old and change.new]
    if len(altered) > views.LISTED:  # they are only counted
        return {}
    tables = [(_size(c), c) for c in altered if c.path.lower().endswith(_SUFFIXES)]
    left, notes = _LOOKED_INTO, {}
    for size, change in sorted(tables, key=lambda one: one[0]):
        left -= size
        found = compare_change(repository, change, top, Wanted(rows=0)) if left >= 0 else None
        if found:
            notes[change.path] = diff_views.summary(found, views.sizes(change), lines=False)
    return notes


def _size(change: Change) -> int:
    return sum(entry.size for entry in (change.old, change.new) if entry)
