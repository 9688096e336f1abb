"""Three-way merge of files whose rows are lines: CSV, TSV, JSONL. What nobody touched is copied."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from kamld.errors import Invalid
from kamld.formats.tables.delimited import Delimited
from kamld.formats.tables.jsonlines import JsonLines
from kamld.formats.tables.lines import encoding
from kamld.formats.tables.lines_index import Indexed, LinesTable
from kamld.formats.tables.merging.cells import Cells
from kamld.formats.tables.merging.output import Numbers, Pieces, Sink
from kamld.formats.tables.merging.plan import (
    DROP,
    KEEP,
    TAKE,
    RowPlan,
    Sources,
    check_renamed,
    plan_rows,
)
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

_COPY = 4 * 1024 * 1024
_BYTES = 6 * 1024 * 1024  # of rows that are joined at once
_ROWS = 1 << 15


def merge_lines(
    tables: Sequence[LinesTable], out: BinaryIO | None, key: Sequence[str] | None,
    decide: Decide | None, budget: int,
) -> RowMerge:  # fmt: skip
    """`out` None: only find out. Raises Invalid."""
    base, ours, theirs = tables
    columns = _columns(tables)
    comparable = ours.alike(base) and ours.alike(theirs)  # type: ignore[arg-type]
    plan = plan_rows(tables, key, budget, comparable=comparable)
    if columns is not None:
        check_renamed(plan)
    merge = _Merge(plan, columns, decide, theirs_as_it_is=comparable)
    merge.run(Sink(out, ours.newline))
    merge.result.written = out is not None and not merge.result.conflict_count
    return merge.result


def _columns(tables: Sequence[LinesTable]) -> tuple[str, ...] | None:
    """None: rows say themselves which they have."""
    if any(isinstance(table, JsonLines) for table in tables):
        return None
    _check_alike([table for table in tables if isinstance(table, Delimited)])
    return merge_columns(*(table.columns for table in tables))


def _check_alike(tables: Sequence[Delimited]) -> None:
    """That a column is the same one in all of them, and a letter the same letter."""
    heads = {table.dialect.header for table in tables}
    if len(heads) > 1:
        raise Invalid("columns_conflict", "One version has a header and another has none.")
    if len({table.first for table in tables}) > 1:
        if not heads.pop():
            raise Invalid(
                "columns_conflict",
                "Its first line has only numbers and is not the same in all versions, so it may be a row "
                "or name the columns.",
                "Take one side's file whole, or give it a header of names first.",
            )
        if any(table.columns != table.first for table in tables):
            raise Invalid(
                "columns_conflict", "Two of its columns have one name, and not all versions have the same.",
                "Give them different names, or take one side's file whole.",
            )  # fmt: skip
    if len({found for table in tables if (found := encoding(table.file))}) > 1:
        raise Invalid(
            "mixed_encodings", "One version is in UTF-8 and another in another encoding.",
            "Save one like the other, or take one side's file whole.",
        )  # fmt: skip


class _Merge:
    def __init__(
        self, plan: RowPlan, columns: tuple[str, ...] | None, decide: Decide | None, *, theirs_as_it_is: bool
    ) -> None:
        self._plan = plan
        self._base, self._ours, self._theirs = plan.indexed
        self._columns = columns
        self._decide = decide
        tables = [part.table for part in plan.indexed]
        self._rewrite = columns is not None and columns != tables[1].columns
        self._theirs_as_it_is = theirs_as_it_is and not self._rewrite
        self.result = RowMerge(plan.key)
        self._gone = {} if columns is None else columns_gone(*(table.columns for table in tables))
        self._cells: Cells | None = None
        if columns is not None and len({table.dialect.delimiter for table in tables}) == 1:
            self._cells = Cells(plan, columns, self._gone)

    def run(self, sink: Sink) -> None:
        table, plan = self._ours.table, self._plan
        cells = self._theirs.table.header_cells() | table.header_cells()
        sink.head(table.head_for(self._columns or (), cells))
        for low, high in _cut(self._ours.starts, len(plan.ours)):
            actions = plan.ours[low:high]
            if actions.any() or self._rewrite:
                self._chunk(low, high, sink)
            else:
                sink.begin(self._gap(high - 1))
                self._copy(int(self._ours.starts[low]), int(self._ours.ends[high - 1]), sink)
        added = np.flatnonzero(plan.theirs)
        for low, high in _cut(np.cumsum((self._theirs.ends - self._theirs.starts)[added]), len(added)):
            self._append(added[low:high], sink)
        sink.end(closed=self._closed())

    def _chunk(self, low: int, high: int, sink: Sink) -> None:
        """Rows of ours, some of which are not kept as they are."""
        plan, ours = self._plan, self._ours
        actions, rows = plan.ours[low:high], np.arange(low, high)
        b, t = plan.ours_base[low:high], plan.ours_theirs[low:high]
        begins = int(ours.starts[low])
        data = ours.between(begins, int(ours.starts[high]) if high < len(ours.starts) else -1)
        starts, ends = ours.starts[low:high] - begins, ours.ends[low:high] - begins
        pieces = Pieces()
        pieces.buffer(data)
        whole = actions == KEEP if not self._rewrite else np.zeros(len(rows), np.bool_)
        taken = actions == TAKE if self._theirs_as_it_is else np.zeros(len(rows), np.bool_)
        there = ~(actions == DROP)
        self.result.rows += int((~there).sum()) + int(taken.sum())
        others = np.flatnonzero(there & ~whole & ~taken)
        sources = Sources(rows[others], t[others], b[others])
        self._settle_all(others, sources, pieces, whole, there)
        pieces.add(np.flatnonzero(whole), starts[whole], ends[whole])
        if sink.wanted and taken.any():
            self._add_theirs(np.flatnonzero(taken), t[taken], pieces)
        left = np.flatnonzero(there)
        if not len(left):
            return
        last = int(left[-1])
        gap_ends = np.append(starts[1:], len(data))
        pieces.add(left[:-1], ends[left[:-1]], gap_ends[left[:-1]])
        sink.begin(data[int(ends[last]) : int(gap_ends[last])])
        if sink.wanted:
            sink.raw(pieces.joined())

    def _append(self, rows: Numbers, sink: Sink) -> None:
        """Rows of theirs that ours does not have."""
        plan = self._plan
        pieces, there = Pieces(), np.ones(len(rows), np.bool_)
        taken = (plan.theirs[rows] == TAKE) & self._theirs_as_it_is
        self.result.rows += int(taken.sum())
        others = np.flatnonzero(~taken)
        none = np.full(len(others), -1, np.int64)
        sources = Sources(none, rows[others], plan.theirs_base[rows[others]])
        self._settle_all(others, sources, pieces, np.zeros(len(rows), np.bool_), there)
        if sink.wanted and taken.any():
            self._add_theirs(np.flatnonzero(taken), rows[taken], pieces)
        left = np.flatnonzero(there)
        if not len(left):
            return
        newline = self._ours.table.newline
        begins = pieces.buffer(newline)
        starts = np.full(len(left) - 1, begins)
        pieces.add(left[:-1], starts, starts + len(newline))
        sink.begin(newline)
        if sink.wanted:
            sink.raw(pieces.joined())

    def _settle_all(
        self, places: Numbers, sources: Sources, pieces: Pieces, whole: NDArray[np.bool_],
        there: NDArray[np.bool_],
    ) -> None:  # fmt: skip
        """Settle rows cell by cell: in bulk what is clear, one by one what somebody has to decide."""
        one_by_one = np.arange(len(places))
        if self._cells and len(places):
            found = self._cells.settle(sources, rewrite=self._rewrite)
            self.result.rows += found.rows
            there[places[found.verdict.dropped]] = False
            whole[places[found.ours]] = True
            self._cells.add(found, places, pieces)
            one_by_one = np.flatnonzero(found.verdict.open)
            if self._decide is None and self.result.conflict_count >= CONFLICTS_KEPT:
                self.result.conflict_count += len(one_by_one)
                one_by_one = one_by_one[:0]
        made, at = [], []
        for number in one_by_one.tolist():
            o, t, b = (int(part[number]) for part in (sources.ours, sources.theirs, sources.base))
            data = self._settled(b, o, t)
            if data is None:
                there[places[number]] = False
            else:
                made.append(data)
                at.append(int(places[number]))
        if made:
            begins = pieces.buffer(b"".join(made))
            ends = np.cumsum([len(data) for data in made]) + begins
            pieces.add(np.array(at), np.append(begins, ends[:-1]), ends)

    def _add_theirs(self, places: Numbers, rows: Numbers, pieces: Pieces) -> None:
        data, starts, ends = self._theirs.gathered(rows)
        begins = pieces.buffer(data)
        pieces.add(places, starts + begins, ends + begins)

    def _settled(self, base: int, ours: int, theirs: int) -> bytes | None:
        """The row's bytes, None where it goes."""
        parts = (self._base, self._ours, self._theirs)
        cells = [self._split(part, row) for part, row in zip(parts, (base, ours, theirs), strict=True)]
        values = [
            None if some is None else {name: part.table.value(cell) for name, cell in some.items()}
            for part, some in zip(parts, cells, strict=True)
        ]
        columns = self._columns or tuple(dict.fromkeys(name for some in cells[::-1] for name in some or ()))
        self._check_gone(values)
        found = settle(values[0], values[1], values[2], columns, free=self._columns is None)
        sides = found.sides
        if found.conflicting:
            there = values[1] or values[2] or {}
            label = tuple(self._ours.table.plain(there.get(name, "")) for name in self.result.key)
            conflict = conflict_of(label, found, values[0], values[1], values[2])
            side = self._decide(conflict) if self._decide else None
            if side is None:
                self.result.left(conflict)
            else:
                sides = decided(found, side)
        if sides is None or "theirs" in sides.values():
            self.result.rows += ours >= 0 or sides is not None
        if sides is None:
            return None
        if ours >= 0 and not self._rewrite and "theirs" not in sides.values():
            return self._ours.raw(ours)
        if theirs >= 0 and self._theirs_as_it_is and "ours" not in sides.values():
            return self._theirs.raw(theirs)
        return self._joined(cells[1] or {}, cells[2] or {}, sides)

    def _joined(
        self, ours: Mapping[str, bytes], theirs: Mapping[str, bytes], sides: Mapping[str, str]
    ) -> bytes:
        table = self._ours.table
        taken = {}
        for name, side in sides.items():
            cell = ours.get(name) if side == "ours" else theirs.get(name)
            if cell is not None:
                taken[name] = cell if side == "ours" else table.adopt(cell, self._theirs.table)
        data: bytes = table.join(taken, self._columns or ())
        return data

    def _check_gone(self, values: Sequence[Mapping[str, Any] | None]) -> None:
        base, rows = values[0], {"ours": values[1], "theirs": values[2]}
        for side, names in self._gone.items():
            row = rows[side]
            for name in names:
                if base is not None and row is not None and row.get(name) != base.get(name):
                    raise gone_conflict(name)

    def _split(self, part: Indexed, row: int) -> dict[str, bytes] | None:
        if row < 0:
            return None
        cells: dict[str, bytes] = part.table.split(part.raw(row), row + 1)
        return cells

    def _gap(self, row: int) -> bytes:
        """What stands between a row of ours and the next."""
        ours = self._ours
        return ours.between(
            int(ours.ends[row]), int(ours.starts[row + 1]) if row + 1 < len(ours.starts) else -1
        )

    def _closed(self) -> bool:
        """Whether ours ends with a line end."""
        if not len(self._ours.starts):
            return bool(self._ours.table.head.endswith(b"\n"))
        return bool(self._gap(len(self._ours.starts) - 1))

    def _copy(self, start: int, end: int, sink: Sink) -> None:
        while sink.wanted and start < end:
            piece = self._ours.between(start, min(start + _COPY, end))
            if not piece:
                raise Invalid("changing_file", "A table became shorter while it was read.")
            sink.raw(piece)
            start += len(piece)


def _cut(positions: Numbers, count: int) -> Iterator[tuple[int, int]]:
    """Rows at positions that grow with their bytes, a few megabytes at once."""
    low = 0
    while low < count:
        limit = int(positions[low]) + _BYTES
        high = low + int(np.searchsorted(positions[low : low + _ROWS], limit))
        yield low, max(high, low + 1)
        low = max(high, low + 1)
