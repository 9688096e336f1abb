"""What an answer says in a few words, for the prediction log and for people."""

from collections.abc import Mapping, Sequence

import numpy as np

from kamld.serving.oip.tensors import Array

LENGTH_MAX = 200
_SHOWN = 4  # values or rows spelled out
_PROBABILITY_SLACK = 0.01


def scores(outputs: Mapping[str, Array], classes: Sequence[str]) -> list[list[tuple[str, float]]]:
    """For each row of a classifier's answer its classes with their scores, highest first.

    Empty when the outputs are not a classifier's. Classes without names are numbered.
    """
    found = _score_table(outputs, classes)
    if found is None:
        return []
    names = list(classes) or [str(index) for index in range(found.shape[1])]
    return [
        sorted(zip(names, row, strict=True), key=lambda pair: -pair[1])
        for row in found.astype(float).tolist()
    ]


def summary(outputs: Mapping[str, Array], classes: Sequence[str]) -> str:
    """At most LENGTH_MAX characters, e.g. "roses 0.91" or "variable 3.1"."""
    table = _score_table(outputs, classes)
    labels = _labels(outputs)
    if table is not None and len(table) and (classes or labels is not None):
        text = _classified(table, labels, classes)
    elif labels is not None and len(labels):
        text = _listed([_value(v) for v in labels[:_SHOWN].tolist()], len(labels))
    else:
        text = ", ".join(f"{name} {_values(array)}" for name, array in outputs.items())
    return text if len(text) <= LENGTH_MAX else text[: LENGTH_MAX - 1] + "…"


def _score_table(outputs: Mapping[str, Array], classes: Sequence[str]) -> Array | None:
    """The output with a score for every class: as wide as `classes`, else its rows sum to 1."""
    for array in outputs.values():
        if array.dtype.kind != "f" or array.ndim != 2 or array.shape[1] < 2:
            continue
        if array.shape[1] == len(classes) or (not classes and _are_probabilities(array[:1])):
            return array
    return None


def _are_probabilities(rows: Array) -> bool:
    if not len(rows) or not np.isfinite(rows).all() or rows.min() < 0:
        return False
    return bool(np.abs(rows.sum(axis=1) - 1).max() < _PROBABILITY_SLACK)


def _labels(outputs: Mapping[str, Array]) -> Array | None:
    """The output that names the class of each row, as skl2onnx's `label`."""
    for name, array in outputs.items():
        if "label" in name.lower() and array.ndim == 1 and array.dtype.kind in "OiuU":
            return array
    return None


def _classified(table: Array, labels: Array | None, classes: Sequence[str]) -> str:
    said = []
    for index, row in enumerate(table[:_SHOWN]):
        best = int(np.argmax(row))
        label = classes[best] if classes else _value(labels[index]) if labels is not None else best
        said.append(f"{label} {float(row[best]):.2f}")
    return _listed(said, len(table))


def _listed(said: Sequence[str], count: int) -> str:
    more = f", … ({count:,} rows)" if count > len(said) else ""
    return ", ".join(said) + more


def _values(array: Array) -> str:
    flat = array.reshape(-1)
    shown = [_value(value) for value in flat[:_SHOWN].tolist()]
    if flat.size == 1:
        return shown[0]
    more = f", … {flat.size:,} values" if flat.size > _SHOWN else ""
    return f"[{', '.join(shown)}{more}]"


def _value(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)[:60]
