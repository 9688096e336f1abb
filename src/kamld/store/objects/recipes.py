"""Recipes: which chunks, in which order, make a large object.

32 bytes BLAKE3 of the object's id and all that follows, then for each chunk its id (32 bytes) and
its length (4 bytes, little-endian). With every chunk verified by its id, and the recipe by a hash
that has the object's own id in it, the object need not be hashed again as a whole.
"""

from collections.abc import Sequence

import numpy as np
from blake3 import blake3
from numpy.typing import NDArray

from kamld.errors import SystemFault

_ROW = np.dtype([("id", "V32"), ("length", "<u4")])


def object_id(data: bytes | memoryview) -> bytes:
    return blake3(data).digest()


def encode(of: bytes, chunks: Sequence[tuple[bytes, int]]) -> bytes:
    table = np.empty(len(chunks), _ROW)
    table["id"] = np.frombuffer(b"".join(identifier for identifier, _ in chunks), "V32")
    table["length"] = [length for _, length in chunks]
    body = table.tobytes()
    return blake3(of + body).digest() + body


def decode(recipe: bytes | memoryview, total: int, identifier: bytes) -> list[tuple[bytes, int]]:
    """(chunk id, length) in order. Raises SystemFault (damaged_object)."""
    table = _table(recipe, total, identifier)
    ids = table["id"].tobytes()
    each = (ids[at : at + 32] for at in range(0, len(ids), 32))
    return list(zip(each, table["length"].tolist(), strict=True))


def chunk_ids(recipe: bytes | memoryview, total: int, identifier: bytes) -> NDArray[np.void]:
    """The chunks' ids alone, where they are: however many there are, nothing is copied."""
    return _table(recipe, total, identifier)["id"]


def _table(recipe: bytes | memoryview, total: int, identifier: bytes) -> NDArray[np.void]:
    body = memoryview(recipe)[32:]
    if len(body) % _ROW.itemsize == 0 and blake3(identifier).update(body).digest() == recipe[:32]:
        table = np.frombuffer(body, _ROW)
        if int(table["length"].sum(dtype=np.uint64)) == total:
            return table
    raise SystemFault("damaged_object", f"The list of chunks of {identifier.hex()[:12]} is damaged.")
