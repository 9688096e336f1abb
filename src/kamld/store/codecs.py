"""How the bytes of one object are kept in a pack: as they are, or compressed with zstd level 1.

Zstd notices incompressible data by itself and passes it at gigabytes a second, so nothing is
probed or guessed from file names.
"""

import threading
from collections.abc import Sequence
from typing import Any

import zstandard

from kamld.errors import SystemFault

RAW = 0
ZSTD = 1
_LEVEL = 1
LARGEST = 64 * 1024 * 1024  # bytes; nothing longer is kept in one piece
_WORTH_TRYING = 64  # bytes; below, a frame's header costs more than it saves

_local = threading.local()


def encode(objects: Sequence[bytes | memoryview]) -> list[tuple[int, bytes]]:
    """(codec, bytes to keep) of each: compressed only where that is smaller.

    Many at once, because other threads run meanwhile, which they could not between small ones.
    """
    trying: list[bytes | bytearray | memoryview] = [data for data in objects if len(data) >= _WORTH_TRYING]
    if not trying:
        return [(RAW, bytes(data)) for data in objects]
    compressor = getattr(_local, "compressor", None)
    if compressor is None:
        compressor = _local.compressor = zstandard.ZstdCompressor(
            level=_LEVEL, write_content_size=False, write_checksum=False
        )
    packed = iter(compressor.multi_compress_to_buffer(trying, threads=1))
    return [_smaller(data, next(packed) if len(data) >= _WORTH_TRYING else data) for data in objects]


def _smaller(data: bytes | memoryview, packed: Any) -> tuple[int, bytes]:
    return (ZSTD, packed.tobytes()) if len(packed) < len(data) else (RAW, bytes(data))


def decode(codec: int, stored: memoryview, raw_length: int) -> bytes | memoryview:
    """The object's bytes. Raises SystemFault (damaged_object) when they cannot be had back."""
    if codec == RAW and len(stored) == raw_length:
        return stored
    if codec != ZSTD or not 0 <= raw_length <= LARGEST:
        raise SystemFault("damaged_object", f"An object has an unknown codec {codec} or a wrong length.")
    decompressor = getattr(_local, "decompressor", None)
    if decompressor is None:
        decompressor = _local.decompressor = zstandard.ZstdDecompressor()
    try:
        data: bytes = decompressor.decompress(stored, max_output_size=max(raw_length, 1))
    except zstandard.ZstdError as error:
        raise SystemFault("damaged_object", f"An object does not decompress: {error}.") from None
    if len(data) != raw_length:
        raise SystemFault("damaged_object", "An object decompresses to a wrong length.")
    return data
