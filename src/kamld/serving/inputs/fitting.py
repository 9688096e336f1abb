"""Values brought to a model input's type and shape, or refused: nothing is guessed or rounded."""

import math
from collections.abc import Sequence

import numpy as np

from kamld.errors import Invalid
from kamld.serving.interface import TensorSpec, shape_text
from kamld.serving.oip.tensors import DTYPES, Array


def expected(spec: TensorSpec) -> str:
    return f'Input "{spec.name}" takes {spec.datatype} {shape_text(spec.shape)}.'


def fitted(array: Array, spec: TensorSpec, where: str) -> Array:
    """`array` with the type and shape of `spec`; a missing batch dimension is added.

    `where` names the values in errors. Raises Invalid.
    """
    return _shaped(_typed(array, spec, where), spec, where)


def _typed(array: Array, spec: TensorSpec, where: str) -> Array:
    wanted = DTYPES[spec.datatype]
    kind = array.dtype.kind
    if array.dtype == wanted and kind != "O":
        return array
    if spec.datatype == "BYTES":
        if kind not in "OUS" or not all(isinstance(v, str | bytes) for v in array.ravel().tolist()):
            raise _wrong_type(array, spec, where)
        texts = np.empty(array.shape, dtype=object)
        texts.ravel()[:] = [v.decode() if isinstance(v, bytes) else v for v in array.ravel().tolist()]
        return texts
    allowed = {"b": "b", "i": "iub", "u": "iub", "f": "fiub"}[wanted.kind]
    whole = kind == "f" and wanted.kind in "iu" and bool((array == np.floor(array)).all())
    if kind not in allowed and not whole:
        raise _wrong_type(array, spec, where)
    if wanted.kind in "iu" and array.size:
        bounds = np.iinfo(wanted)
        if array.min() < bounds.min or array.max() > bounds.max:
            raise Invalid(
                "wrong_value",
                f"{where} has values from {array.min()} to {array.max()}.",
                expected(spec),
            )
    with np.errstate(over="ignore"):
        cast = array.astype(wanted)
    if wanted.kind == "f" and kind == "f" and (np.isinf(cast) & ~np.isinf(array)).any():
        raise Invalid("wrong_value", f"{where} has numbers too large.", expected(spec))
    return cast


def _wrong_type(array: Array, spec: TensorSpec, where: str) -> Invalid:
    names = {"b": "true/false", "i": "whole numbers", "u": "whole numbers", "f": "numbers"}
    return Invalid("wrong_type", f"{where} has {names.get(array.dtype.kind, 'text')}.", expected(spec))


def _shaped(array: Array, spec: TensorSpec, where: str) -> Array:
    """As it is, or with a batch dimension, or with each row's own dimensions joined or split."""
    if spec.fits(array.shape):
        return array
    if spec.fits((1, *array.shape)):
        return array[np.newaxis]
    row = spec.shape[1:]
    if spec.shape and -1 not in row:
        rows = _rows(array.shape, math.prod(row))
        if rows is not None and spec.fits((rows, *row)):
            return array.reshape(rows, *row)
    if not spec.shape and array.size == 1:
        return array.reshape(())
    raise Invalid("wrong_shape", f"{where} has shape {shape_text(array.shape)}.", expected(spec))


def _rows(shape: Sequence[int], row: int) -> int | None:
    """How many rows of `row` elements an array holds: all of it is one, or each of its first
    dimension is. Anything else would make values of one row into rows of their own."""
    for cut in range(min(len(shape), 1) + 1):
        if math.prod(shape[cut:]) == row:
            return math.prod(shape[:cut])
    return None
