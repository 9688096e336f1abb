"""The index: which pack has an object. How it is kept is in `segments`, the whole of it in `lookup`."""

from kamld.store.index.lookup import Index, Places, Repack
from kamld.store.index.segments import (
    FANOUT,
    PREFIX,
    Repacked,
    Segment,
    as_ids,
    build,
    decode,
    distinct,
    merge,
    split_ids,
)

__all__ = [
    "FANOUT", "PREFIX", "Index", "Places", "Repack", "Repacked", "Segment", "as_ids", "build", "decode",
    "distinct", "merge", "split_ids",
]  # fmt: skip
