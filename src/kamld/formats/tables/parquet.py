"""Parquet: rows with digests of their values, a row group at a time. A row is told by its number."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from kamld.errors import Invalid
from kamld.formats.tables.delimited import Rows
from kamld.formats.tables.digests import Digests, Hasher

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

PARQUET = (".parquet", ".pq")
_BATCH = 65_536
_GROUP_MAX = 1 << 30  # bytes of a row group, as the file says


@dataclass(slots=True)
class ParquetTable:
    """Use it within `damage_told`."""

    columns: tuple[str, ...]
    types: Mapping[str, str]
    compared: tuple[str, ...]  # columns that count when rows are compared
    _file: "pq.ParquetFile" = field(repr=False)
    _ends: NDArray[np.int64] = field(repr=False)  # of row groups, in rows
    _held: "tuple[int, pa.Table] | None" = None

    def rows(self, hasher: Hasher, key: Sequence[str]) -> Iterator[Rows]:
        names = list(dict.fromkeys((*key, *self.compared)))
        seen = 0
        for batch in self.batches(names):
            digests = {name: column_digests(batch.column(name), hasher) for name in names}
            starts = np.arange(seen, seen + len(batch), dtype=np.int64)
            empty = np.zeros(len(batch), np.bool_)
            for name in key:
                empty |= np.asarray(batch.column(name).is_null().to_numpy(zero_copy_only=False))
            contents = _joined(hasher, [digests[name] for name in self.compared], len(batch))
            keys = hasher.joined([digests[name] for name in key]) if key else contents
            yield Rows(keys, contents, starts, starts + 1, np.flatnonzero(empty))
            seen += len(batch)

    def sample(self, count: int) -> list[dict[str, Any]]:
        for batch in self.batches(list(self.columns), count):
            found: list[dict[str, Any]] = batch.to_pylist()
            return found
        return []

    def value(self, cell: Any) -> Any:
        return cell if cell is None or isinstance(cell, float) else str(cell)

    def plain(self, value: Any) -> str:
        return "" if value is None else str(value)

    def cells(self, row: int) -> dict[str, Any]:
        group = int(np.searchsorted(self._ends, row, side="right"))
        if self._held is None or self._held[0] != group:
            self._held = None
            self._held = (group, self._file.read_row_group(group))
        start = int(self._ends[group - 1]) if group else 0
        found: dict[str, Any] = self._held[1].slice(row - start, 1).to_pylist()[0]
        return found

    @property
    def schema(self) -> "pa.Schema":
        return self._file.schema_arrow

    @property
    def metadata(self) -> "pq.FileMetaData":
        return self._file.metadata

    def spans(self, most: int) -> NDArray[np.int64]:
        """Where pieces of at most so many rows end, each within a row group."""
        found, low = [np.empty(0, np.int64)], 0
        for high in self._ends.tolist():
            found.append(np.append(np.arange(low + most, high, most), high))
            low = high
        return np.concatenate(found)

    def pieces(self, most: int) -> "Iterator[tuple[pa.Table, bool]]":
        """All rows in such pieces, and whether a row group ends there."""
        import pyarrow as pa

        low = 0
        for group, high in enumerate(self._ends.tolist()):
            held, left = [], high - low
            for batch in self._file.iter_batches(batch_size=most, row_groups=[group], use_threads=False):
                held.append(batch)
                table = pa.Table.from_batches(held)
                while len(table) >= min(most, left) > 0:
                    wanted = min(most, left)
                    left -= wanted
                    yield table.slice(0, wanted), not left
                    table = table.slice(wanted)
                held = table.to_batches()
            low = high

    def without_rows(self) -> "ParquetTable":
        import pyarrow as pa
        import pyarrow.parquet as pq

        out = pa.BufferOutputStream()
        pq.write_table(self.schema.empty_table(), out)
        opened = pq.ParquetFile(pa.BufferReader(out.getvalue()))
        none = np.empty(0, np.int64)
        return ParquetTable(self.columns, self.types, self.columns, opened, none)

    def batches(self, names: list[str], size: int = _BATCH) -> "Iterator[pa.RecordBatch]":
        """Of those columns, in the order that they have in the file."""
        yield from self._file.iter_batches(batch_size=size, columns=names, use_threads=False)


@contextmanager
def damage_told() -> Iterator[None]:
    """What Arrow says of a damaged file as Invalid (damaged_table)."""
    import pyarrow as pa

    try:
        yield
    except (pa.ArrowException, OSError, ValueError, OverflowError) as error:
        raise Invalid("damaged_table", f"It cannot be read as Parquet: {_first_line(error)}") from None


def open_parquet(file: BinaryIO) -> ParquetTable:
    """Raises Invalid (not_a_table, damaged_table)."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    file.seek(0)
    try:
        opened = pq.ParquetFile(file, pre_buffer=False)
        schema = opened.schema_arrow
        groups = [opened.metadata.row_group(n) for n in range(opened.metadata.num_row_groups)]
    except (pa.ArrowException, OSError, ValueError) as error:
        raise Invalid("not_a_table", f"It is no Parquet file: {_first_line(error)}") from None
    if any(group.total_byte_size > _GROUP_MAX or group.num_rows < 0 for group in groups):
        raise Invalid("not_a_table", "It has a row group of more than 1 GB.")
    names = tuple(schema.names)
    if len(set(names)) != len(names):
        raise Invalid("not_a_table", "It has two columns of one name.")
    types = {name: str(schema.field(name).type) for name in names}
    ends = np.cumsum([group.num_rows for group in groups], dtype=np.int64)
    return ParquetTable(names, types, names, opened, ends)


