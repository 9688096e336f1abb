"""Settling rows of cells between delimiters in bulk: digests of cells compared, results cut together.

Rows that somebody has to decide about are left open.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from kamld.formats.tables.delimited import Located
from kamld.formats.tables.digests import Digests
from kamld.formats.tables.lines_index import Indexed
from kamld.formats.tables.merging.output import Numbers, Pieces
from kamld.formats.tables.merging.plan import Mask, RowPlan, Sources, Verdict, settle_cells
from kamld.formats.tables.merging.settle import Side, gone_conflict


@dataclass(frozen=True, slots=True)
class Found:
    """`ours`: rows that stay as ours has them; `joined`: those with cells of theirs. `located` are the
    cells of ours and of theirs."""

    verdict: Verdict
    ours: Mask
    joined: Mask
    rows: int  # that theirs changed or dropped
    located: Sequence[Located | None]


class Cells:
    def __init__(self, plan: RowPlan, columns: tuple[str, ...], gone: Mapping[Side, Sequence[str]]) -> None:
        self._parts, self._hasher = plan.indexed, plan.hasher
        self._columns, self._gone = columns, gone
        tables = [part.table for part in plan.indexed]
        self._places = [[table.places.get(name, -1) for name in columns] for table in tables]
        self._delimiter: bytes = tables[1].dialect.delimiter

    def settle(self, sources: Sources, *, rewrite: bool) -> Found:
        """`rewrite`: rows of ours have to be put together too. Raises Invalid (columns_conflict)."""
        rows = (sources.base, sources.ours, sources.theirs)
        located = [_located(part, some) for part, some in zip(self._parts, rows, strict=True)]
        was, mine, other = (
            self._digests(part, at, places, len(sources.ours))
            for part, at, places in zip(self._parts, located, self._places, strict=True)
        )
        self._check_gone(located, sources)
        verdict = settle_cells(was, mine, other, sources, [place >= 0 for place in self._places[0]])
        count = int(verdict.touched.sum()) + int((verdict.dropped & (sources.ours >= 0)).sum())
        ours = ~(verdict.dropped | verdict.open | verdict.touched)
        joined = verdict.touched | ours if rewrite else verdict.touched
        return Found(verdict, ours & ~joined, joined, count, located[1:])

    def add(self, found: Found, places: Numbers, pieces: Pieces) -> None:
        """The cells of joined rows, with delimiters between them."""
        rows = np.flatnonzero(found.joined)
        if not len(rows):
            return
        count = len(self._columns)
        starts = np.zeros((len(rows), 2 * count - 1), np.int64)
        ends = np.zeros_like(starts)
        for side, (at, of) in enumerate(zip(found.located, self._places[1:], strict=True)):
            if at is None:
                continue
            begins = pieces.buffer(at.data)
            number = at.numbers[rows]
            for column, place in enumerate(of):
                if place < 0:
                    continue
                mine = (found.verdict.from_theirs[rows, column] == bool(side)) & (number >= 0)
                edges = at.edges[number[mine]]
                starts[mine, 2 * column] = edges[:, place] + 1 + begins
                ends[mine, 2 * column] = edges[:, place + 1] + begins
        begins = pieces.buffer(self._delimiter)
        starts[:, 1::2], ends[:, 1::2] = begins, begins + 1
        pieces.add(np.repeat(places[rows], starts.shape[1]), starts.ravel(), ends.ravel())

    def _digests(self, part: Indexed, at: Located | None, places: Sequence[int], count: int) -> Digests:
        """(rows, columns, 2); zeros stand for no cell."""
        out = np.zeros((count, len(places), 2), np.uint64)
        if at is not None:
            there = np.flatnonzero(at.numbers >= 0)
            for column, place in enumerate(places):
                if place >= 0:
                    out[there, column] = part.table.cell_digests(at, place, self._hasher)
        return out

    def _check_gone(self, located: Sequence[Located | None], sources: Sources) -> None:
        """A column that one side removed must not take with it what the other side wrote there."""
        base = located[0]
        for side, names in self._gone.items():
            number = 1 if side == "ours" else 2
            at = located[number]
            for name in names:
                found = []
                for part, some in ((self._parts[0], base), (self._parts[number], at)):
                    place = [part.table.places[name]]
                    found.append(self._digests(part, some, place, len(sources.ours)))
                both = (found[0] != 0).any(axis=(1, 2)) & (found[1] != 0).any(axis=(1, 2))
                if (both & (found[0] != found[1]).any(axis=(1, 2))).any():
                    raise gone_conflict(name)


def _located(part: Indexed, rows: Numbers) -> Located | None:
    there = rows >= 0
    if not there.any():
        return None
    data, starts, ends = part.gathered(rows[there])
    numbers = np.full(len(rows), -1, np.int64)
    numbers[there] = np.arange(int(there.sum()))
    located: Located = part.table.locate(data, starts, ends, numbers)
    return located
