"""Three-way merge of Parquet files by rows: in the order of ours and in its row groups, with what can be
seen of its writer's settings. What is held in memory is a row group or a piece of one."""

from collections.abc import Mapping, Sequence
from contextlib import closing, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from kamld.formats.tables.digests import Digests
from kamld.formats.tables.merging.plan import (
    DROP,
    SETTLE,
    TAKE,
    Numbers,
    RowPlan,
    Sources,
    check_renamed,
    plan_rows,
    settle_cells,
)
from kamld.formats.tables.merging.scattered import Scattered
from kamld.formats.tables.merging.schemas import Output, merged_schema, plain, value_type
from kamld.formats.tables.merging.settle import (
    CONFLICTS_KEPT,
    Decide,
    RowMerge,
    columns_gone,
    conflict_of,
    decided,
    gone_conflict,
    merge_columns,
    settle,
)
from kamld.formats.tables.parquet import ParquetTable, column_digests

if TYPE_CHECKING:
    import pyarrow as pa

_ROWS = 1 << 17  # of a row group that are gone through at once


@dataclass(frozen=True, slots=True)
class _Side:
    """Rows of one file in a piece: `at` says which row of its table each place has, -1 for none."""

    table: "pa.Table"
    at: Numbers


def merge_parquet(
    tables: Sequence[ParquetTable], out: BinaryIO | None, key: Sequence[str] | None,
    decide: Decide | None, budget: int,
) -> RowMerge:  # fmt: skip
    """`out` None: only find out. Use it within `damage_told`. Raises Invalid."""
    base, ours, theirs = tables
    columns = merge_columns(base.columns, ours.columns, theirs.columns)
    schema = merged_schema([table.schema for table in tables], columns)
    comparable = {*base.columns} == {*ours.columns} == {*theirs.columns}
    for table in tables:
        table.compared = tuple(sorted(columns)) if comparable else ()
    plan = plan_rows(tables, key, budget, comparable=comparable)
    check_renamed(plan)
    merge = _Merge(plan, schema, decide, out)
    merge.run()
    merge.result.written = out is not None and not merge.result.conflict_count
    return merge.result


