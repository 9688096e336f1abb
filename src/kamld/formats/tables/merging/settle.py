"""What becomes of a row and of a list of columns that two sides may have changed. Pure."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any, Literal

from kamld.errors import Invalid
from kamld.formats.text import legible

Side = Literal["ours", "theirs"]
Kind = Literal["changed", "added", "deleted by ours", "deleted by theirs"]
CONFLICTS_KEPT = 1000
_SHOWN = 200  # characters of a cell


@dataclass(frozen=True, slots=True)
class RowConflict:
    """A row that both sides changed differently. The cells are those of `columns` that conflict; None
    for a side that does not have the row."""

    key: tuple[str, ...]
    kind: Kind
    columns: tuple[str, ...]
    base: Mapping[str, str | None] | None
    ours: Mapping[str, str | None] | None
    theirs: Mapping[str, str | None] | None
    seen: str  # what a decision about it is about: the hash of its key and of these cells in full

    @property
    def label(self) -> str:
        return ", ".join(self.key)


Decide = Callable[[RowConflict], Side | None]


@dataclass(slots=True)
class RowMerge:
    """What a merge of rows came to. Nothing was written where a conflict is left."""

    key: tuple[str, ...]
    rows: int = 0  # merged from theirs: added, changed or deleted
    conflicts: list[RowConflict] = field(default_factory=list)  # the first 1000 that nobody decided
    conflict_count: int = 0
    written: bool = False

    def left(self, conflict: RowConflict) -> None:
        self.conflict_count += 1
        if len(self.conflicts) < CONFLICTS_KEPT:
            self.conflicts.append(conflict)


@dataclass(frozen=True, slots=True)
class Settled:
    """`sides`: from whom each column's cell is taken, in order; None: the row is deleted."""

    sides: Mapping[str, Side] | None
    conflicting: tuple[str, ...] = ()
    kind: Kind = "changed"


Row = Mapping[str, Any]


def settle(
    base: Row | None, ours: Row | None, theirs: Row | None, columns: Iterable[str], *, free: bool = False
) -> Settled:
    """Three-way, cell by cell. A row has comparable values by column; a column it lacks has none.

    `free`: rows have the columns they have; else a column that the base lacks was given to all rows, and
    changes none of them.

    Conflicting cells are ours in `sides`.
    """
    if ours is None or theirs is None:
        present, side = (theirs, "theirs") if ours is None else (ours, "ours")
        if present is None:
            return Settled(None)
        if base is None:
            return Settled(dict.fromkeys(present, side))  # type: ignore[arg-type]
        changed = tuple(
            name for name in columns if (free or name in base) and present.get(name) != base.get(name)
        )
        if not changed:
            return Settled(None)
        kind: Kind = "deleted by ours" if ours is None else "deleted by theirs"
        return Settled(dict.fromkeys(present, side), changed, kind)  # type: ignore[arg-type]
    before = base or {}
    sides: dict[str, Side] = {}
    conflicting = []
    for name in columns:
        was, mine, other = before.get(name), ours.get(name), theirs.get(name)
        if mine == other or other == was:
            sides[name] = "ours"
        elif mine == was:
            sides[name] = "theirs"
        else:
            sides[name] = "ours"
            conflicting.append(name)
    return Settled(sides, tuple(conflicting), "changed" if base is not None else "added")


def conflict_of(
    key: tuple[str, ...], settled: Settled, base: Row | None, ours: Row | None, theirs: Row | None
) -> RowConflict:
    kind, columns = settled.kind, settled.conflicting
    cells = [
        None if row is None else [repr(row.get(name)) for name in columns] for row in (base, ours, theirs)
    ]
    seen = sha256(repr((key, kind, columns, cells)).encode("utf-8", "backslashreplace")).hexdigest()
    return RowConflict(
        key, kind, columns, shown(base, columns), shown(ours, columns), shown(theirs, columns), seen
    )


def decided(settled: Settled, side: Side) -> Mapping[str, Side] | None:
    """`sides` once somebody decided for one."""
    if settled.kind in ("deleted by ours", "deleted by theirs"):
        return None if settled.kind == f"deleted by {side}" else settled.sides
    return {**(settled.sides or {}), **dict.fromkeys(settled.conflicting, side)}


def columns_gone(base: Sequence[str], ours: Sequence[str], theirs: Sequence[str]) -> dict[Side, list[str]]:
    """Columns that a side still has and the other removed."""
    return {
        "ours": sorted({*base} & {*ours} - {*theirs}), "theirs": sorted({*base} & {*theirs} - {*ours})
    }  # fmt: skip


def gone_conflict(column: str) -> Invalid:
    """A column that one side removed must not take with it what the other side wrote there."""
    return Invalid(
        "columns_conflict",
        f'One side removed the column "{column}", the other changed values in it.',
        "Take one side's file whole.",
    )


def shown(row: Row | None, columns: Sequence[str]) -> dict[str, str | None] | None:
    """Cells for people, cut where they are long."""
    if row is None:
        return None
    return {name: None if row.get(name) is None else clip(str(row[name])) for name in columns}


def clip(text: str) -> str:
    text = legible(text)
    return text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…"


def merge_columns(base: Sequence[str], ours: Sequence[str], theirs: Sequence[str]) -> tuple[str, ...]:
    """Columns that either side added, removed or moved. Raises Invalid (columns_conflict) where both
    moved them differently."""
    if list(ours) == list(base):
        return tuple(theirs)
    if list(theirs) == list(base) or list(theirs) == list(ours):
        return tuple(ours)
    gone = {name for name in base if name not in ours or name not in theirs}
    common = [name for name in base if name not in gone]
    mine = [name for name in ours if name in common]
    other = [name for name in theirs if name in common]
    if mine not in (common, other) and other != common:
        raise Invalid(
            "columns_conflict", "Both sides changed the order of its columns.", "Order one like the other."
        )
    first, second = (ours, theirs) if mine != common or other == common else (theirs, ours)
    merged = [name for name in first if name not in gone]
    for place, name in enumerate(second):
        if name in merged or name in gone:
            continue
        left = next((n for n in reversed(second[:place]) if n in merged), None)
        merged.insert(merged.index(left) + 1 if left is not None else 0, name)
    return tuple(merged)
