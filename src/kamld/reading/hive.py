"""Columns that the folders of a path are: `year=2024/month=1/part.parquet`, as Hive wrote them, and as
pandas and DuckDB read them. They stand last; a file's own column of that name goes before."""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

if TYPE_CHECKING:
    import pyarrow as pa

_NONE = "__HIVE_DEFAULT_PARTITION__"
_NUMBER = re.compile(r"0|-?[1-9]\d{0,17}")


def of_folders(path: str) -> dict[str, str | None]:
    parts = [part.partition("=") for part in path.split("/")[:-1]]
    return {unquote(n): None if v == _NONE else unquote(v) for n, equals, v in parts if n and equals}


def numbered(paths: Iterable[str]) -> dict[str, bool]:
    """By column: whether all values are whole numbers."""
    found: dict[str, bool] = {}
    for path in paths:
        for name, value in of_folders(path).items():
            found[name] = found.get(name, True) and (value is None or bool(_NUMBER.fullmatch(value)))
    return found


def with_folders(
    rows: Any, folders: Mapping[str, str | None], numbers: Mapping[str, bool], columns: Sequence[str] | None
) -> "pa.RecordBatch | pa.Table | Any":  # fmt: skip
    """Rows of a file with its folders' columns, in the order that was asked for."""
    import pyarrow as pa

    for name, value in folders.items():
        if name not in rows.schema.names and (columns is None or name in columns):
            kind = pa.int64() if numbers[name] else pa.string()
            one = pa.scalar(int(value) if value is not None and numbers[name] else value, kind)
            rows = rows.append_column(name, pa.repeat(one, rows.num_rows))
    if columns is None:
        return rows
    return rows.select([name for name in columns if name in rows.schema.names])
