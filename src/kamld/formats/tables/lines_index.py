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
_NEAR = 2048  # bytes between two rows that are read rather than skipped


@dataclass(frozen=True, slots=True)
class Indexed:
    """Where a table's rows are, and digests that stand for them."""

    table: Any
    keys: Digests
    contents: Digests
    starts: NDArray[np.int64]
    ends: NDArray[np.int64]

    def raw(self, row: int) -> bytes:
        return self.between(int(self.starts[row]), int(self.ends[row]))

    def between(self, start: int, end: int) -> bytes:
        """`end` negative: to the end."""
        self.table.file.seek(start)
        data: bytes = self.table.file.read(end - start if end >= 0 else -1)
        return data

    def gathered(self, rows: NDArray[np.int64]) -> tuple[bytes, NDArray[np.int64], NDArray[np.int64]]:
        """The bytes of these rows, and where each of them is in there; perhaps others between them."""
        starts, ends = self.starts[rows], self.ends[rows]
        order = np.argsort(starts, kind="stable")
        begins, stops = starts[order], ends[order]
        first = np.flatnonzero(np.append(True, begins[1:] - stops[:-1] > _NEAR))
        froms = begins[first]
        tos = np.append(stops[first[1:] - 1], stops[-1:])
        pieces = [self.between(at, to) for at, to in zip(froms.tolist(), tos.tolist(), strict=True)]
        placed = np.append(0, np.cumsum(tos - froms)[:-1]) - froms
        shift = np.empty(len(rows), np.int64)
        shift[order] = np.repeat(placed, np.diff(np.append(first, len(rows))))
        return b"".join(pieces), starts + shift, ends + shift

    def values(self, row: int) -> dict[str, Any]:
        """Comparable values by column."""
        table = self.table
        cells = table.cells(row) if isinstance(table, ParquetTable) else table.split(self.raw(row), row + 1)
        return {name: table.value(cell) for name, cell in cells.items()}


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


def index_by_found_key(
    tables: Sequence[LinesTable | ParquetTable], hasher: Hasher, share: int, what: Sequence[str], budget: int
) -> tuple[tuple[str, ...], list[Indexed]]:
    """By the first key that tells rows apart in each. Raises Invalid (no_row_key, damaged_table)."""
    samples = [sampled(table, SAMPLE) for table in tables]
    common = [name for name in tables[0].columns if all(name in t.columns for t in tables)]
    found: list[Indexed] = []

    def works(key: tuple[str, ...]) -> bool:
        found.clear()
        for table, name in zip(tables, what, strict=True):
            try:
                found.append(index(table, hasher, key, share, name))
                for _ in match([found[-1].keys], budget):
                    pass
            except Repeated:
                return False
            except Invalid as error:
                if error.code != "empty_key":
                    raise
                return False
        return True

    return find_key(candidates(samples, common), works), found


def sampled(table: LinesTable | ParquetTable, count: int) -> list[dict[str, Any]]:
    """Comparable values of the first rows."""
    return [{name: table.value(cell) for name, cell in row.items()} for row in table.sample(count)]


def key_text(table: Indexed, row: int, key: Sequence[str]) -> str:
    values = table.values(row)
    return ", ".join(table.table.plain(values[name]) for name in key)
