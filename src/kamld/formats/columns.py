"""Columns of one table file as Arrow, and where its rows lie as bytes. CSV, TSV, JSON Lines, Parquet."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from kamld.errors import Invalid
from kamld.formats.tables.delimited import open_delimited
from kamld.formats.tables.jsonlines import open_json_lines
from kamld.formats.tables.lines import Block, read_blocks

if TYPE_CHECKING:
    import pyarrow as pa

_SORTS = {
    ".csv": "cells", ".tsv": "cells", ".jsonl": "lines", ".ndjson": "lines", ".parquet": "parquet",
    ".pq": "parquet",
}  # fmt: skip
_QUOTE = 34
_BLOCK = 8 * 1024 * 1024  # bytes that the types of columns are inferred from


def table_suffix(path: str) -> str:
    """The suffix by which a path is a table that can be read here; "" where it is none."""
    name = path.rpartition("/")[2].lower()
    suffix = name[name.rfind(".") :] if "." in name else ""
    return suffix if suffix in _SORTS else ""


def has_lines(suffix: str) -> bool:
    """Whether a row is a run of bytes, so that rows can be picked without being written anew."""
    return _SORTS[suffix] != "parquet"


def read_columns(
    file: BinaryIO, suffix: str, columns: Sequence[str] | None = None, *, text: bool = False,
    rows: int | None = None,
) -> "pa.Table":  # fmt: skip
    """Those columns, or all, in their order; the first `rows` at least, where that is given.

    With `text`, as they are written: "007" stays "007". Otherwise types are inferred where the format
    has none. Raises Invalid (bad_table, unknown_column).
    """
    import pyarrow as pa

    reader = {"cells": _cells, "lines": _lines, "parquet": _parquet}[_SORTS[suffix]]
    try:
        try:
            table = _taken(reader(file, suffix, columns, text), rows)
        except pa.ArrowInvalid:
            if text or _SORTS[suffix] != "cells":
                raise
            table = _taken(_cells(file, suffix, columns, True), rows)  # a later row is of another type
        return _as_text(table) if text else table
    except pa.ArrowException as error:
        raise Invalid("bad_table", f"It cannot be read as a table: {str(error).splitlines()[0]}") from None


def _taken(batches: Iterator["pa.RecordBatch"], rows: int | None) -> "pa.Table":
    import pyarrow as pa

    taken, count = [], 0
    for batch in batches:
        taken.append(batch)
        count += batch.num_rows
        if rows is not None and count >= rows:
            break
    return pa.Table.from_batches(taken)


def _cells(file: BinaryIO, suffix: str, columns: Sequence[str] | None, text: bool) -> Iterator[Any]:
    import pyarrow as pa
    from pyarrow import csv

    try:
        table = open_delimited(file, suffix)
    except Invalid as error:
        raise Invalid("bad_table", error.message, error.hint) from None
    wanted = _known(columns, table.columns)
    if file.seek(0, os.SEEK_END) == len(table.head):
        kind = pa.string() if text else pa.null()
        yield _empty(pa.schema([(name, kind) for name in table.columns]), wanted)
        return
    file.seek(len(table.head))
    with csv.open_csv(
        file,
        read_options=csv.ReadOptions(block_size=_BLOCK, column_names=list(table.columns)),
        parse_options=csv.ParseOptions(delimiter=table.dialect.delimiter.decode(), newlines_in_values=True),
        convert_options=csv.ConvertOptions(
            include_columns=wanted,
            column_types={name: pa.string() for name in wanted} if text else None,
        ),
    ) as reader:
        yield from reader
        yield _empty(reader.schema, wanted)


def _lines(file: BinaryIO, suffix: str, columns: Sequence[str] | None, text: bool) -> Iterator[Any]:  # noqa: ARG001
    from pyarrow import json

    file.seek(0)
    with json.open_json(file, read_options=json.ReadOptions(block_size=_BLOCK)) as reader:
        wanted = _known(columns, reader.schema.names)
        for batch in reader:
            yield batch.select(wanted)
        yield _empty(reader.schema, wanted)


def _parquet(file: BinaryIO, suffix: str, columns: Sequence[str] | None, text: bool) -> Iterator[Any]:  # noqa: ARG001
    from pyarrow import parquet

    reader = parquet.ParquetFile(file)
    names = _known(columns, reader.schema_arrow.names)
    for batch in reader.iter_batches(columns=names):
        yield batch.select(names)
    yield _empty(reader.schema_arrow, names)


def _empty(schema: "pa.Schema", names: Sequence[str]) -> "pa.RecordBatch":
    import pyarrow as pa

    fields = [schema.field(name) for name in names]
    return pa.RecordBatch.from_arrays([pa.array([], f.type) for f in fields], schema=pa.schema(fields))


def _known(columns: Sequence[str] | None, there: Sequence[str]) -> list[str]:
    """Raises Invalid (unknown_column)."""
    for name in columns or ():
        if name not in there:
            near = get_close_matches(name, there, 1)
            more = ", …" if len(there) > 12 else ""
            advice = f'Did you mean "{near[0]}"? ' if near else ""
            listed = ", ".join(map(str, there[:12]))
            raise Invalid("unknown_column", f'It has no column "{name}".', f"{advice}It has {listed}{more}.")
    return list(columns) if columns is not None else list(there)


def _as_text(table: "pa.Table") -> "pa.Table":
    import pyarrow as pa

    for at, field in enumerate(table.schema):
        if field.type != pa.string():
            try:
                column = table.column(at).cast(pa.string())
            except pa.ArrowException:  # lists, structs, bytes
                values = [None if value is None else str(value) for value in table.column(at).to_pylist()]
                column = pa.chunked_array([pa.array(values, pa.string())])
            table = table.set_column(at, field.name, column)
    return table


# Rows as bytes


@dataclass(frozen=True, slots=True)
class Spans:
    """Where the rows lie in a file. A row that is kept is kept from its start to the next one's."""

    head: int  # bytes before the first row
    starts: NDArray[np.int64]
    size: int

    def runs(self, rows: NDArray[np.bool_]) -> NDArray[np.int64]:
        """(n, 2): beginnings and ends of what is left when only these rows are kept, and the head."""
        edges = np.concatenate([self.starts, [self.size]])
        kept = np.concatenate([[False], rows, [False]]).astype(np.int8)
        turns = np.flatnonzero(np.diff(kept))
        runs = edges[turns].reshape(-1, 2)
        if self.head and len(runs) and runs[0, 0] == self.head:
            runs[0, 0] = 0
            return runs
        return np.concatenate(
            [np.array([[0, self.head]] if self.head else [], np.int64).reshape(-1, 2), runs]
        )