def column_digests(array: "pa.Array", hasher: Hasher) -> Digests:
    """Of each value; equal numbers of other widths are equal."""
    import pyarrow as pa

    if pa.types.is_dictionary(array.type):
        array = array.dictionary_decode()
    out = _of_values(array, hasher)
    if array.null_count:
        out = out.copy()
        out[array.is_null().to_numpy(zero_copy_only=False)] = hasher.many([b"\0null"])[0]
    return out


def _of_values(array: "pa.Array", hasher: Hasher) -> Digests:
    import pyarrow as pa

    kind = array.type
    if pa.types.is_floating(kind):
        floats = array.cast(pa.float64()).fill_null(0.0).to_numpy(zero_copy_only=False)
        return hasher.numbers(np.ascontiguousarray(floats).view(np.uint64))
    if pa.types.is_integer(kind) or pa.types.is_boolean(kind):
        integers = array.fill_null(False if pa.types.is_boolean(kind) else 0)
        return hasher.numbers(integers.to_numpy(zero_copy_only=False).astype(np.uint64))
    if pa.types.is_string(kind) or pa.types.is_binary(kind) or pa.types.is_large_string(kind):
        return _of_texts(array.cast(pa.large_binary()).fill_null(b""), hasher)
    return hasher.many([repr(value).encode("utf-8", "surrogatepass") for value in array.to_pylist()])


def _of_texts(array: "pa.LargeBinaryArray", hasher: Hasher) -> Digests:
    _, places, data = array.buffers()
    offsets = np.frombuffer(places, np.int64)[array.offset : array.offset + len(array) + 1]
    if not len(array):
        return np.empty((0, 2), np.uint64)
    low, high = int(offsets[0]), int(offsets[-1])
    part = np.frombuffer(data, np.uint8)[low:high] if data is not None else np.empty(0, np.uint8)
    padded = np.concatenate([part, np.zeros(8, np.uint8)])
    return hasher.spans(padded, offsets[:-1] - low, offsets[1:] - low)


def _joined(hasher: Hasher, parts: Sequence[Digests], count: int) -> Digests:
    return hasher.joined(parts) if parts else np.zeros((count, 2), np.uint64)


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
