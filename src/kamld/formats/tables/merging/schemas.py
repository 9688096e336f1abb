"""What a merged Parquet file is like: its columns' types, how it is compressed, its row groups."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from kamld.errors import Invalid
from kamld.formats.tables.parquet import ParquetTable

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

_CODECS = {
    "UNCOMPRESSED": "none", "SNAPPY": "snappy", "GZIP": "gzip", "BROTLI": "brotli", "LZ4": "lz4",
    "LZ4_RAW": "lz4", "ZSTD": "zstd",
}  # fmt: skip
_HELD = 64 * 1024 * 1024  # bytes of rows that wait for the rest of their row group


def merged_schema(schemas: "Sequence[pa.Schema]", columns: Sequence[str]) -> "pa.Schema":
    """Types that one side changed are the changed ones. Raises Invalid (columns_conflict) where both
    changed one differently."""
    import pyarrow as pa

    base, ours, theirs = schemas
    fields = []
    for name in columns:
        was, mine, other = (_field(schema, name) for schema in schemas)
        if mine is None or other is None:
            present = mine if mine is not None else other
            fields.append(present.with_nullable(True))  # rows of the other side have nothing there
            continue
        if mine.type != other.type and (was is None or was.type not in (mine.type, other.type)):
            raise Invalid(
                "columns_conflict",
                f'The column "{name}" is {mine.type} on one side and {other.type} on the other.',
                "Take one side's file whole.",
            )
        kind = other.type if was is not None and mine.type == was.type else mine.type
        fields.append(mine.with_type(kind).with_nullable(mine.nullable or other.nullable))
    metadata = theirs.metadata if ours.metadata == base.metadata else ours.metadata
    return pa.schema(fields, metadata=metadata)


def plain(column: "pa.ChunkedArray", kind: "pa.DataType | None") -> Any:
    """One array, without a dictionary; of that type, where one is given. Raises Invalid
    (columns_conflict) where a value does not fit into it."""
    import pyarrow as pa

    array = column.combine_chunks()
    if isinstance(array, pa.ChunkedArray):  # of none
        array = pa.concat_arrays(array.chunks) if array.num_chunks else pa.array([], array.type)
    if pa.types.is_dictionary(array.type):
        array = array.dictionary_decode()
    if kind is not None and array.type != kind:
        try:
            array = array.cast(kind)
        except pa.ArrowInvalid as error:
            raise Invalid("columns_conflict", f"A value does not fit into its new type: {error}") from None
    return array


def _settings(ours: "pq.FileMetaData", theirs: "pq.FileMetaData") -> dict[str, Any]:
    """What a file says about how it was written, for a writer. New columns are as theirs has them."""
    compression: dict[str, str] = {}
    dictionary: dict[str, bool] = {}
    chunks = [some.row_group(0) for some in (theirs, ours) if some.num_row_groups]
    for group in chunks:
        for number in range(group.num_columns):
            column = group.column(number)
            name = column.path_in_schema
            compression[name] = _CODECS.get(column.compression, "snappy")
            dictionary[name] = column.has_dictionary_page
    last = [chunks[-1].column(number) for number in range(chunks[-1].num_columns)] if chunks else []
    return {
        "compression": compression or "snappy",
        "use_dictionary": [name for name, used in dictionary.items() if used],
        "version": ours.format_version if ours.format_version in ("1.0", "2.4", "2.6") else "2.6",
        "write_statistics": any(column.is_stats_set for column in last) or not last,
        "write_page_index": any(column.has_offset_index for column in last),
        "store_schema": b"ARROW:schema" in (ours.metadata or {}),
    }


class Output:
    """The merged file. Row groups are those of ours, as far as rows stay."""

    def __init__(self, out: BinaryIO, schema: "pa.Schema", ours: ParquetTable, theirs: ParquetTable) -> None:
        import pyarrow.parquet as pq

        self._schema = schema
        self._writer = pq.ParquetWriter(out, schema, **_settings(ours.metadata, theirs.metadata))
        groups = [some.metadata.row_group(n).num_rows for some in (ours, theirs)
                  for n in range(some.metadata.num_row_groups)]  # fmt: skip
        self._largest = max(groups, default=1)
        self._held: list[pa.Table] = []
        self._rows = self._bytes = 0

    def add(
        self, ours: "pa.Table", ours_at: NDArray[np.int64], theirs: "pa.Table",
        theirs_at: NDArray[np.int64], from_theirs: NDArray[np.bool_], there: NDArray[np.bool_],
    ) -> None:  # fmt: skip
        """Rows, each cell from one of two tables: `…_at` says where in it a row is."""
        import pyarrow as pa

        columns = []
        for number, field in enumerate(self._schema):
            of_theirs = from_theirs[there, number]
            kind = value_type(field)
            mine = _column(ours, field.name, kind)
            at = np.where(of_theirs, theirs_at[there] + len(mine), ours_at[there])
            if of_theirs.any():
                mine = pa.concat_arrays([mine, _column(theirs, field.name, kind)])
            whole = len(at) == len(mine) and bool((at == np.arange(len(at))).all())
            array = mine if whole else mine.take(pa.array(at))
            columns.append(array.dictionary_encode().cast(field.type) if kind != field.type else array)
        table = pa.Table.from_arrays(columns, schema=self._schema)
        self._held.append(table)
        self._rows += len(table)
        self._bytes += table.nbytes
        if self._bytes > _HELD:
            self._flush()

    def end_group(self, *, full: bool = False) -> None:
        """`full`: only if it has as many rows as the largest of ours."""
        if not full or self._rows >= self._largest:
            self._flush()

    def __enter__(self) -> None: ...

    def __exit__(self, kind: object, *rest: object) -> None:
        """Whatever went wrong, the writer ends while its file is still open."""
        try:
            if kind is None:
                self._flush()
        finally:
            self._writer.close()

    def _flush(self) -> None:
        import pyarrow as pa

        if self._rows:
            self._writer.write_table(pa.concat_tables(self._held), row_group_size=max(self._rows, 1))
        self._held, self._rows, self._bytes = [], 0, 0


def value_type(field: "pa.Field") -> Any:
    """Of its values, without a dictionary."""
    import pyarrow as pa

    return field.type.value_type if pa.types.is_dictionary(field.type) else field.type


def _column(table: "pa.Table", name: str, kind: "pa.DataType") -> Any:
    import pyarrow as pa

    if name not in table.column_names:
        return pa.nulls(len(table), kind)
    return plain(table.column(name), kind)


def _field(schema: "pa.Schema", name: str) -> Any:
    return schema.field(name) if name in schema.names else None
