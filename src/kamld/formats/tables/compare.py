"""How two versions of a table differ: columns, and rows by a key, counted, with a few shown.

Where no column tells rows apart, equal rows are counted against each other: a changed row is then one
removed and one added.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Any, BinaryIO, Literal

import numpy as np
from numpy.typing import NDArray

from kamld.errors import Invalid
from kamld.formats.tables.delimited import Delimited
from kamld.formats.tables.digests import Digests, Hasher, Spill
from kamld.formats.tables.keys import check_key
from kamld.formats.tables.lines_index import Indexed, LinesTable, index, index_by_found_key, repeated_key
from kamld.formats.tables.matching import Repeated, grouped, in_part, match, parts_for
from kamld.formats.tables.merge import BUDGET, DELIMITED, JSON_LINES, open_lines
from kamld.formats.tables.merging.settle import clip
from kamld.formats.tables.parquet import PARQUET, ParquetTable, damage_told, open_parquet

Table = LinesTable | ParquetTable
SUFFIXES = (*DELIMITED, *JSON_LINES, *PARQUET)
_CHECKED = 20_000  # rows of other bytes that are compared cell by cell; more are by digests
_WHAT = ("the old", "the new")


@dataclass(frozen=True, slots=True)
class RowChange:
    """`cells`: those that differ, or all of a row that is there once, as (before, now); None: no such
    cell."""

    sort: Literal["added", "removed", "changed"]
    key: tuple[str, ...]
    cells: Mapping[str, tuple[str | None, str | None]]


@dataclass(slots=True)
class TableDiff:
    key: tuple[str, ...]  # none: no column tells rows apart
    old_rows: int
    new_rows: int
    columns_added: tuple[str, ...] = ()
    columns_removed: tuple[str, ...] = ()
    columns_moved: bool = False
    retyped: dict[str, tuple[str, str]] = field(default_factory=dict)
    added: int = 0
    removed: int = 0
    changed: int = 0
    by_column: dict[str, int] | None = None  # rows in which it changed; None: not counted
    sample: list[RowChange] = field(default_factory=list)


def compare_tables(
    old: BinaryIO, new: BinaryIO, *, suffix: str, key: Sequence[str] | None = None, sample: int = 20,
    budget: int = BUDGET,
) -> TableDiff:  # fmt: skip
    """`sample`: at most so many rows of each sort are shown.

    Raises Invalid (not_a_table, damaged_table, unknown_column, empty_key, repeated_key).
    """
    with damage_told() if suffix.lower() in PARQUET else nullcontext():
        return _compare([_open(file, suffix.lower()) for file in (old, new)], key, sample, budget)


def _compare(tables: Sequence[Table], key: Sequence[str] | None, sample: int, budget: int) -> TableDiff:
    common = tuple(name for name in tables[0].columns if name in tables[1].columns)
    for table in tables:
        if isinstance(table, ParquetTable):
            table.compared = common
    hasher, share = Hasher(), budget // 24
    found, indexed = tuple(key or ()), list[Indexed]()
    if key:
        check_key(key, [table.columns for table in tables])
    else:
        try:
            found, indexed = index_by_found_key(tables, hasher, share, _WHAT, budget)
        except Invalid as error:
            if error.code != "no_row_key":
                raise
    if not indexed:
        indexed = [
            index(table, hasher, found, share, what) for table, what in zip(tables, _WHAT, strict=True)
        ]
    return _Comparison(tables, common, found, sample, budget, hasher).run(indexed)


def _open(file: BinaryIO, suffix: str) -> Table:
    return open_parquet(file) if suffix in PARQUET else open_lines(file, suffix)


@dataclass(slots=True)
class _Alone:
    """Rows that only one of the two has: how many, and the first of them."""

    shown: int
    removed: int = 0
    added: int = 0
    first_removed: list[int] = field(default_factory=list)
    first_added: list[int] = field(default_factory=list)

    def add(self, removed: NDArray[np.int64], added: NDArray[np.int64]) -> None:
        self.removed += len(removed)
        self.added += len(added)
        self.first_removed = sorted([*self.first_removed, *_least(removed, self.shown)])[: self.shown]
        self.first_added = sorted([*self.first_added, *_least(added, self.shown)])[: self.shown]


class _Comparison:
    def __init__(
        self, tables: Sequence[Table], common: tuple[str, ...], key: tuple[str, ...], sample: int,
        budget: int, hasher: Hasher,
    ) -> None:  # fmt: skip
        self._tables, self._common, self._key = tables, common, key
        self._sample, self._budget, self._share = sample, budget, budget // 24
        old, new = tables
        self._by_bytes = not isinstance(old, ParquetTable) and old.alike(new)  # type: ignore[arg-type]
        self._hasher = hasher

    def run(self, indexed: Sequence[Indexed]) -> TableDiff:
        diff = TableDiff(self._key, len(indexed[0].starts), len(indexed[1].starts))
        self._columns(diff)
        if self._key:
            self._by_key(indexed, diff)
        else:
            self._by_content(indexed, diff)
        return diff

    def _columns(self, diff: TableDiff) -> None:
        old, new = self._tables
        diff.columns_added = tuple(name for name in new.columns if name not in old.columns)
        diff.columns_removed = tuple(name for name in old.columns if name not in new.columns)
        lines_of_json = not isinstance(old, Delimited | ParquetTable)
        diff.columns_moved = not lines_of_json and self._common != tuple(
            name for name in new.columns if name in old.columns
        )
        if isinstance(old, ParquetTable) and isinstance(new, ParquetTable):
            diff.retyped = {
                name: (old.types[name], new.types[name])
                for name in self._common
                if old.types[name] != new.types[name]
            }

    def _by_key(self, indexed: Sequence[Indexed], diff: TableDiff) -> None:
        old, new = indexed
        contents = (old.contents, new.contents) if self._exact() else self._by_values()
        alone = _Alone(self._sample)
        pairs = Spill(np.int64, 2, self._share)
        try:
            for groups in match([old.keys, new.keys], self._budget // 2):
                alone.add(groups[groups[:, 1] < 0, 0], groups[groups[:, 0] < 0, 1])
                both = groups[(groups >= 0).all(axis=1)]
                pairs.append(both[(contents[0][both[:, 0]] != contents[1][both[:, 1]]).any(axis=1)])
        except Repeated as error:
            value = self._label(indexed[error.table].values(error.first))
            raise repeated_key(error, self._key, _WHAT, ", ".join(value)) from None
        self._changed(indexed, pairs.take(), diff)
        self._show_alone(indexed, alone, diff)

    def _show_alone(self, indexed: Sequence[Indexed], alone: "_Alone", diff: TableDiff) -> None:
        diff.removed, diff.added = alone.removed, alone.added
        for row in alone.first_added:
            values = indexed[1].values(row)
            cells = {name: (None, _shown(value)) for name, value in values.items()}
            diff.sample.append(RowChange("added", self._label(values), cells))
        for row in alone.first_removed:
            values = indexed[0].values(row)
            gone = {name: (_shown(value), None) for name, value in values.items()}
            diff.sample.append(RowChange("removed", self._label(values), gone))

    def _changed(self, indexed: Sequence[Indexed], pairs: NDArray[np.int64], diff: TableDiff) -> None:
        """Of rows with other bytes those with other values."""
        many = len(pairs) > _CHECKED
        if many and self._by_bytes and isinstance(self._tables[0], Delimited):
            contents = self._by_values()
            pairs = pairs[(contents[0][pairs[:, 0]] != contents[1][pairs[:, 1]]).any(axis=1)]
        pairs = pairs[np.argsort(pairs[:, 1], kind="stable")]
        if len(pairs) > _CHECKED and not self._json():
            diff.changed = len(pairs)
            for old, new in pairs[: self._sample].tolist():
                self._show(*self._cells_of(indexed, old, new), diff)
            return
        diff.by_column = {}
        for old, new in pairs.tolist():
            before, now = self._cells_of(indexed, old, new)
            names = self._differing(before, now)
            diff.changed += bool(names)
            for name in names:
                diff.by_column[name] = diff.by_column.get(name, 0) + 1
            if names and diff.changed <= self._sample:
                self._show(before, now, diff)

    def _by_content(self, indexed: Sequence[Indexed], diff: TableDiff) -> None:
        old, new = indexed
        contents = (old.contents, new.contents) if self._exact() or not self._common else self._by_values()
        alone = _Alone(self._sample)
        for removed, added in _in_excess(contents, self._budget // 2):
            alone.add(removed, added)
        self._show_alone(indexed, alone, diff)

    def _show(self, before: Mapping[str, Any], now: Mapping[str, Any], diff: TableDiff) -> None:
        cells = {
            name: (_shown(before.get(name)), _shown(now.get(name))) for name in self._differing(before, now)
        }
        diff.sample.append(RowChange("changed", self._label(now), cells))

    def _differing(self, before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
        """JSONL rows have the columns that they have; elsewhere new ones are told once for all rows."""
        names = dict.fromkeys((*before, *now)) if self._json() else self._common
        return [name for name in names if _differ(before.get(name), now.get(name))]

    def _exact(self) -> bool:
        """Whether rows of equal content digests are equal as the index has them."""
        return self._by_bytes or isinstance(self._tables[0], ParquetTable)

    def _json(self) -> bool:
        return not isinstance(self._tables[0], Delimited | ParquetTable)

    def _by_values(self) -> tuple[Digests, Digests]:
        """Digests of the values in the columns that both have, whatever quotes they are in."""
        found = []
        for table in self._tables:
            spill = Spill(np.uint64, 2, self._share)
            for rows in table.rows(self._hasher, self._common):
                spill.append(rows.keys)
            found.append(spill.take())
        return found[0], found[1]

    def _cells_of(
        self, indexed: Sequence[Indexed], old: int, new: int
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        return indexed[0].values(old), indexed[1].values(new)

    def _label(self, values: Mapping[str, Any]) -> tuple[str, ...]:
        table = self._tables[1]
        return tuple(clip(table.plain(values[name])) for name in self._key)


def _differ(one: Any, two: Any) -> bool:
    not_numbers = one != one and two != two  # NaN is NaN here
    return bool(one != two) and not not_numbers


def _shown(value: Any) -> str | None:
    return None if value is None else clip(str(value))


def _least(rows: NDArray[np.int64], count: int) -> list[int]:
    found: list[int] = np.sort(rows)[:count].tolist()
    return found


def _in_excess(
    contents: tuple[Digests, Digests], budget: int
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Rows that one table has more often than the other, the last of those that are equal: of the old, of
    the new; in parts."""
    bits = parts_for(sum(map(len, contents)), budget)
    for part in range(1 << bits):
        rows = [in_part(digests, part, bits) for digests in contents]
        some = np.concatenate([digests[at] for digests, at in zip(contents, rows, strict=True)])
        if not len(some):
            continue
        order, run = grouped(some)
        is_new = order >= len(rows[0])
        count = int(run[-1]) + 1
        before, now = (np.bincount(run[side], minlength=count) for side in (~is_new, is_new))
        of_old, of_new = order[~is_new], order[is_new] - len(rows[0])
        yield (
            rows[0][of_old[_place_in_run(run[~is_new]) >= now[run[~is_new]]]],
            rows[1][of_new[_place_in_run(run[is_new]) >= before[run[is_new]]]],
        )


def _place_in_run(run: NDArray[np.int64]) -> NDArray[np.int64]:
    """Of each, how many of its run come before it; runs are sorted."""
    return np.arange(len(run)) - np.searchsorted(run, run)