def row_blocks(file: BinaryIO, suffix: str) -> tuple[int, Iterator[Block]]:
    """(bytes before the first row, the rows in blocks). Raises Invalid (bad_table, damaged_table)."""
    try:
        if _SORTS[suffix] == "cells":
            table = open_delimited(file, suffix)
            return len(table.head), table.sound_blocks()
        head = len(open_json_lines(file).head)
        return head, read_blocks(file, head, None)
    except Invalid as error:
        raise Invalid("bad_table", error.message, error.hint) from None


def parquet_rows(file: BinaryIO) -> Iterator[list[bytes]]:
    """Rows of a Parquet file, a batch at a time, as bytes that are equal where the rows are."""
    import io

    import pyarrow as pa
    from pyarrow import csv, parquet

    for batch in parquet.ParquetFile(file).iter_batches():
        table = _as_text(pa.Table.from_batches([batch]))
        written = io.BytesIO()
        csv.write_csv(table, written, csv.WriteOptions(include_header=False, quoting_style="all_valid"))
        block = written.getvalue()
        spans = next(read_blocks(io.BytesIO(block), 0, _QUOTE, size=len(block)), None)
        if spans is None:
            continue
        yield [block[a:b] for a, b in zip(spans.starts.tolist(), spans.ends.tolist(), strict=True)]


def write_parquet_rows(file: BinaryIO, keep: NDArray[np.bool_], out: str) -> None:
    """The rows that are to be kept, as another Parquet file with the same columns and metadata."""
    import pyarrow as pa
    from pyarrow import parquet

    reader = parquet.ParquetFile(file)
    codec = reader.metadata.row_group(0).column(0).compression if reader.metadata.num_row_groups else "SNAPPY"
    codec = codec if codec != "UNCOMPRESSED" else "NONE"
    at = 0
    with parquet.ParquetWriter(out, reader.schema_arrow, compression=codec) as writer:
        for batch in reader.iter_batches():
            chosen = batch.filter(pa.array(keep[at : at + batch.num_rows]))
            at += batch.num_rows
            if chosen.num_rows:
                writer.write_table(pa.Table.from_batches([chosen], reader.schema_arrow))
