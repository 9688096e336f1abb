"""CSV and JSON Lines as Arrow, with types that hold for all rows.

Where a file is longer than what Arrow infers types from, all of it is looked at first, a block at a
time: a column may be empty, or of whole numbers, for long. Memory is bounded by a block.
"""

import json
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, BinaryIO

from kamld.errors import Invalid
from kamld.formats.tables.delimited import Delimited, open_delimited
from kamld.formats.tables.lines import Block, read_blocks

if TYPE_CHECKING:
    import pyarrow as pa

_FIRST = 1024 * 1024  # bytes that Arrow infers types of CSV from
_ROWS = 65536
_QUOTE = 34

Types = dict[str, Any]  # of columns, as far as they were looked at: pyarrow.DataType


@dataclass(frozen=True, slots=True)
class Text:
    """What is known of a file before its rows are read."""

    types: Types
    encoding: str = "utf8"
    mixed: frozenset[str] = frozenset()  # columns of JSON with values of several sorts: they become text


def look(file: BinaryIO, sort: str, *, beginning: bool = False) -> Text:
    """All rows, or those that it begins with. Raises Invalid, pyarrow.ArrowException."""
    return _LOOK[sort](file, sort, beginning)


def read(file: BinaryIO, sort: str, text: Text, columns: Sequence[str] | None) -> Iterator["pa.RecordBatch"]:
    """The rows of a file in batches; one at least, which may be empty. Raises as `look`."""
    import pyarrow as pa

    names = list(columns) if columns is not None else list(text.types)
    schema = pa.schema([(name, text.types[name]) for name in names])
    some = False
    for batch in _READ[sort](file, sort, text, schema):
        for part in pa.Table.from_batches([batch]).to_batches(max_chunksize=_ROWS):
            some = True
            yield part
    if not some:
        yield pa.RecordBatch.from_pylist([], schema)


def widened(text: Text, types: Types) -> Text:
    """The same file, read with types of others too."""
    types = {name: types[name] for name in text.types}
    return replace(text, types=types, mixed=text.mixed | _turned_to_text(text.types, types))


def joined(types: Sequence[Types]) -> Types:
    """Types that hold for what any of these hold for."""
    out: Types = {}
    for one in types:
        for name, kind in one.items():
            out[name] = _wider(out[name], kind) if name in out else kind
    return out


def _wider(one: Any, other: Any) -> Any:
    import pyarrow as pa

    if one == other:
        return one
    if pa.types.is_boolean(one) or pa.types.is_boolean(other):  # Arrow would make numbers of them
        return other if pa.types.is_null(one) else one if pa.types.is_null(other) else pa.string()
    try:
        schemas = [pa.schema([("it", kind)]) for kind in (one, other)]
        return pa.unify_schemas(schemas, promote_options="permissive").field("it").type
    except pa.ArrowException:
        return pa.string()


# CSV


def _look_at_cells(file: BinaryIO, sort: str, beginning: bool) -> Text:
    import pyarrow as pa
    from pyarrow import csv

    table = open_delimited(file, f".{sort}")
    types: Types = dict.fromkeys(table.columns, pa.null())
    encoding = "utf8"
    for data in _rows(read_blocks(file, len(table.head), _QUOTE, size=_FIRST)):
        part = csv.read_csv(
            pa.py_buffer(data), csv.ReadOptions(column_names=list(table.columns), block_size=len(data) + 1),
            _parsing(table),
        )  # fmt: skip
        if any(pa.types.is_binary(kind) for kind in part.schema.types):
            encoding = _other_encoding(data, encoding)
        types = joined([types, {field.name: _plain(field.type) for field in part.schema}])
        if beginning:
            break
    return Text(types, encoding)


def _plain(kind: Any) -> Any:
    import pyarrow as pa

    return pa.string() if pa.types.is_binary(kind) else kind


def _other_encoding(data: bytes, so_far: str) -> str:
    """What is no UTF-8 was written by a program of Windows, most likely."""
    try:
        data.decode("cp1252")
    except UnicodeDecodeError:
        return "latin-1"
    return so_far if so_far != "utf8" else "cp1252"


def _cells(file: BinaryIO, sort: str, text: Text, schema: "pa.Schema") -> Iterator["pa.RecordBatch"]:
    from pyarrow import csv

    table = open_delimited(file, f".{sort}")
    if file.seek(0, os.SEEK_END) == len(table.head):
        return
    file.seek(len(table.head))
    options = csv.ConvertOptions(
        column_types={field.name: field.type for field in schema}, include_columns=schema.names
    )
    reading = csv.ReadOptions(column_names=list(table.columns), encoding=text.encoding, block_size=_FIRST * 4)
    with csv.open_csv(file, reading, _parsing(table), options) as reader:
        yield from reader


