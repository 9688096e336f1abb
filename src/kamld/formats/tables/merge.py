"""The door to merging tables: opens the three, finds who can join them, writes the result whole."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import BinaryIO, cast

from kamld.errors import Invalid
from kamld.formats.tables.delimited import open_delimited
from kamld.formats.tables.jsonlines import JsonLines, open_json_lines
from kamld.formats.tables.lines_index import LinesTable
from kamld.formats.tables.merging.lines import merge_lines
from kamld.formats.tables.merging.parquet import merge_parquet
from kamld.formats.tables.merging.settle import Decide, RowMerge
from kamld.formats.tables.parquet import PARQUET, ParquetTable, damage_told, open_parquet

Source = Path | str | BinaryIO
BUDGET = 256 * 1024 * 1024
DELIMITED = (".csv", ".tsv")
JSON_LINES = (".jsonl", ".ndjson")


def merge_rows(
    base: Source | None, ours: Source, theirs: Source, out: Source | None, *,
    suffix: str, key: Sequence[str] | None = None, decide: Decide | None = None, budget: int = BUDGET,
) -> RowMerge:  # fmt: skip
    """Join what `ours` and `theirs` changed since `base`, row by row and cell by cell, into `out`.

    Sources are paths or binary files that can seek; `suffix` says what they are (".csv"). Rows of ours
    keep their order, those that theirs added follow. `decide` is asked about each conflict; one that it
    leaves open is in the answer, and then nothing usable is in `out`. `out` None: only find out.
    `base` None: both sides made it; then they must have the same columns.

    Raises Invalid where it cannot be done by rows (not_a_table, damaged_table, no_row_key, unknown_column,
    empty_key, repeated_key, columns_conflict); the file is then to be taken whole from one side.
    """
    suffix = suffix.lower()
    with ExitStack() as stack:
        files = [stack.enter_context(opened(some, "rb")) for some in (base, ours, theirs) if some is not None]
        target = stack.enter_context(opened(out, "wb")) if out is not None else None
        if suffix in (*DELIMITED, *JSON_LINES):
            tables = [open_lines(file, suffix) for file in files]
            if base is None:
                tables.insert(0, tables[0].without_rows())
                _check_columns(tables)
            return merge_lines(tables, target, key, decide, budget)
        if suffix in PARQUET:
            with damage_told():
                opened_all = [open_parquet(file) for file in files]
                if base is None:
                    opened_all.insert(0, opened_all[0].without_rows())
                    _check_columns(opened_all)
                return merge_parquet(opened_all, target, key, decide, budget)
    raise Invalid("not_a_table", f'Files "{suffix}" are not tables that can be joined by rows.')


def _check_columns(tables: Sequence[LinesTable | ParquetTable]) -> None:
    _, ours, theirs = tables
    if ours.columns != theirs.columns and not isinstance(ours, JsonLines):
        raise Invalid("columns_conflict", "Both sides made it, and gave it other columns.")


@contextmanager
def opened(source: Source, mode: str) -> Iterator[BinaryIO]:
    """A path for as long as it is needed; a file that somebody else opened stays open."""
    if isinstance(source, str | Path):
        with open(source, mode) as file:
            yield cast(BinaryIO, file)
    else:
        yield source


def open_lines(file: BinaryIO, suffix: str) -> LinesTable:
    """Raises Invalid (not_a_table, damaged_table)."""
    return open_delimited(file, suffix) if suffix in DELIMITED else open_json_lines(file)
