"""Three-way merge of files whose rows are lines: CSV, TSV, JSONL. What nobody touched is copied."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from kamld.errors import Invalid
from kamld.formats.tables.delimited import Delimited
from kamld.formats.tables.digests import Hasher, filled
from kamld.formats.tables.jsonlines import JsonLines
from kamld.formats.tables.keys import check_key
from kamld.formats.tables.lines_index import (
    Indexed,
    LinesTable,
    find_lines_key,
    index,
    key_text,
    repeated_key,
)
from kamld.formats.tables.matching import Repeated, match
from kamld.formats.tables.settle import (
    Decide,
    RowConflict,
    RowMerge,
    decided,
    merge_columns,
    settle,
    shown,
)

SIDES = ("base", "ours", "theirs")
_KEEP, _TAKE, _DROP, _SETTLE = 0, 1, 2, 3
_NOTHING = 0  # of theirs' rows: they are not there, or come with ours
_COPY = 4 * 1024 * 1024
_AT_ONCE = 1 << 16


@dataclass(frozen=True, slots=True)
class _Plan:
    """What becomes of each row of ours, and of those of theirs that ours lacks; -1: no such row."""

    ours: NDArray[np.uint8]
    ours_base: NDArray[np.int64]
    ours_theirs: NDArray[np.int64]
    theirs: NDArray[np.uint8]
    theirs_base: NDArray[np.int64]


def merge_lines(
    tables: Sequence[LinesTable], out: BinaryIO | None, key: Sequence[str] | None,
    decide: Decide | None, budget: int,
) -> RowMerge:  # fmt: skip
    """`out` None: only find out. Raises Invalid."""
    base, ours, theirs = tables
    columns = _columns(tables)
    if key is None:
        key = find_lines_key(tables, budget)
    else:
        check_key(key, [table.columns for table in tables])
    hasher, share = Hasher(), budget // 24
    indexed = [index(t, hasher, key, share, what) for t, what in zip(tables, SIDES, strict=True)]
    comparable = ours.alike(base) and ours.alike(theirs)  # type: ignore[arg-type]
    plan = _plan(indexed, comparable, key, budget)
    merge = _Merge(indexed, columns, tuple(key), decide, theirs_as_it_is=comparable)
    merge.run(plan, _Sink(out, ours.newline))
    merge.result.written = out is not None and not merge.result.conflict_count
    return merge.result


def _columns(tables: Sequence[LinesTable]) -> tuple[str, ...] | None:
    """None: rows say themselves which they have."""
    if any(isinstance(table, JsonLines) for table in tables):
        return None
    heads = {table.dialect.header for table in tables if isinstance(table, Delimited)}
    if len(heads) > 1:
        raise Invalid("columns_conflict", "One version has a header and another has none.")
    return merge_columns(*(table.columns for table in tables))


def _plan(indexed: Sequence[Indexed], comparable: bool, key: Sequence[str], budget: int) -> _Plan:
    share = budget // 24
    _, o, t = indexed
    plan = _Plan(
        filled(len(o.keys), _KEEP, np.uint8, share), filled(len(o.keys), -1, np.int64, share),
        filled(len(o.keys), -1, np.int64, share), filled(len(t.keys), _NOTHING, np.uint8, share),
        filled(len(t.keys), -1, np.int64, share),
    )  # fmt: skip
    try:
        for groups in match([table.keys for table in indexed], budget // 2):
            _classify(plan, indexed, groups, comparable)
    except Repeated as error:
        value = key_text(indexed[error.table], error.first, key)
        raise repeated_key(error, key, SIDES, value) from None
    return plan


def _classify(plan: _Plan, indexed: Sequence[Indexed], groups: NDArray[np.int64], comparable: bool) -> None:
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
    action = np.full(len(groups), _SETTLE, np.uint8)
    action[both & same_base_ours] = _TAKE
    action[both & (same_base_theirs | same(1, 2))] = _KEEP
    action[has_ours & ~has_theirs & ~has_base] = _KEEP
    action[has_ours & ~has_theirs & same_base_ours] = _DROP
    plan.ours[o[has_ours]] = action[has_ours]
    plan.ours_base[o[has_ours]] = b[has_ours]
    plan.ours_theirs[o[has_ours]] = t[has_ours]
    alone = has_theirs & ~has_ours
    action[alone & ~has_base] = _TAKE
    action[alone & same_base_theirs] = _NOTHING
    plan.theirs[t[alone]] = action[alone]
    plan.theirs_base[t[alone]] = b[alone]


class _Sink:
    """Rows with line ends between them."""

    def __init__(self, out: BinaryIO | None, newline: bytes) -> None:
        self._out, self._newline = out, newline
        self._gap: bytes | None = None  # what follows the row that was written last

    def head(self, data: bytes) -> None:
        self.raw(data)
        self._gap = b"" if not data or data.endswith((b"\n", b"\xbf")) else self._newline

    def raw(self, data: bytes) -> None:
        if self._out is not None:
            self._out.write(data)

    def begin(self, gap: bytes) -> None:
        """A row follows, after which comes `gap`."""
        if self._gap is not None:
            self.raw(self._gap)
        self._gap = gap or self._newline

    def end(self, *, closed: bool) -> None:
        if closed and self._gap:
            self.raw(self._gap)


class _Merge:
    def __init__(
        self, indexed: Sequence[Indexed], columns: tuple[str, ...] | None, key: tuple[str, ...],
        decide: Decide | None, *, theirs_as_it_is: bool,
    ) -> None:  # fmt: skip
        self._base, self._ours, self._theirs = indexed
        self._columns = columns
        self._decide = decide
        tables = [part.table for part in indexed]
        self._rewrite = columns is not None and columns != tables[1].columns
        self._theirs_as_it_is = theirs_as_it_is and not self._rewrite
        self.result = RowMerge(key)
        names = [set(table.columns) for table in tables]
        self._gone = {} if columns is None else {
            "ours": sorted(names[0] & names[1] - names[2]), "theirs": sorted(names[0] & names[2] - names[1]),
        }  # fmt: skip

    def run(self, plan: _Plan, sink: _Sink) -> None:
        table = self._ours.table
        cells = self._theirs.table.header_cells() | table.header_cells()
        sink.head(table.head_for(self._columns or (), cells))
        for start in range(0, len(plan.ours), _AT_ONCE):
            actions = plan.ours[start : start + _AT_ONCE]
            edges = np.flatnonzero(np.diff(actions)) + 1
            for low, high in zip([0, *edges.tolist()], [*edges.tolist(), len(actions)], strict=True):
                self._run_of(int(actions[low]), range(start + low, start + high), plan, sink)
        for row in np.flatnonzero(plan.theirs).tolist():
            self._append(row, plan, sink)
        sink.end(closed=self._closed())

    def _run_of(self, action: int, rows: range, plan: _Plan, sink: _Sink) -> None:
        if action == _DROP:
            self.result.rows += len(rows)
        elif action == _KEEP and not self._rewrite:
            sink.begin(self._gap(rows[-1]))
            self._copy(int(self._ours.starts[rows[0]]), int(self._ours.ends[rows[-1]]), sink)
        else:
            for row in rows:
                self._one(action, row, plan, sink)

    def _one(self, action: int, row: int, plan: _Plan, sink: _Sink) -> None:
        theirs, base = int(plan.ours_theirs[row]), int(plan.ours_base[row])
        if action == _TAKE and self._theirs_as_it_is:
            self.result.rows += 1
            data: bytes | None = self._theirs.raw(theirs)
        elif action == _KEEP and theirs < 0 and base < 0:
            data = self._joined(self._split(self._ours, row) or {}, {}, None)
        else:
            data = self._settled(base, row, theirs)
        if data is not None:
            sink.begin(self._gap(row))
            sink.raw(data)

    def _append(self, row: int, plan: _Plan, sink: _Sink) -> None:
        """A row of theirs that ours does not have."""
        if plan.theirs[row] == _SETTLE:
            data = self._settled(int(plan.theirs_base[row]), -1, row)
        else:
            self.result.rows += 1
            if self._theirs_as_it_is:
                data = self._theirs.raw(row)
            else:
                cells = self._split(self._theirs, row) or {}
                data = self._joined({}, cells, dict.fromkeys(cells, "theirs"))
        if data is not None:
            sink.begin(self._ours.table.newline)
            sink.raw(data)

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
        found = settle(values[0], values[1], values[2], columns)
        sides = found.sides
        if found.conflicting:
            there = values[1] or values[2] or {}
            label = tuple(self._ours.table.plain(there.get(name, "")) for name in self.result.key)
            conflict = RowConflict(label, found.kind, found.conflicting,
                                   *(shown(row, found.conflicting) for row in values))  # fmt: skip
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
        self, ours: Mapping[str, bytes], theirs: Mapping[str, bytes], sides: Mapping[str, str] | None
    ) -> bytes:
        table = self._ours.table
        taken = {}
        for name, side in (sides or dict.fromkeys(ours, "ours")).items():
            cell = ours.get(name) if side == "ours" else theirs.get(name)
            if cell is not None:
                taken[name] = cell if side == "ours" else table.adopt(cell, self._theirs.table)
        data: bytes = table.join(taken, self._columns or ())
        return data

    def _check_gone(self, values: Sequence[Mapping[str, Any] | None]) -> None:
        """A column that one side removed must not take with it what the other side wrote there."""
        base, rows = values[0], {"ours": values[1], "theirs": values[2]}
        for side, names in self._gone.items():
            row = rows[side]
            for name in names:
                if base is not None and row is not None and row.get(name) != base.get(name):
                    raise Invalid(
                        "columns_conflict",
                        f'One side removed the column "{name}", the other changed values in it.',
                        "Take one side's file whole.",
                    )

    def _split(self, part: Indexed, row: int) -> dict[str, bytes] | None:
        if row < 0:
            return None
        cells: dict[str, bytes] = part.table.split(part.raw(row))
        return cells

    def _gap(self, row: int) -> bytes:
        """What stands between a row of ours and the next."""
        ours = self._ours
        end = int(ours.ends[row])
        ours.table.file.seek(end)
        length = int(ours.starts[row + 1]) - end if row + 1 < len(ours.starts) else -1
        gap: bytes = ours.table.file.read(length)
        return gap

    def _closed(self) -> bool:
        """Whether ours ends with a line end."""
        return not len(self._ours.starts) or bool(self._gap(len(self._ours.starts) - 1))

    def _copy(self, start: int, end: int, sink: _Sink) -> None:
        file = self._ours.table.file
        file.seek(start)
        while start < end:
            piece = file.read(min(_COPY, end - start))
            if not piece:
                raise Invalid("changing_file", "A table became shorter while it was read.")
            sink.raw(piece)
            start += len(piece)
