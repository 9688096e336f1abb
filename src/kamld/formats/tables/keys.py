"""Which columns tell rows apart: those that were named, or the first that do."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import combinations
from typing import Any

from kamld.errors import Invalid

SAMPLE = 5000
_NAMES = ("id", "key", "uuid", "guid", "file", "filename", "file_name", "path", "name", "image", "index")
_PAIRED = 6  # columns of which pairs are tried
_TRIES = 4  # candidates that are tried on whole tables
_FRACTION = re.compile(r"[-+]?\d*\.\d+([eE][-+]?\d+)?")


def candidates(
    samples: Sequence[Sequence[Mapping[str, Any]]], columns: Sequence[str]
) -> Iterator[tuple[str, ...]]:
    """Columns, then pairs of them, whose values are unique and there in every sample; best first.

    `samples` have comparable values by column; None or "" is no value.
    """
    columns = sorted(columns, key=_rank)
    for name in columns:
        if all(_unique(rows, (name,)) for rows in samples) and not _measured(samples, name):
            yield (name,)
    for pair in combinations(columns[:_PAIRED], 2):
        measured = any(_measured(samples, name) for name in pair)
        if not measured and all(_unique(rows, pair) for rows in samples):
            yield pair


def find_key(found: Iterator[tuple[str, ...]], works: Callable[[tuple[str, ...]], bool]) -> tuple[str, ...]:
    """The first candidate that holds for whole tables. Raises Invalid (no_row_key)."""
    for tried, key in enumerate(found):
        if tried == _TRIES:
            break
        if works(key):
            return key
    raise Invalid(
        "no_row_key",
        "No column tells its rows apart: none has a value in every row and none twice.",
        "Name the columns that do: --key COLUMN (several: --key A,B).",
    )


def check_key(key: Sequence[str], tables: Sequence[Sequence[str]]) -> None:
    """Raises Invalid (unknown_column)."""
    for columns in tables:
        for name in key:
            if name not in columns:
                there = ", ".join(columns[:12])
                raise Invalid("unknown_column", f'There is no column "{name}".', f"It has: {there}.")


def _rank(name: str) -> int:
    lower = name.lower()
    if lower in _NAMES:
        return _NAMES.index(lower)
    return 20 if lower.endswith(("_id", "id", "key")) else 30


def _unique(rows: Sequence[Mapping[str, Any]], names: Sequence[str]) -> bool:
    seen = set()
    for row in rows:
        value = tuple(row.get(name) for name in names)
        if None in value or "" in value or "null" in value or value in seen:
            return False
        seen.add(value)
    return True


def _measured(samples: Sequence[Sequence[Mapping[str, Any]]], name: str) -> bool:
    """Numbers with a fraction are unique by chance."""
    values = [row[name] for rows in samples for row in rows[:200] if row.get(name) is not None]
    return any(isinstance(v, float) or (isinstance(v, str) and _FRACTION.fullmatch(v)) for v in values)
