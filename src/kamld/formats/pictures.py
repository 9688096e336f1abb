"""Pictures: how two differ in format, mode, size and pixels; small copies of them."""

import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO

import numpy as np

from kamld.errors import Invalid

if TYPE_CHECKING:
    from PIL.Image import Image

SUFFIXES = (".png", ".jpg", ".jpeg", ".gif", ".bmp", ".tif", ".tiff", ".webp")
_FORMATS = ("PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP")
_PIXELS_MAX = 64_000_000


@dataclass(frozen=True, slots=True)
class Picture:
    format: str
    mode: str
    width: int
    height: int
    thumbnail: bytes | None = None  # PNG


@dataclass(frozen=True, slots=True)
class PictureDiff:
    """`pixels`: how many differ; None where size or mode do."""

    old: Picture
    new: Picture
    pixels: int | None


def compare_pictures(old: BinaryIO, new: BinaryIO, *, thumbnail: int = 0) -> PictureDiff:
    """`thumbnail`: the longer side of small copies, 0 for none. Raises Invalid (bad_picture)."""
    with _opened(old) as before, _opened(new) as now:
        pixels = None
        if (before.size, before.mode) == (now.size, now.mode):
            different = np.asarray(before) != np.asarray(now)
            pixels = int((different.any(axis=2) if different.ndim == 3 else different).sum())
        return PictureDiff(_about(before, thumbnail), _about(now, thumbnail), pixels)


def _about(image: "Image", thumbnail: int) -> Picture:
    data = None
    if thumbnail:
        small = image.convert("RGBA" if "A" in image.mode or image.mode == "P" else "RGB")
        small.thumbnail((thumbnail, thumbnail))
        out = io.BytesIO()
        small.save(out, "PNG")
        data = out.getvalue()
    return Picture(image.format or "", image.mode, image.width, image.height, data)


@contextmanager
def _opened(file: BinaryIO) -> "Iterator[Image]":
    from PIL import Image

    file.seek(0)
    try:
        with warnings.catch_warnings(action="ignore"):
            image = Image.open(file, formats=_FORMATS)
            if image.width * image.height > _PIXELS_MAX:
                raise Invalid("bad_picture", f"It says that it has {image.width} × {image.height} pixels.")
            image.load()
    except (OSError, ValueError, SyntaxError, EOFError, OverflowError, Image.DecompressionBombError) as error:
        raise Invalid("bad_picture", f"It is no whole picture: {error}") from None
    yield image