class _Merge:
    def __init__(
        self, plan: RowPlan, schema: "pa.Schema", decide: Decide | None, out: BinaryIO | None
    ) -> None:
        self._plan, self._schema, self._decide = plan, schema, decide
        self._base, self._ours, self._theirs = (part.table for part in plan.indexed)
        self._output = Output(out, schema, self._ours, self._theirs) if out is not None else None
        self._gone = columns_gone(self._base.columns, self._ours.columns, self._theirs.columns)
        self.result = RowMerge(plan.key)

    def run(self) -> None:
        plan = self._plan
        with self._output or nullcontext():
            self._rows_of_ours(self._ours.spans(_ROWS))
            added = np.flatnonzero(plan.theirs)
            self._rows_of_theirs(added, np.append(np.arange(_ROWS, len(added), _ROWS), len(added)))

    def _rows_of_ours(self, ends: Numbers) -> None:
        plan = self._plan
        settled = plan.ours == SETTLE
        wanted = np.flatnonzero(settled | (plan.ours == TAKE) if self._output else settled)
        at = np.flatnonzero(settled)
        if not (self._output or len(at)):
            self.result.rows += int((plan.ours != 0).sum())
            return
        low = 0
        with (
            closing(_scattered(self._theirs, wanted, plan.ours_theirs[wanted], ends)) as theirs,
            closing(_scattered(self._base, at, plan.ours_base[at], ends)) as base,
        ):
            for number, (table, ends_group) in enumerate(self._ours.pieces(_ROWS)):
                high = int(ends[number])
                count = high - low
                sides = [_side(part.part(number), low, count) for part in (base, theirs)]
                own = _Side(table, np.arange(count))
                self._piece(plan.ours[low:high], own, sides[1], sides[0])
                if self._output and ends_group:
                    self._output.end_group()
                low = high

    def _rows_of_theirs(self, rows: Numbers, ends: Numbers) -> None:
        """Those that ours does not have."""
        plan = self._plan
        actions = plan.theirs[rows]
        if not len(rows) or not (self._output or (actions == SETTLE).any()):
            self.result.rows += len(rows)
            return
        at = np.flatnonzero(actions == SETTLE)
        low = 0
        with (
            closing(_scattered(self._theirs, np.arange(len(rows)), rows, ends)) as theirs,
            closing(_scattered(self._base, at, plan.theirs_base[rows[at]], ends)) as base,
        ):
            for number, high in enumerate(ends.tolist()):
                sides = [_side(part.part(number), low, high - low) for part in (base, theirs)]
                none = _Side(self._ours.schema.empty_table(), np.full(high - low, -1, np.int64))
                self._piece(actions[low:high], none, sides[1], sides[0])
                low = high
                if self._output:
                    self._output.end_group(full=True)

    def _piece(self, actions: Any, ours: _Side, theirs: _Side, base: _Side) -> None:
        """Rows in the order in which they come out."""
        names = self._schema.names
        there = actions != DROP
        self.result.rows += int((~there).sum()) + int((actions == TAKE).sum())
        from_theirs = np.zeros((len(actions), len(names)), np.bool_)
        from_theirs[actions == TAKE] = True
        rows = np.flatnonzero(actions == SETTLE)
        if len(rows):
            sources = Sources(ours.at[rows], theirs.at[rows], base.at[rows])
            was, mine, other = (
                self._digests(side, rows, names) for side in (base, ours, theirs)
            )  # fmt: skip
            self._check_gone(rows, base, {"ours": ours, "theirs": theirs})
            verdict = settle_cells(was, mine, other, sources, [name in self._base.columns for name in names])
            from_theirs[rows] = verdict.from_theirs
            there[rows[verdict.dropped]] = False
            self.result.rows += int(verdict.touched.sum()) + int(
                (verdict.dropped & (sources.ours >= 0)).sum()
            )
            left = rows[verdict.open]
            if self._decide is None and self.result.conflict_count >= CONFLICTS_KEPT:
                self.result.conflict_count += len(left)
                left = left[:0]
            for row in left.tolist():
                chosen = self._decided(base, ours, theirs, row)
                there[row] = chosen is not None
                from_theirs[row] = [(chosen or {}).get(name) == "theirs" for name in names]
        if self._output:
            self._output.add(ours.table, ours.at, theirs.table, theirs.at, from_theirs, there)

    def _digests(self, side: _Side, rows: Numbers, names: Sequence[str]) -> Digests:
        """(rows, columns, 2); zeros stand for nothing."""
        out = np.zeros((len(rows), len(names), 2), np.uint64)
        at = side.at[rows]
        has = np.flatnonzero(at >= 0)
        for column, name in enumerate(names):
            if name in side.table.column_names and len(has):
                kind = value_type(self._schema.field(name)) if name in self._schema.names else None
                values = plain(side.table.column(name).take(at[has]), kind)
                digests = column_digests(values, self._plan.hasher).copy()
                digests[values.is_null().to_numpy(zero_copy_only=False)] = 0
                out[has, column] = digests
        return out

    def _check_gone(self, rows: Numbers, base: _Side, sides: Mapping[str, _Side]) -> None:
        for which, names in self._gone.items():
            side = sides[which]
            both = (base.at[rows] >= 0) & (side.at[rows] >= 0)
            for name in names:
                was, now = (self._digests(some, rows[both], [name]) for some in (base, side))
                if (was != now).any():
                    raise gone_conflict(name)

    def _decided(self, base: _Side, ours: _Side, theirs: _Side, row: int) -> Mapping[str, str] | None:
        """From whom each cell of a row is taken; None: it goes."""
        values = [_values(side, row) for side in (base, ours, theirs)]
        found = settle(values[0], values[1], values[2], self._schema.names)
        present = values[1] or values[2] or {}
        label = tuple(present.get(name) or "" for name in self.result.key)
        sides = found.sides
        if found.conflicting:
            conflict = conflict_of(label, found, values[0], values[1], values[2])
            side = self._decide(conflict) if self._decide else None
            if side is None:
                self.result.left(conflict)
            else:
                sides = decided(found, side)
        if sides is None or "theirs" in sides.values():
            self.result.rows += bool(ours.at[row] >= 0) or sides is not None
        return sides


def _scattered(table: ParquetTable, places: Numbers, rows: Numbers, ends: Numbers) -> Scattered:
    """Rows of the table by the places that they are wanted at; -1 is no row."""
    there = np.flatnonzero(rows >= 0)
    order = there[np.argsort(rows[there], kind="stable")]
    return Scattered(table, rows[order], places[order], ends)


def _side(part: "tuple[Numbers, pa.Table]", low: int, count: int) -> _Side:
    places, table = part
    at = np.full(count, -1, np.int64)
    at[places - low] = np.arange(len(places))
    return _Side(table, at)


def _values(side: _Side, row: int) -> dict[str, str | None] | None:
    if side.at[row] < 0:
        return None
    cells = side.table.slice(int(side.at[row]), 1).to_pylist()[0]
    return {name: None if value is None else str(value) for name, value in cells.items()}
