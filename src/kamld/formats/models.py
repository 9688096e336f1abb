"""How two versions of a model differ: arrays added, removed, changed, and parts that are no arrays.

safetensors, NumPy, ONNX (initializers, nodes) and skops (arrays, settings; no object is made of it).
"""

import json
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from hashlib import blake2b
from itertools import zip_longest
from typing import Any, BinaryIO, Literal

import numpy as np

from kamld.errors import Invalid
from kamld.formats.arrays import READERS, Array, bad, packed_npy, zip_damage_told

SUFFIXES = (*READERS, ".onnx", ".skops")
_ONNX_MAX = 512 * 1024 * 1024  # it has to be in memory whole
_SCHEMA_MAX = 16 * 1024 * 1024
_DEPTH = 60
_NORMS = 200  # changed arrays whose norms are computed
_TEXT = 80


@dataclass(frozen=True, slots=True)
class Changed:
    """An array or a part. What is None is not there; norms are L2, of the old, the new, and what one
    adds to the other."""

    name: str
    sort: Literal["added", "removed", "changed"]
    old: str | None
    new: str | None
    norms: tuple[float, float, float | None] | None = None


@dataclass(slots=True)
class ModelDiff:
    old_arrays: int
    new_arrays: int
    arrays: list[Changed] = field(default_factory=list)
    parts: list[Changed] = field(default_factory=list)  # nodes of ONNX, settings of scikit-learn


@dataclass(frozen=True, slots=True)
class _Model:
    arrays: dict[str, Array]
    parts: dict[str, str]  # a short text, and a digest of all that is in it
    digests: dict[str, bytes] = field(default_factory=dict)


def compare_models(old: BinaryIO, new: BinaryIO, *, suffix: str) -> ModelDiff:
    """Raises Invalid (bad_model, missing_extra)."""
    with zip_damage_told():
        before, now = _read(old, suffix.lower()), _read(new, suffix.lower())
        diff = ModelDiff(len(before.arrays), len(now.arrays))
        diff.arrays.extend(_arrays(before.arrays, now.arrays))
    for name in dict.fromkeys((*before.parts, *now.parts)):
        one, two = before.parts.get(name), now.parts.get(name)
        if one != two or before.digests.get(name) != now.digests.get(name):
            diff.parts.append(Changed(name, _sort(one, two), one, two))
    return diff


def _read(file: BinaryIO, suffix: str) -> _Model:
    if suffix == ".onnx":
        return _read_onnx(file)
    if suffix == ".skops":
        return _read_skops(file)
    return _Model(READERS[suffix](file), {})


def _arrays(before: dict[str, Array], now: dict[str, Array]) -> Iterator[Changed]:
    computed = 0
    for name in dict.fromkeys((*before, *now)):
        old, new = before.get(name), now.get(name)
        if old is not None and new is not None and _equal(old, new):
            continue
        norms = None
        if old is not None and new is not None and old.known and new.known and computed < _NORMS:
            norms = _norms(old, new)
            computed += 1
        yield Changed(name, _sort(old, new), _about(old), _about(new), norms)


def _sort(old: object, new: object) -> Literal["added", "removed", "changed"]:
    return "added" if old is None else "removed" if new is None else "changed"


def _about(array: Array | None) -> str | None:
    if array is None:
        return None
    return f"{array.type_name} {'×'.join(map(str, array.shape)) or 'one number'}"


def _equal(old: Array, new: Array) -> bool:
    if (old.shape, old.dtype, old.columns_first) != (new.shape, new.dtype, new.columns_first):
        return False
    return all(one == two for one, two in zip_longest(old.pieces(), new.pieces()))


def _norms(old: Array, new: Array) -> tuple[float, float, float | None]:
    sums = [0.0, 0.0, 0.0]
    alike = (old.shape, old.dtype, old.columns_first) == (new.shape, new.dtype, new.columns_first)
    with np.errstate(all="ignore"):
        if not alike:
            for at, array in enumerate((old, new)):
                sums[at] = sum(float(np.square(array.values(piece)).sum()) for piece in array.pieces())
        else:
            for one, two in zip(old.pieces(), new.pieces(), strict=True):
                was, now = old.values(one), new.values(two)
                for at, values in enumerate((was, now, now - was)):
                    sums[at] += float(np.square(values).sum())
    return sums[0] ** 0.5, sums[1] ** 0.5, sums[2] ** 0.5 if alike else None


