"""Tables in files: CSV, TSV, JSONL, Parquet, Arrow. How two differ, and how two changed ones are joined.

Rows are told apart by a key, columns that hold a different value in every row. Everything streams:
keys and rows become digests of 16 bytes, which go to temporary files beyond a budget.
"""

from kamld.formats.tables.compare import SUFFIXES, RowChange, TableDiff, compare_tables
from kamld.formats.tables.merge import merge_rows
from kamld.formats.tables.merging.settle import RowConflict, RowMerge

__all__ = [
    "SUFFIXES",
    "RowChange",
    "RowConflict",
    "RowMerge",
    "TableDiff",
    "compare_tables",
    "merge_rows",
]
