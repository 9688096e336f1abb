"""What becomes of each row, by digests alone: kept, taken, dropped, or to be settled cell by cell."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kamld.errors import Invalid
from kamld.formats.tables.digests import Digests, Hasher, filled
from kamld.formats.tables.keys import SAMPLE, candidates, check_key, find_key
from kamld.formats.tables.lines_index import Indexed, LinesTable, index, key_text, repeated_key, sampled
from kamld.formats.tables.matching import Repeated, match
from kamld.formats.tables.parquet import ParquetTable

SIDES = ("base", "ours", "theirs")
KEEP, TAKE, DROP, SETTLE = 0, 1, 2, 3
_NOTHING = 0  # of theirs' rows: they are not there, or come with ours
Numbers = NDArray[np.int64]
Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class RowPlan:
    """What becomes of each row of ours, and of those of theirs that ours lacks; -1: no such row."""

    indexed: Sequence[Indexed]  # of base, ours and theirs
    key: tuple[str, ...]
    hasher: Hasher
    ours: NDArray[np.uint8]
    ours_base: Numbers
    ours_theirs: Numbers
    theirs: NDArray[np.uint8]
    theirs_base: Numbers


def plan_rows(
    tables: Sequence[LinesTable | ParquetTable], key: Sequence[str] | None, budget: int, *, comparable: bool
) -> RowPlan:
    """`comparable`: rows of equal digests are equal. Without a key the first that tells rows apart.

    Raises Invalid (unknown_column, empty_key, repeated_key, no_row_key, damaged_table).
    """
    if key is not None:
        check_key(key, [table.columns for table in tables])
        return _by_key(tables, tuple(key), budget, comparable)
    samples = [sampled(table, SAMPLE) for table in tables]
    common = [name for name in tables[0].columns if all(name in table.columns for table in tables)]
    found: list[RowPlan] = []

    def works(candidate: tuple[str, ...]) -> bool:
        try:
            found.append(_by_key(tables, candidate, budget, comparable))
        except Invalid as error:
            if error.code in ("empty_key", "repeated_key"):
                return False
            raise
        return True

    find_key(candidates(samples, common), works)
    return found[0]


@dataclass(frozen=True, slots=True)
class Sources:
    """Rows of the three that belong together; -1 where one has none."""

    ours: Numbers
    theirs: Numbers
    base: Numbers


@dataclass(frozen=True, slots=True)
class Verdict:
    """What becomes of rows: some go, some somebody has to decide about; of the others the cells that are
    theirs, and whether any is."""

    dropped: Mask
    open: Mask
    from_theirs: Mask  # (rows, columns)
    touched: Mask


def settle_cells(
    was: Digests, mine: Digests, other: Digests, sources: Sources, known: Sequence[bool]
) -> Verdict:
    """Three-way, by digests of cells: (rows, columns, 2). Zeros stand for no cell. `known`: which columns
    the base has; one that was given to all rows changes none of them."""
    alike, theirs_same = (mine == other).all(axis=-1), (other == was).all(axis=-1)
    changed = ~(alike | theirs_same)
    ours_same = (mine == was).all(axis=-1)
    from_theirs, conflicts = changed & ours_same, (changed & ~ours_same).any(axis=1)
    has_ours, has_theirs = sources.ours >= 0, sources.theirs >= 0
    alone = ~has_ours | ~has_theirs
    from_theirs[alone] = ~has_ours[alone, None]
    removed = alone & (sources.base >= 0)
    differs = ((np.where(has_ours[:, None, None], mine, other) != was).any(axis=2) & known).any(axis=1)
    dropped, undecided = removed & ~differs, np.where(alone, removed & differs, conflicts)
    return Verdict(dropped, undecided, from_theirs, from_theirs.any(axis=1) & ~dropped & ~undecided)


def check_renamed(plan: RowPlan) -> None:
    """A side that has another column in the place of one says nothing about rows that the other side added
    with that one. Raises Invalid (columns_conflict)."""
    base, ours, theirs = (part.table.columns for part in plan.indexed)
    added_by_ours = ((plan.ours_base < 0) & (plan.ours_theirs < 0)).any()
    added_by_theirs = ((plan.theirs == TAKE) & (plan.theirs_base < 0)).any()
    for mine, other, added in ((ours, theirs, added_by_theirs), (theirs, ours, added_by_ours)):
        gone = [name for name in base if name not in mine and name in other]
        come = [name for name in mine if name not in base]
        if gone and come and added:
            raise Invalid(
                "columns_conflict",
                f'One side has "{come[0]}" and no more "{gone[0]}", the other added rows that have '
                f'"{gone[0]}".',
                "Take one side's file whole, or name the column alike on both.",
            )


def _by_key(
    tables: Sequence[LinesTable | ParquetTable], key: tuple[str, ...], budget: int, comparable: bool
) -> RowPlan:
    hasher, share = Hasher(), budget // 24
    indexed = [index(table, hasher, key, share, what) for table, what in zip(tables, SIDES, strict=True)]
    _, o, t = indexed
    plan = RowPlan(
        indexed, key, hasher,
        filled(len(o.keys), KEEP, np.uint8, share), filled(len(o.keys), -1, np.int64, share),
        filled(len(o.keys), -1, np.int64, share), filled(len(t.keys), _NOTHING, np.uint8, share),
        filled(len(t.keys), -1, np.int64, share),
    )  # fmt: skip
    try:
        for groups in match([table.keys for table in indexed], budget // 2):
            _classify(plan, groups, comparable)
    except Repeated as error:
        value = key_text(indexed[error.table], error.first, key)
        raise repeated_key(error, key, SIDES, value) from None
    return plan


def _classify(plan: RowPlan, groups: Numbers, comparable: bool) -> None:
    indexed = plan.indexed
    b, o, t = groups.T

    def same(one: int, other: int) -> NDArray[np.bool_]:
        there = (groups[:, one] >= 0) & (groups[:, other] >= 0) & comparable
        at = np.flatnonzero(there)
        left, right = indexed[one].contents, indexed[other].contents
        there[at] = (left[groups[at, one]] == right[groups[at, other]]).all(axis=1)
        return there

    same_base_ours, same_base_theirs = same(0, 1), same(0, 2)
    has_base, has_ours, has_theirs = b >= 0, o >= 0, t >= 0
    both = has_ours & has_theirs
    action = np.full(len(groups), SETTLE, np.uint8)
    action[both & same_base_ours] = TAKE
    action[both & (same_base_theirs | same(1, 2))] = KEEP
    action[has_ours & ~has_theirs & ~has_base] = KEEP
    action[has_ours & ~has_theirs & same_base_ours] = DROP
    plan.ours[o[has_ours]] = action[has_ours]
    plan.ours_base[o[has_ours]] = b[has_ours]
    plan.ours_theirs[o[has_ours]] = t[has_ours]
    alone = has_theirs & ~has_ours
    action[alone & ~has_base] = TAKE
    action[alone & same_base_theirs] = _NOTHING
    plan.theirs[t[alone]] = action[alone]
    plan.theirs_base[t[alone]] = b[alone]
