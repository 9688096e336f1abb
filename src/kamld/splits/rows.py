"""Rows of one table as examples: each part is the same version with only its rows in that table.

Where a row belongs hangs on what is in it, so the table may be sorted anew and grow anywhere; a row
that is changed is another row, unless its group says who it is.
"""

import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass

import msgspec
import numpy as np
from numpy.typing import NDArray

from kamld.errors import Invalid
from kamld.formats.columns import (
    Spans,
    has_lines,
    parquet_rows,
    read_columns,
    row_blocks,
    table_suffix,
    write_parquet_rows,
)  # fmt: skip
from kamld.records.history import Split
from kamld.splits.files import is_table, sort_out
from kamld.splits.labels import coded, grouping_from, open_entry, read_table, table_at
from kamld.splits.plan import NO_GROUPS, UNKNOWN, Examples, Ints, Plan, Scores, Thresholds, plan, scores_of
from kamld.splits.rule import FOLDER as BY_FOLDER
from kamld.splits.rule import shares
from kamld.sql import rows_where
from kamld.store import Entries, Repository, Source, Writer
from kamld.store.refs.revisions import Resolved
from kamld.store.trees.entries import Entry, entries_of

_COPIED = 4 * 1024 * 1024  # bytes at a time


@dataclass(frozen=True, slots=True)
class RowParts:
    """Which rows each part has. `spans` is None where rows are no runs of bytes."""

    at: int  # the table's position among the entries
    of: int
    counts: list[int]
    plan: Plan | None
    sides: Ints  # the part of each row of the table; UNKNOWN: the condition does not hold for it
    spans: Spans | None

    def write(self, repository: Repository, writer: Writer, entries: Entries, part: int) -> Entries:
        """The version's entries with the table cut down to the part's rows."""
        keep = self.sides == part
        with tempfile.TemporaryDirectory(prefix="kamld-split-") as place:
            out = os.path.join(place, "rows")
            with open_entry(repository, entries, self.at) as file:
                if self.spans is None:
                    write_parquet_rows(file, keep, out)
                else:
                    with open(out, "wb") as target:
                        for start, end in self.spans.runs(keep).tolist():
                            file.seek(start)
                            steps = range(start, end, _COPIED)
                            target.writelines(file.read(min(end - at, _COPIED)) for at in steps)
            written = next(iter(writer.put_files([Source(out, os.path.getsize(out))])))
        rows = list(entries.rows())
        old = rows[self.at]
        rows[self.at] = Entry(old.path, old.kind, written.state.size, written.id)
        return entries_of(rows)


def the_table(entries: Entries) -> str:
    """The table that is all there is, documents aside; "" where there is more or less than one."""
    found = sort_out(entries)
    tables = [entries.paths[at] for at in found.shared.tolist() if is_table(entries.paths[at])]
    alone = len(tables) == 1 and not len(found.examples)
    return tables[0].decode("utf-8", "surrogateescape") if alone else ""


def for_rows(rule: Split, table: str) -> Split:
    """The rule with its columns spelled out. Raises Invalid (bad_column) for what is about files."""
    if rule.by == BY_FOLDER or rule.file_column:
        option = "--file-column" if rule.file_column else "--stratify folder"
        raise Invalid(
            "bad_column", f"{option} is about files; here the rows of {table} are split.",
            "Name a column of it: --stratify COLUMN.",
        )  # fmt: skip
    if rule.table not in ("", table):
        raise Invalid(
            "bad_column", f"Rows of {table} cannot be chosen by what {rule.table} says.", "Leave --table out."
        )
    columns = {name: getattr(rule, name).removeprefix(f"{table}:") for name in ("by", "group")}
    spelled = {name: f"{table}:{column}" if column else "" for name, column in columns.items()}
    return msgspec.structs.replace(rule, rows=table, table="", **spelled)


