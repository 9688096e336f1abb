"""Arrays in files: safetensors, .npy, .npz. Names, shapes, types; values only piece by piece.

Nothing is unpickled, and nothing that a header promises is taken before the file is seen to have it.
"""

import json
import math
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import IO, Any, BinaryIO

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from kamld.errors import Invalid

PIECE = 4 * 1024 * 1024
_HEADER_MAX = 64 * 1024 * 1024
_NPY_HEADER_MAX = 10_000
UNPACKED_MAX = 64 << 30  # bytes that the members of one archive may come to
_SAFE = {
    "F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "bfloat16", "I64": "<i8", "I32": "<i4", "I16": "<i2",
    "I8": "|i1", "U64": "<u8", "U32": "<u4", "U16": "<u2", "U8": "|u1", "BOOL": "|b1",
}  # fmt: skip

Pieces = Callable[[], Iterator[bytes]]


@dataclass(frozen=True, slots=True)
class Array:
    """`dtype` is numpy's name of it, or the format's own; `pieces` are its bytes in file order."""

    shape: tuple[int, ...]
    dtype: str
    columns_first: bool = False
    pieces: Pieces = field(default=lambda: iter(()), repr=False)
    known: bool = True  # whether the values are in this file, of a type that can be computed with

    @property
    def type_name(self) -> str:
        return self.dtype if self.dtype == "bfloat16" or not self.known else np.dtype(self.dtype).name

    def values(self, piece: bytes) -> NDArray[np.float64]:
        if self.dtype == "bfloat16":
            wide = np.frombuffer(piece, "<u2").astype(np.uint32) << np.uint32(16)
            return wide.view(np.float32).astype(np.float64)
        found = np.frombuffer(piece, self.dtype)
        return np.abs(found).astype(np.float64) if found.dtype.kind == "c" else found.astype(np.float64)


def read_safetensors(file: BinaryIO) -> dict[str, Array]:
    """Raises Invalid (bad_model)."""
    size = file.seek(0, 2)
    file.seek(0)
    length = int.from_bytes(file.read(8), "little")
    if size < 8 or not 2 <= length <= min(_HEADER_MAX, size - 8):
        raise bad("Its header is longer than the file.")
    try:
        header = json.loads(file.read(length))
    except (ValueError, RecursionError):
        raise bad("Its header is no JSON.") from None
    if not isinstance(header, dict):
        raise bad("Its header is no JSON object.")
    header.pop("__metadata__", None)
    return {name: _safe_array(file, 8 + length, size, name, about) for name, about in header.items()}


def _safe_array(file: BinaryIO, begin: int, size: int, name: str, about: Any) -> Array:
    try:
        shape, (start, end) = tuple(about["shape"]), about["data_offsets"]
        dtype = str(about["dtype"])
    except (TypeError, KeyError, ValueError):
        raise bad(f'What it says of "{name[:80]}" is not whole.') from None
    whole = all(isinstance(n, int) and n >= 0 for n in (*shape, start, end))
    if not whole or not start <= end <= size - begin:
        raise bad(f'What it says of "{name[:80]}" is not in it.')
    known = dtype in _SAFE
    if known and end - start != math.prod(shape) * _item(_SAFE[dtype]):
        raise bad(f'"{name[:80]}" is not as large as its shape says.')
    pieces = partial(_range, file, begin + start, begin + end)
    return Array(shape, _SAFE.get(dtype, dtype), False, pieces, known)


def read_npy(file: BinaryIO) -> dict[str, Array]:
    """Raises Invalid (bad_model)."""
    size = file.seek(0, 2)
    file.seek(0)
    shape, columns_first, dtype = _npy_header(file)
    begin = file.tell()
    end = begin + math.prod(shape) * dtype.itemsize
    if end > size:
        raise bad("It is shorter than its shape says.")
    return {"": Array(shape, dtype.str, columns_first, partial(_range, file, begin, end), _computable(dtype))}


def read_npz(file: BinaryIO) -> dict[str, Array]:
    """Raises Invalid (bad_model)."""
    with zip_damage_told():
        archive = zipfile.ZipFile(file)
        names = [name for name in archive.namelist() if name.endswith(".npy")]
        if len(set(names)) != len(names):
            raise bad("Two of its arrays have one name.")
        return {name.removesuffix(".npy"): packed_npy(archive, name) for name in names}


def packed_npy(archive: zipfile.ZipFile, name: str) -> Array:
    """An array in an archive. Raises Invalid (bad_model); use within `zip_damage_told`."""
    with archive.open(name) as member:
        shape, columns_first, dtype = _npy_header(member)
    length = math.prod(shape) * dtype.itemsize
    if length > min(archive.getinfo(name).file_size, UNPACKED_MAX):
        raise bad(f'"{name[:80]}" is shorter than its shape says.')
    pieces = partial(_unpacked, archive, name, length)
    return Array(shape, dtype.str, columns_first, pieces, _computable(dtype))


@contextmanager
def zip_damage_told() -> Iterator[None]:
    """What zipfile says of a damaged archive as Invalid (bad_model)."""
    try:
        yield
    except (zipfile.BadZipFile, EOFError, OSError, ValueError, NotImplementedError, RuntimeError) as error:
        raise bad(f"It is a damaged archive: {error}") from None
    except Exception as error:
        if type(error).__module__ in ("zlib", "lzma", "_lzma"):
            raise bad(f"It is a damaged archive: {error}") from None
        raise


def _npy_header(file: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    try:
        version = npy.read_magic(file)
        read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
        shape, columns_first, dtype = read(file, max_header_size=_NPY_HEADER_MAX)
    except (ValueError, TypeError, SyntaxError, EOFError, RecursionError, MemoryError) as error:
        raise bad(f"It is no NumPy array: {str(error).splitlines()[0] if str(error) else ''}") from None
    if dtype.hasobject:
        raise bad("It has pickled objects, which are not opened.")
    if any(n < 0 for n in shape):
        raise bad("Its shape is negative.")
    return tuple(map(int, shape)), bool(columns_first), dtype


def _computable(dtype: np.dtype[Any]) -> bool:
    return dtype.kind in "biufc"


def _item(dtype: str) -> int:
    return 2 if dtype == "bfloat16" else np.dtype(dtype).itemsize


def _range(file: BinaryIO, start: int, end: int) -> Iterator[bytes]:
    while start < end:
        file.seek(start)
        piece = file.read(min(PIECE, end - start))
        if not piece:
            raise bad("It became shorter while it was read.")
        start += len(piece)
        yield piece


def _unpacked(archive: zipfile.ZipFile, name: str, length: int) -> Iterator[bytes]:
    with archive.open(name) as member:
        _npy_header(member)
        while length:
            piece = member.read(min(PIECE, length))
            if not piece:
                raise bad(f'"{name[:80]}" is shorter than its shape says.')
            length -= len(piece)
            yield piece


def bad(what: str) -> Invalid:
    return Invalid("bad_model", what)


READERS: Mapping[str, Callable[[BinaryIO], dict[str, Array]]] = {
    ".safetensors": read_safetensors, ".npy": read_npy, ".npz": read_npz,
}  # fmt: skip
