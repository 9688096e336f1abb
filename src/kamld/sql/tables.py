"""Arrow tables for conditions: made of columns, and joined by position."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import pyarrow as pa
    from pyarrow import Table as Table  # for rooms that may not import it


def table_of(columns: Mapping[str, Sequence[Any] | NDArray[Any]]) -> "pa.Table":
    import pyarrow as pa

    return pa.table(dict(columns))


def beside(
    left: "pa.Table", right: "pa.Table", left_of: NDArray[np.int64]
) -> tuple["pa.Table", NDArray[np.int64]]:  # fmt: skip
    """Every row of `right` beside its row of `left` (−1: none, it is left out), and the rows of `left`
    that have none, with nothing beside them; with the position in `left` of each. Where both have a
    column of one name, that of `left` becomes `file_<name>`."""
    import pyarrow as pa

    there = np.flatnonzero(left_of >= 0)
    alone = np.setdiff1d(np.arange(left.num_rows), left_of)
    rows = np.concatenate([left_of[there], alone]).astype(np.int64)
    mask = np.concatenate([np.zeros(len(there), np.bool_), np.ones(len(alone), np.bool_)])
    chosen = pa.array(np.concatenate([there, np.zeros(len(alone), np.int64)]), pa.int64(), mask=mask)
    joined = right.take(chosen)
    for name in left.column_names:
        title = f"file_{name}" if name in right.column_names else name
        joined = joined.append_column(title, left.column(name).take(pa.array(rows)))
    return joined, rows
