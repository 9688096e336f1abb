"""Pictures as tensors.

Pixel values go in as they are, 0 to 255 (or what the file holds beyond 8 bits), cast to the
input's type: scaling and normalising belong inside the model, so that every caller gets them right.
The picture is made grey, RGB or RGBA by the input's channels, and resized where the input has a
fixed height and width. An input of plain rows takes a picture with just as many values.
"""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from kamld.errors import Invalid, SystemFault
from kamld.serving.inputs.fitting import expected, fitted
from kamld.serving.interface import TensorSpec
from kamld.serving.oip.tensors import Array

_MODES = {1: "L", 3: "RGB", 4: "RGBA"}
_BILINEAR = 2  # PIL.Image.Resampling.BILINEAR
_DEEP = ("I", "F", "I;16", "I;16L", "I;16B")  # grey with more than 8 bits


class _Layout(NamedTuple):
    channels: int
    height: int  # -1: as the picture
    width: int
    order: str  # "HWC", "CHW", "HW" or "flat"


def read_picture(path: Path, spec: TensorSpec) -> Array:
    """Raises Invalid when it is no picture or does not fit `spec`, SystemFault when unreadable."""
    picture = _opened(path)
    width, height = picture.size
    if spec.datatype in ("BYTES", "BOOL"):
        raise Invalid("wrong_type", f"{path} is a picture.", expected(spec))
    layout = _layout(spec.shape, width, height)
    if layout is None:
        raise Invalid("wrong_shape", f"{path} is a picture of {width} × {height} pixels.", expected(spec))
    return fitted(_pixels(picture, layout), spec, str(path))


def _layout(shape: tuple[int, ...], width: int, height: int) -> _Layout | None:
    """How `shape` wants a picture of this size, or None when it wants none such."""
    if len(shape) == 4:
        return _planes(shape[1:])
    if len(shape) == 3 and shape[0] != -1 and (shape[0] in _MODES or shape[2] in _MODES):
        return _planes(shape)
    if len(shape) == 3 or (len(shape) == 2 and shape[0] > 1 and shape[1] > 1):
        return _Layout(1, shape[-2], shape[-1], "HW")
    for channels in _MODES:
        if shape and len(shape) <= 2 and shape[-1] == width * height * channels:
            return _Layout(channels, height, width, "flat")
    return None


def _planes(shape: tuple[int, ...]) -> _Layout | None:
    first, middle, last = shape
    if first in _MODES:
        return _Layout(first, middle, last, "CHW")
    return _Layout(last, first, middle, "HWC") if last in _MODES else None


def _pixels(picture: Any, layout: _Layout) -> Array:
    deep = picture.mode in _DEEP and layout.channels == 1
    picture = picture.convert(("F" if picture.mode == "F" else "I") if deep else _MODES[layout.channels])
    height = layout.height if layout.height > 0 else picture.height
    width = layout.width if layout.width > 0 else picture.width
    if picture.size != (width, height):
        picture = picture.resize((width, height), _BILINEAR)
    pixels = np.asarray(picture).reshape(height, width, layout.channels)
    if layout.order == "CHW":
        return np.ascontiguousarray(np.moveaxis(pixels, -1, 0))
    if layout.order == "HW":
        return pixels[:, :, 0]
    return pixels.reshape(-1) if layout.order == "flat" else pixels


def _opened(path: Path) -> Any:
    from PIL import Image, ImageOps, UnidentifiedImageError

    try:
        with Image.open(path) as file:
            picture = ImageOps.exif_transpose(file)
            picture.load()
            return picture
    except UnidentifiedImageError:
        raise Invalid(
            "unknown_input",
            f"{path} is not a picture that can be read.",
            "Inputs are pictures, .json, .csv, .npy and .npz files.",
        ) from None
    except (Image.DecompressionBombError, SyntaxError, ValueError) as error:
        raise Invalid("damaged_input", f"{path} cannot be read as a picture: {error}.") from None
    except OSError as error:
        if error.errno is None:  # Pillow's word for a file that ends too soon
            raise Invalid("damaged_input", f"{path} is damaged: {error}.") from None
        raise SystemFault("unreadable_input", f"Cannot read {path}: {error.strerror}.") from None
