"""What a table is as a whole: its columns and their types, its rows, and cells that hold nothing.

In CSV and TSV a cell without letters holds nothing, quoted or not; in JSON Lines null, or a name that
is not there; in Parquet null and NaN. A list or a structure with such a thing anywhere in it counts as
well. Everything streams.
"""

import json
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from kamld.errors import Invalid
from kamld.formats.tables import SUFFIXES
from kamld.formats.tables.delimited import Delimited
from kamld.formats.tables.jsonlines import JsonLines
from kamld.formats.tables.merge import open_lines
from kamld.formats.tables.parquet import PARQUET, ParquetTable, damage_told, open_parquet

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True, slots=True)
class Gap:
    """Rows in which a column holds nothing."""

    rows: int
    first: int  # number of the first of them, from 1


@dataclass(slots=True)
class TableFacts:
    columns: Mapping[str, str]  # in their order, with their types; "" where the format has none
    ordered: bool  # whether the order of columns means anything
    rows: int = 0
    gaps: dict[str, Gap] = field(default_factory=dict)  # by column

    def found_gap(self, name: str, rows: int, first: int) -> None:
        before = self.gaps.get(name)
        self.gaps[name] = Gap(before.rows + rows, before.first) if before else Gap(rows, first)


def is_table(suffix: str) -> bool:
    return suffix.lower() in SUFFIXES


def table_facts(file: BinaryIO, suffix: str) -> TableFacts:
    """Raises Invalid (not_a_table, damaged_table)."""
    suffix = suffix.lower()
    with damage_told() if suffix in PARQUET else nullcontext():
        if suffix in PARQUET:
            return _of_parquet(open_parquet(file))
        table = open_lines(file, suffix)
        return _of_cells(table) if isinstance(table, Delimited) else _of_lines(table)


def has_column(file: BinaryIO, suffix: str, name: str) -> bool:
    """Raises Invalid (not_a_table, damaged_table)."""
    suffix = suffix.lower()
    with damage_told() if suffix in PARQUET else nullcontext():
        table = open_parquet(file) if suffix in PARQUET else open_lines(file, suffix)
        late = isinstance(table, JsonLines) and any(name in cells for cells in table.every_row())
        return name in table.columns or late


def _of_cells(table: Delimited) -> TableFacts:
    facts = TableFacts(dict.fromkeys(table.columns, ""), ordered=True)
    for empty in table.empty_cells():
        rows, columns = np.nonzero(empty)
        for place in np.unique(columns).tolist():
            of_column = rows[columns == place]
            facts.found_gap(table.columns[place], len(of_column), facts.rows + int(of_column[0]) + 1)
        facts.rows += len(empty)
    return facts


def _of_lines(table: JsonLines) -> TableFacts:
    """A column that one row has is one of the table: rows without it have a gap there."""
    facts = TableFacts({}, ordered=False)
    there: dict[str, int] = {}  # in how many rows it holds something
    first_gap: dict[str, int] = {}
    for cells in table.every_row():
        facts.rows += 1
        for name in cells:
            if name not in there:
                there[name] = 0
                if facts.rows > 1:
                    first_gap[name] = 1
        for name in there:
            if _lacks(cells.get(name, b"null")):
                first_gap.setdefault(name, facts.rows)
            else:
                there[name] += 1
    facts.columns = dict.fromkeys(there, "")
    facts.gaps = {name: Gap(facts.rows - there[name], row) for name, row in first_gap.items()}
    return facts


def _of_parquet(table: ParquetTable) -> TableFacts:
    facts = TableFacts(dict(table.types), ordered=True)
    for batch in table.batches(list(table.columns)):
        for name in table.columns:
            empty = np.flatnonzero(_holes(batch.column(name)))
            if len(empty):
                facts.found_gap(name, len(empty), facts.rows + int(empty[0]) + 1)
        facts.rows += len(batch)
    return facts


def _lacks(cell: bytes) -> bool:
    """Raises Invalid (damaged_table)."""
    if b"null" not in cell:
        return False
    try:
        return _is_lacking(json.loads(cell))
    except RecursionError:
        raise Invalid("damaged_table", "A value has too many lists or objects within each other.") from None


def _is_lacking(value: Any) -> bool:
    if isinstance(value, dict):
        return any(map(_is_lacking, value.values()))
    if isinstance(value, list | tuple):
        return any(map(_is_lacking, value))
    return value is None or value != value


def _holes(column: "pa.Array") -> NDArray[np.bool_]:
    """In which rows there is a null or NaN, however deep."""
    import pyarrow as pa
    import pyarrow.compute as pc

    kind = column.type
    if pa.types.is_dictionary(kind):
        return _holes(column.dictionary_decode())
    holes = np.array(column.is_null(nan_is_null=True).to_numpy(zero_copy_only=False), np.bool_)
    if pa.types.is_struct(kind):
        for part in column.flatten():
            holes |= _holes(part)
    elif pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
        inner = np.flatnonzero(_holes(column.flatten()))
        if len(inner):
            rows = pc.list_parent_indices(column).to_numpy(zero_copy_only=False)
            holes[rows[inner]] = True
    elif pa.types.is_nested(kind):
        holes |= np.fromiter(map(_is_lacking, column.to_pylist()), np.bool_, len(column))
    return holes
