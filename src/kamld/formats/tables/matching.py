"""Which rows of several tables have the same key. Joins digests of keys, within a budget."""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from kamld.formats.tables.digests import Digests

_BYTES_A_ROW = 120  # that grouping takes
_AT_ONCE = 1 << 20


class Repeated(Exception):
    """A key stands twice in one table."""

    def __init__(self, table: int, first: int, second: int) -> None:
        super().__init__(f"table {table}: rows {first} and {second}")
        self.table, self.first, self.second = table, first, second


def match(tables: Sequence[Digests], budget: int) -> Iterator[NDArray[np.int64]]:
    """For each key the numbers of its rows in the tables, -1 where it has none: (keys, tables), in parts.

    Raises Repeated.
    """
    total = sum(len(keys) for keys in tables)
    bits = parts_for(total, budget)
    for part in range(1 << bits):
        rows = [in_part(keys, part, bits) for keys in tables]
        yield _grouped([keys[some] for keys, some in zip(tables, rows, strict=True)], rows)


def parts_for(rows: int, budget: int) -> int:
    """Into two to the power of how many parts so many rows go, for one to fit into the budget."""
    return max(0, (rows * _BYTES_A_ROW // max(budget, 1)).bit_length())


def in_part(keys: Digests, part: int, bits: int) -> NDArray[np.int64]:
    if bits == 0:
        return np.arange(len(keys))
    found = [np.empty(0, np.int64)]
    for start in range(0, len(keys), _AT_ONCE):
        top = keys[start : start + _AT_ONCE, 0] >> np.uint64(64 - bits)
        found.append(np.flatnonzero(top == part) + start)
    return np.concatenate(found)


def grouped(keys: Digests) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """(an order that brings equal ones together and keeps their own order, a number for each equal
    run along it)."""
    order = np.argsort(keys[:, 0], kind="stable")
    ordered = keys[order]
    high = ordered[1:, 0] == ordered[:-1, 0]
    low = ordered[1:, 1] == ordered[:-1, 1]
    if (high & ~low).any():
        order = np.lexsort((keys[:, 1], keys[:, 0]))
        ordered = keys[order]
        high = ordered[1:, 0] == ordered[:-1, 0]
        low = ordered[1:, 1] == ordered[:-1, 1]
    run = np.zeros(len(keys), np.int64)
    np.cumsum(~(high & low), out=run[1:])
    return order, run


def _grouped(tables: Sequence[Digests], rows: Sequence[NDArray[np.int64]]) -> NDArray[np.int64]:
    keys = np.concatenate(tables)
    if not len(keys):
        return np.empty((0, len(tables)), np.int64)
    order, run = grouped(keys)
    table = np.repeat(np.arange(len(tables)), [len(some) for some in rows])[order]
    number = np.concatenate(rows)[order]
    twice = np.flatnonzero((run[1:] == run[:-1]) & (table[1:] == table[:-1]))
    if len(twice):
        at = int(twice[0])
        raise Repeated(int(table[at]), int(number[at]), int(number[at + 1]))
    out = np.full((int(run[-1]) + 1, len(tables)), -1, np.int64)
    out[run, table] = number
    return out
