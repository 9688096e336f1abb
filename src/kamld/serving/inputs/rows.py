"""JSON values and CSV rows as tensors."""

import csv
import io
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import numpy as np

from kamld.errors import Invalid
from kamld.serving.inputs.fitting import expected, fitted
from kamld.serving.interface import TensorSpec
from kamld.serving.oip.requests import decode_request
from kamld.serving.oip.tensors import Array

_ROWS_MAX = 1_000_000


def from_json(data: bytes, specs: Sequence[TensorSpec], where: str) -> dict[str, Array]:
    """A row or rows for a model with one input, an object (or a list of them) with a value for each
    input by name, or a whole Open Inference request. Raises Invalid.
    """
    try:
        value = msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Invalid("bad_json", f"{where} is not valid JSON: {error}.") from None
    if isinstance(value, dict) and isinstance(value.get("inputs"), list):
        return decode_request(data, None, specs, ()).tensors
    if isinstance(value, dict):
        return _by_name(value, specs, where)
    if isinstance(value, list) and value and all(isinstance(row, dict) for row in value):
        names = value[0].keys()
        if any(row.keys() != names for row in value):
            raise Invalid("bad_rows", f"{where} has objects with different fields.")
        return _by_name({name: [row[name] for row in value] for name in names}, specs, where)
    return {_only(specs, where).name: fitted(_array(value, where), _only(specs, where), where)}


def _by_name(values: Mapping[str, Any], specs: Sequence[TensorSpec], where: str) -> dict[str, Array]:
    names = [spec.name for spec in specs]
    if set(values) != set(names):
        raise Invalid(
            "wrong_inputs",
            f"{where} has the fields {', '.join(values) or '(none)'}.",
            f"The model's inputs are {', '.join(names)}.",
        )
    return {
        spec.name: fitted(_array(values[spec.name], f"{where}, {spec.name},"), spec, where) for spec in specs
    }


def _array(value: Any, where: str) -> Array:
    try:
        array = np.array(value)
    except (ValueError, OverflowError) as error:
        raise Invalid("bad_rows", f"{where} does not have rows of equal length: {error}.") from None
    if array.dtype.kind == "U":  # numbers among texts have become texts; see whether there were any
        array = np.array(value, dtype=object)
    return array


def _only(specs: Sequence[TensorSpec], where: str) -> TensorSpec:
    if len(specs) != 1:
        names = ", ".join(spec.name for spec in specs)
        raise Invalid(
            "wrong_inputs",
            f"{where} has values without names, but the model has {len(specs)} inputs: {names}.",
            "Give an object with a value for each, or a CSV file with these columns.",
        )
    return specs[0]


def from_csv(
    data: bytes, specs: Sequence[TensorSpec], where: str, *, separator: str = ","
) -> dict[str, Array]:
    """For one input the numeric columns in their order, for several the columns named like them.

    Raises Invalid.
    """
    try:
        text = data.decode("utf-8-sig")
        rows = [row for row in csv.reader(io.StringIO(text), delimiter=separator) if row]
    except (UnicodeDecodeError, csv.Error) as error:
        raise Invalid("damaged_input", f"{where} is not a CSV file: {error}.") from None
    if not rows:
        raise Invalid("damaged_input", f"{where} has no rows.")
    if len(rows) > _ROWS_MAX or any(len(row) != len(rows[0]) for row in rows):
        raise Invalid("bad_rows", f"{where} does not have rows of equal length.")
    header = rows[0] if not any(_is_number(cell) for cell in rows[0]) else None
    body = rows[1:] if header else rows
    if not body:
        raise Invalid("damaged_input", f"{where} has a header but no rows.")
    columns = list(zip(*body, strict=True))
    if len(specs) > 1:
        return _named_columns(header or [], columns, specs, where)
    return {specs[0].name: _columns_in_order(header, columns, specs[0], where)}


def _named_columns(
    header: Sequence[str], columns: Sequence[Sequence[str]], specs: Sequence[TensorSpec], where: str
) -> dict[str, Array]:
    by_name = dict(zip([name.strip() for name in header], columns, strict=bool(header)))
    missing = [spec.name for spec in specs if spec.name not in by_name]
    if missing:
        raise Invalid(
            "wrong_inputs",
            f"{where} has no column for {', '.join(missing)}.",
            f"The first row must name the inputs: {', '.join(spec.name for spec in specs)}.",
        )
    return {spec.name: fitted(_column(by_name[spec.name], spec), spec, where) for spec in specs}


def _column(cells: Sequence[str], spec: TensorSpec) -> Array:
    if spec.datatype == "BYTES" or not all(_is_number(cell) for cell in cells):
        return np.array(cells, dtype=object)
    return _numbers([cells])[:, 0]


def _columns_in_order(
    header: Sequence[str] | None, columns: Sequence[Sequence[str]], spec: TensorSpec, where: str
) -> Array:
    if spec.datatype == "BYTES":
        return fitted(np.array(columns, dtype=object).T, spec, where)
    numeric = [n for n, cells in enumerate(columns) if all(_is_number(cell) for cell in cells)]
    if not numeric:
        raise Invalid("wrong_type", f"{where} has no column of numbers.", expected(spec))
    names = f" ({', '.join(header[n] for n in numeric[:10])})" if header else ""
    what = f"{where} with {len(numeric)} numeric columns{names}"
    return fitted(_numbers([columns[n] for n in numeric]), spec, what)


def _numbers(columns: Sequence[Sequence[str]]) -> Array:
    """One row a line, as whole numbers if all are."""
    try:
        return np.array([[int(cell) for cell in cells] for cells in columns], dtype=np.int64).T
    except (ValueError, OverflowError):
        return np.array([[float(cell) for cell in cells] for cells in columns]).T


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True
