"""Rows of a Parquet file, brought into the order in which others are gone through, within a budget.

They are strewn over parts on disk by where they are wanted; a part is then read whole.
"""

import tempfile
from collections import defaultdict
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from kamld.formats.tables.parquet import ParquetTable

if TYPE_CHECKING:
    import pyarrow as pa

Numbers = NDArray[np.int64]


class Scattered:
    """`wanted`: the rows that are wanted, growing; `at`: the place that each is wanted at, from 0 up to
    the last of `ends`, where the parts end."""

    def __init__(self, table: ParquetTable, wanted: Numbers, at: Numbers, ends: Numbers) -> None:
        import pyarrow as pa

        self._ends = ends
        self._parts: dict[int, list[int]] = defaultdict(list)
        self._places: list[Numbers] = []
        self._file = tempfile.TemporaryFile()  # noqa: SIM115 - see `close`
        self._schema = table.schema
        with pa.ipc.new_file(self._file, self._schema) as writer:
            seen = 0
            for batch in table.batches(list(table.columns)) if len(wanted) else ():
                low, high = np.searchsorted(wanted, [seen, seen + len(batch)])
                if high > low:
                    self._strew(writer, batch, wanted[low:high] - seen, at[low:high])
                seen += len(batch)
        self._reader = pa.ipc.open_file(self._file)

    def close(self) -> None:
        self._file.close()

    def part(self, number: int) -> "tuple[Numbers, pa.Table]":
        """The places that rows are wanted at, and these rows."""
        import pyarrow as pa

        found = self._parts.get(number, [])
        batches = [self._reader.get_batch(batch) for batch in found]
        places = np.concatenate([np.empty(0, np.int64), *(self._places[batch] for batch in found)])
        return places, pa.Table.from_batches(batches, self._schema)

    def _strew(
        self, writer: "pa.RecordBatchFileWriter", batch: "pa.RecordBatch", rows: Numbers, at: Numbers
    ) -> None:
        part = np.searchsorted(self._ends, at, side="right")
        for number in np.unique(part).tolist():
            mine = part == number
            writer.write_batch(batch.take(rows[mine]))
            self._parts[number].append(len(self._places))
            self._places.append(at[mine])