def _parsing(table: Delimited) -> Any:
    from pyarrow import csv

    return csv.ParseOptions(delimiter=table.dialect.delimiter.decode(), newlines_in_values=True)


# JSON Lines


def _look_at_lines(file: BinaryIO, sort: str, beginning: bool) -> Text:  # noqa: ARG001 - there is one sort
    types: Types = {}
    mixed: set[str] = set()
    for data in _rows(read_blocks(file, 0, None)):
        found, several = _types_of_lines(data)
        both = joined([types, found])
        mixed |= several | _turned_to_text(types, both) | _turned_to_text(found, both)
        types = both
        if beginning:
            break
    return Text(types, mixed=frozenset(mixed))


def _types_of_lines(data: bytes) -> tuple[Types, set[str]]:
    import pyarrow as pa

    try:
        return {field.name: field.type for field in _parsed(data).schema}, set()
    except pa.ArrowInvalid:
        mixed = _mixed(data)
        if not mixed:
            raise
    return {field.name: field.type for field in _parsed(_as_texts(data, mixed)).schema}, mixed


def _turned_to_text(before: Types, after: Types) -> set[str]:
    """Columns of JSON whose values were no texts. A text that looks like a time is one to Arrow."""
    import pyarrow as pa

    def was_text(kind: Any) -> bool:
        return bool(pa.types.is_string(kind) or pa.types.is_temporal(kind) or pa.types.is_null(kind))

    return {name for name, kind in before.items() if pa.types.is_string(after[name]) and not was_text(kind)}


def _mixed(data: bytes) -> set[str]:
    """Columns with values of several sorts in one place."""
    sorts: dict[tuple[str, ...], set[type]] = {}
    for row in map(_row, data.split(b"\n")):
        for name, value in row.items():
            for place, sort in _sorts((name,), value):
                sorts.setdefault(place, set()).add(sort)
    return {place[0] for place, found in sorts.items() if len(found) > 1}


def _sorts(place: tuple[str, ...], value: Any) -> Iterator[tuple[tuple[str, ...], type]]:
    if value is not None:
        yield place, float if type(value) is int else type(value)
    if isinstance(value, dict):
        for name, one in value.items():
            yield from _sorts((*place, name), one)
    elif isinstance(value, list):
        for one in value:
            yield from _sorts((*place, "[]"), one)


def _as_texts(data: bytes, mixed: set[str] | frozenset[str]) -> bytes:
    """The lines with texts in those columns: what was none is written as JSON."""
    out = []
    for row in map(_row, data.split(b"\n")):
        for name in mixed & row.keys():
            if row[name] is not None and not isinstance(row[name], str):
                row[name] = json.dumps(row[name], ensure_ascii=False)
        out.append(json.dumps(row, ensure_ascii=False))
    return "\n".join(out).encode("utf-8", "surrogatepass")


def _row(line: bytes) -> dict[str, Any]:
    """Raises Invalid (bad_table)."""
    try:
        row = json.loads(line) if line.strip() else {}
    except (ValueError, RecursionError) as error:
        raise Invalid("bad_table", f"A line is no JSON: {error}.") from None
    if not isinstance(row, dict):
        raise Invalid("bad_table", "A line is no JSON object.")
    return row


def _lines(file: BinaryIO, sort: str, text: Text, schema: "pa.Schema") -> Iterator["pa.RecordBatch"]:  # noqa: ARG001
    mixed = text.mixed & set(schema.names)
    for data in _rows(read_blocks(file, 0, None)):
        table = _parsed(_as_texts(data, mixed) if mixed else data, schema)
        yield from table.select(schema.names).to_batches()


def _parsed(data: bytes, schema: "pa.Schema | None" = None) -> "pa.Table":
    import pyarrow as pa
    from pyarrow import json as lines

    behaviour = "ignore" if schema is not None else "infer"
    options = lines.ParseOptions(explicit_schema=schema, unexpected_field_behavior=behaviour)
    return lines.read_json(pa.py_buffer(data), lines.ReadOptions(block_size=len(data) + 1), options)


def _rows(blocks: Iterator[Block]) -> Iterator[bytes]:
    for block in blocks:
        if len(block.starts):
            yield block.data[int(block.starts[0]) : int(block.ends[-1])].tobytes()


_LOOK: dict[str, Callable[[BinaryIO, str, bool], Text]] = {
    "csv": _look_at_cells, "tsv": _look_at_cells, "jsonl": _look_at_lines,
}  # fmt: skip
_READ: dict[str, Callable[[BinaryIO, str, Text, Any], Iterator["pa.RecordBatch"]]] = {
    "csv": _cells, "tsv": _cells, "jsonl": _lines,
}  # fmt: skip