def row_parts(
    repository: Repository, entries: Entries, rule: Split, thresholds: Thresholds,
    heads: Mapping[int, Resolved],
) -> RowParts:  # fmt: skip
    """Raises Invalid (bad_table, unknown_column, nothing_to_split, uneven_table), NotFound (no_table)."""
    table = rule.rows
    at = table_at(entries, table)
    scores, spans = _scanned(repository, entries, at, table, rule.seed)
    everyone = np.arange(len(scores))
    chosen = everyone
    if rule.where:
        rows = read_table(repository, entries, table)
        _check_even(table, len(scores), rows.num_rows)
        chosen = rows_where(rows, rule.where)
    if not len(chosen):
        said = "The condition holds for no row of" if rule.where else "There is no row in"
        raise Invalid("nothing_to_split", f"{said} {table}.", "Change the condition, or name another table.")
    sides = np.full(len(scores), UNKNOWN)
    if not rule.parts:
        sides[chosen] = 0
        return RowParts(at, len(scores), [len(chosen)], None, sides, spans)
    examples = _examples(repository, entries, rule, scores, chosen, heads)
    made = plan(examples, shares(rule.parts), thresholds, rule.seed)
    sides[chosen] = made.parts
    counts = np.bincount(made.parts, minlength=len(rule.parts)).tolist()
    return RowParts(at, len(scores), counts, made, sides, spans)


def _scanned(
    repository: Repository, entries: Entries, at: int, table: str, seed: int
) -> tuple[Scores, Spans | None]:
    suffix = table_suffix(table)
    parts: list[Scores] = []
    starts: list[NDArray[np.int64]] = []
    try:
        with open_entry(repository, entries, at) as file:
            if not has_lines(suffix):
                parts = [scores_of(seed, rows) for rows in parquet_rows(file)]
                return np.concatenate([np.zeros(0, np.uint64), *parts]), None
            head, blocks = row_blocks(file, suffix)
            for block in blocks:
                data = block.data.tobytes()
                pairs = zip(block.starts.tolist(), block.ends.tolist(), strict=True)
                parts.append(scores_of(seed, [data[start:end] for start, end in pairs]))
                starts.append(block.starts + block.offset)
            size = int(entries.sizes[at])
    except Invalid as error:
        raise Invalid("bad_table", f"{table}: {error.message}", error.hint) from None
    spans = Spans(head, np.concatenate([np.zeros(0, np.int64), *starts]), size)
    return np.concatenate([np.zeros(0, np.uint64), *parts]), spans


def _examples(
    repository: Repository, entries: Entries, rule: Split, scores: Scores, chosen: Ints,
    heads: Mapping[int, Resolved],
) -> Examples:  # fmt: skip
    count = len(chosen)
    strata: Ints = np.zeros(count, np.int64)
    names: tuple[str, ...] = ("",)
    grouping, known = NO_GROUPS, np.full(count, UNKNOWN)
    if rule.by:
        values = _values(repository, entries, rule.rows, rule.by, len(scores))
        strata, names = coded([values[at] for at in chosen.tolist()])
    if rule.group:
        values = _values(repository, entries, rule.rows, rule.group, len(scores))
        mine = [values[at] for at in chosen.tolist()]
        grouping = grouping_from([(example, value) for example, value in enumerate(mine) if value])
        before = _group_parts(repository, rule, heads)
        known = np.array([before.get(value, UNKNOWN) for value in mine], np.int64)
    return Examples(scores[chosen], strata, names, grouping, np.full(count, UNKNOWN), known)


def _values(repository: Repository, entries: Entries, table: str, name: str, rows: int) -> list[str]:
    column = read_table(repository, entries, table, [name.removeprefix(f"{table}:")], text=True).column(0)
    _check_even(table, rows, len(column))
    return [value or "" for value in column.to_pylist()]


def _check_even(table: str, mine: int, theirs: int) -> None:
    if mine != theirs:
        raise Invalid(
            "uneven_table", f"{table} has {mine:,} rows by its lines and {theirs:,} by its columns.",
            "It may have rows of blanks, or quotes without a partner.",
        )  # fmt: skip


def _group_parts(repository: Repository, rule: Split, heads: Mapping[int, Resolved]) -> dict[str, int]:
    """The part that each group had: its rows may have come to another stratum since."""
    found: dict[str, int] = {}
    for part, head in sorted(heads.items()):
        entries = repository.tree(head.commit).entries()
        with open_entry(repository, entries, table_at(entries, rule.rows)) as file:
            column = rule.group.removeprefix(f"{rule.rows}:")
            table = read_columns(file, table_suffix(rule.rows), [column], text=True)
        for value in set(table.column(0).to_pylist()):
            if value:
                found.setdefault(value, part)
    return found
