"""A file as the tensors of a request, by what kind of file it is."""

import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from kamld.errors import Invalid, NotFound, SystemFault
from kamld.serving.inputs.fitting import expected, fitted
from kamld.serving.inputs.pictures import read_picture
from kamld.serving.inputs.rows import from_csv, from_json
from kamld.serving.interface import TensorSpec
from kamld.serving.oip.tensors import Array

_SEPARATORS = {".csv": ",", ".tsv": "\t"}


def read_inputs(path: Path, specs: Sequence[TensorSpec]) -> dict[str, Array]:
    """The tensors in a picture, a .json, .csv, .tsv, .npy or .npz file, as `specs` want them.

    Raises NotFound, Invalid naming the file, what it has and what is expected, or SystemFault when
    it cannot be read.
    """
    kind = path.suffix.lower()
    if not path.is_file():
        what = "is a folder" if path.is_dir() else "does not exist"
        raise NotFound("no_input", f"{path} {what}.", "Give a picture, .json, .csv or .npy file.")
    if kind in (".npy", ".npz"):
        return _from_numpy(path, specs)
    if kind == ".json":
        return from_json(_bytes(path), specs, str(path))
    if kind in _SEPARATORS:
        return from_csv(_bytes(path), specs, str(path), separator=_SEPARATORS[kind])
    if len(specs) != 1:
        names = ", ".join(spec.name for spec in specs)
        raise Invalid(
            "wrong_inputs",
            f"{path} can be one input; the model has {len(specs)}: {names}.",
            "Give a .json, .csv or .npz file with a value for each.",
        )
    return {specs[0].name: read_picture(path, specs[0])}


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise SystemFault("unreadable_input", f"Cannot read {path}: {error.strerror}.") from None


def _from_numpy(path: Path, specs: Sequence[TensorSpec]) -> dict[str, Array]:
    arrays = _loaded(path)
    if len(specs) == 1 and len(arrays) == 1:
        return {specs[0].name: fitted(next(iter(arrays.values())), specs[0], str(path))}
    missing = [spec for spec in specs if spec.name not in arrays]
    if missing:
        has = ", ".join(arrays)
        raise Invalid(
            "wrong_inputs",
            f'{path} has no array "{missing[0].name}"{f"; it has {has}" if has else ""}.',
            expected(missing[0]),
        )
    return {s.name: fitted(arrays[s.name], s, f"{path}, {s.name},") for s in specs}


def _loaded(path: Path) -> dict[str, Array]:
    try:
        loaded = np.load(path, allow_pickle=False)
        if isinstance(loaded, np.ndarray):
            return {"": loaded}
        with loaded:
            return {name: loaded[name] for name in loaded.files}
    except (ValueError, EOFError, zipfile.BadZipFile, KeyError) as error:
        raise Invalid("damaged_input", f"{path} is not a NumPy file that can be read: {error}.") from None
    except OSError as error:
        raise SystemFault("unreadable_input", f"Cannot read {path}: {error.strerror}.") from None
