"""Where the rows of a file of lines are (CSV, TSV, JSONL), by digests of their keys; finding a key."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kamld.errors import Invalid
from kamld.formats.tables.delimited import Delimited
from kamld.formats.tables.digests import Digests, Hasher, Spill
from kamld.formats.tables.jsonlines import JsonLines
from kamld.formats.tables.keys import SAMPLE, candidates, find_key
from kamld.formats.tables.matching import Repeated, match
from kamld.formats.tables.parquet import ParquetTable

LinesTable = Delimited | JsonLines


@dataclass(frozen=True, slots=True)
class Indexed:
    """Where a table's rows are, and digests that stand for them."""

    table: Any
    keys: Digests
    contents: Digests
    starts: NDArray[np.int64]
    ends: NDArray[np.int64]

    def raw(self, row: int) -> bytes:
        start = int(self.starts[row])
        self.table.file.seek(start)
        data: bytes = self.table.file.read(int(self.ends[row]) - start)
        return data


def index(
    table: LinesTable | ParquetTable, hasher: Hasher, key: Sequence[str], budget: int, what: str
) -> Indexed:
    """Raises Invalid (damaged_table, empty_key)."""
    spills = [Spill(np.uint64, 2, budget), Spill(np.uint64, 2, budget)]
    spills += [Spill(np.int64, 1, budget), Spill(np.int64, 1, budget)]
    seen = 0
    for rows in table.rows(hasher, key):
        if len(rows.unkeyed):
            raise empty_key(key, seen + int(rows.unkeyed[0]) + 1, what)
        for spill, piece in zip(spills, (rows.keys, rows.contents, rows.starts, rows.ends), strict=True):
            spill.append(piece)
        seen += len(rows.starts)
    return Indexed(table, *(spill.take() for spill in spills))


def empty_key(key: Sequence[str], row: int, what: str) -> Invalid:
    where = f" of {what}" if what else ""
    return Invalid(
        "empty_key",
        f'Row {row:,}{where} has nothing in the key "{", ".join(key)}".',
        "Name columns that every row has: --key COLUMN.",
    )


def repeated_key(error: Repeated, key: Sequence[str], what: Sequence[str], value: str) -> Invalid:
    where = f" of {what[error.table]}" if what[error.table] else ""
    return Invalid(
        "repeated_key",
        f'"{value}" stands twice in the key "{", ".join(key)}"{where}: rows {error.first + 1:,} and '
        f"{error.second + 1:,}.",
        "Name columns that tell rows apart: --key A,B.",
    )


def find_lines_key(tables: Sequence[LinesTable | ParquetTable], budget: int) -> tuple[str, ...]:
    """Raises Invalid (no_row_key)."""
    samples = [
        [{name: table.value(cell) for name, cell in row.items()} for row in table.sample(SAMPLE)]
        for table in tables
    ]
    common = [name for name in tables[0].columns if all(name in t.columns for t in tables)]

    def works(key: tuple[str, ...]) -> bool:
        return all(_tells_apart(table, key, budget) for table in tables)

    return find_key(candidates(samples, common), works)


def _tells_apart(table: LinesTable | ParquetTable, key: tuple[str, ...], budget: int) -> bool:
    hasher, spill = Hasher(), Spill(np.uint64, 2, budget)
    for rows in table.rows(hasher, key):
        if len(rows.unkeyed):
            return False
        spill.append(rows.keys)
    try:
        for _ in match([spill.take()], budget):
            pass
    except Repeated:
        return False
    return True


def key_text(table: Indexed, row: int, key: Sequence[str]) -> str:
    cells = table.table.split(table.raw(row))
    return ", ".join(table.table.plain(table.table.value(cells[name])) for name in key)
