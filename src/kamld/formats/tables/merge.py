"""The door to merging tables: opens the three, finds who can join them, writes the result whole."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import BinaryIO, cast

from kamld.errors import Invalid
from kamld.formats.tables.delimited import open_delimited
from kamld.formats.tables.jsonlines import open_json_lines
from kamld.formats.tables.lines_index import LinesTable
from kamld.formats.tables.lines_merge import merge_lines
from kamld.formats.tables.settle import Decide, RowMerge

Source = Path | str | BinaryIO
BUDGET = 256 * 1024 * 1024
DELIMITED = (".csv", ".tsv")
JSON_LINES = (".jsonl", ".ndjson")


def merge_rows(
    base: Source, ours: Source, theirs: Source, out: Source | None, *,
    suffix: str, key: Sequence[str] | None = None, decide: Decide | None = None, budget: int = BUDGET,
) -> RowMerge:  # fmt: skip
    """Join what `ours` and `theirs` changed since `base`, row by row and cell by cell, into `out`.

    Sources are paths or binary files that can seek; `suffix` says what they are (".csv"). Rows of ours
    keep their order, those that theirs added follow. `decide` is asked about each conflict; one that it
    leaves open is in the answer, and then nothing usable is in `out`. `out` None: only find out.

    Raises Invalid where it cannot be done by rows (not_a_table, damaged_table, no_row_key, unknown_column,
    empty_key, repeated_key, columns_conflict); the file is then to be taken whole from one side.
    """
    suffix = suffix.lower()
    with ExitStack() as stack:
        files = [stack.enter_context(opened(source, "rb")) for source in (base, ours, theirs)]
        target = stack.enter_context(opened(out, "wb")) if out is not None else None
        if suffix in (*DELIMITED, *JSON_LINES):
            tables = [open_lines(file, suffix) for file in files]
            return merge_lines(tables, target, key, decide, budget)
    raise Invalid("not_a_table", f'Files "{suffix}" are not tables that can be joined by rows.')


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