def _read_onnx(file: BinaryIO) -> _Model:
    try:
        import onnx
        from onnx import external_data_helper, numpy_helper
    except ImportError:
        raise Invalid(
            "missing_extra", "What is in ONNX files is seen with onnx.", "pip install 'kamld[models]'"
        ) from None
    if file.seek(0, 2) > _ONNX_MAX:
        raise bad("It is larger than 512 MB.")
    file.seek(0)
    try:
        graph = onnx.load_model_from_string(file.read()).graph
    except Exception as error:
        if type(error).__name__ != "DecodeError" and not isinstance(error, ValueError):
            raise
        raise bad(f"It is no ONNX model: {error}") from None
    arrays = {}
    for tensor in graph.initializer:
        shape = tuple(tensor.dims)
        if external_data_helper.uses_external_data(tensor):
            place = b"".join(f"{e.key}={e.value};".encode() for e in tensor.external_data)
            arrays[tensor.name] = Array(shape, "kept elsewhere", False, partial(_one, place), False)
            continue
        try:
            values = np.ascontiguousarray(numpy_helper.to_array(tensor))
        except (ValueError, TypeError, KeyError, OverflowError, MemoryError):
            raise bad(f'"{tensor.name[:_TEXT]}" is not as its shape says.') from None
        known = values.dtype.kind in "biufc"
        data = values.tobytes() if not values.dtype.hasobject else repr(values.tolist()).encode()
        name = values.dtype.str if known else str(values.dtype)
        arrays[tensor.name] = Array(shape, name, False, partial(_one, data), known)
    model = _Model(arrays, {})
    for number, node in enumerate(graph.node):
        label = node.name or (node.output[0] if node.output else f"node {number + 1}")
        ends = f"{', '.join(node.input)} → {', '.join(node.output)}"
        model.parts[label] = f"{node.op_type} ({_clip(ends)})"
        model.digests[label] = _digest(node.SerializeToString(deterministic=True))
    return model


def _read_skops(file: BinaryIO) -> _Model:
    with zip_damage_told():
        archive = zipfile.ZipFile(file)
        if "schema.json" not in archive.namelist():
            raise bad("It has no schema.json.")
        if archive.getinfo("schema.json").file_size > _SCHEMA_MAX:
            raise bad("Its schema is larger than 16 MB.")
        try:
            schema = json.loads(archive.read("schema.json"))
        except RecursionError:
            raise bad("Its schema is too deep.") from None
        model = _Model({}, {})
        _walk(archive, schema, "", model, 0)
        return model


def _walk(archive: zipfile.ZipFile, node: Any, place: str, model: _Model, depth: int) -> None:
    """Arrays and settings by where they are in the object."""
    if depth > _DEPTH:
        raise bad("Its schema is too deep.")
    if isinstance(node, list):
        for number, inner in enumerate(node):
            _walk(archive, inner, f"{place}[{number}]", model, depth + 1)
        return
    if not isinstance(node, dict):
        return
    file, content = node.get("file"), node.get("content")
    if isinstance(file, str) and file.endswith(".npy") and file in archive.namelist():
        model.arrays[place or "array"] = packed_npy(archive, file)
    elif "__class__" in node and not isinstance(content, dict | list):
        named = f"{node.get('__module__')}.{node['__class__']}"
        shown = content if isinstance(content, str) else named
        model.parts[place or "object"] = _clip(str(shown))
        model.digests[place or "object"] = _digest(str(content).encode("utf-8", "surrogatepass"))
    if isinstance(content, dict) and "__class__" in content:
        _walk(archive, content, place, model, depth + 1)
    elif isinstance(content, dict | list):
        inner = content.items() if isinstance(content, dict) else enumerate(content)
        for name, value in inner:
            if name != "key_types":
                _walk(archive, value, f"{place}.{name}" if place else str(name), model, depth + 1)


def _one(data: bytes) -> Iterator[bytes]:
    yield data


def _digest(data: bytes) -> bytes:
    return blake2b(data, digest_size=16).digest()


def _clip(text: str) -> str:
    return text if len(text) <= _TEXT else text[: _TEXT - 1] + "…"
