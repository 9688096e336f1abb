"""A table of a version that says something about its files: which row is about which file."""

import bisect
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING, BinaryIO

import numpy as np
from numpy.typing import NDArray

from kamld.errors import Invalid, NotFound
from kamld.formats.columns import read_columns, table_suffix
from kamld.records.kinds import FOLDER
from kamld.splits.plan import Grouping, Ints
from kamld.store import Entries, Repository

if TYPE_CHECKING:
    from kamld.sql.tables import Table

_LOOKED_AT = 2000  # rows, to find the column that names files
NO_ROW = -1
_BUFFER = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Labels:
    """A table's rows, each with the position among the entries of the file it is about, or NO_ROW."""

    table: "Table"
    files: Ints
    file_column: str


def table_at(entries: Entries, path: str) -> int:
    """The position of a table. Raises NotFound (no_table), Invalid (bad_table)."""
    raw = path.removeprefix("./").encode("utf-8", "surrogateescape")
    at = bisect.bisect_left(entries.paths, raw)
    if at == len(entries) or entries.paths[at] != raw or entries.kinds[at] == FOLDER:
        tables = [p.decode("utf-8", "backslashreplace") for p in entries.paths if _is_table(p)]
        near = get_close_matches(path, tables, 1)
        more = f"Tables here: {', '.join(tables[:8])}." if tables else "There is no table in this version."
        raise NotFound(
            "no_table", f"There is no file {path}.", f'Did you mean "{near[0]}"?' if near else more
        )
    if not _is_table(raw):
        raise Invalid(
            "bad_table", f"{path} is no table.", "Tables are .csv, .tsv, .jsonl and .parquet files."
        )
    return at


def _is_table(path: bytes) -> bool:
    return bool(table_suffix(path.decode("utf-8", "replace")))


def open_entry(repository: Repository, entries: Entries, at: int) -> BinaryIO:
    """Buffered, so that small reads are cheap."""
    return io.BufferedReader(repository.objects.open(entries.ids[at].tobytes()), _BUFFER)


def read_table(
    repository: Repository, entries: Entries, path: str, columns: Sequence[str] | None = None, *,
    text: bool = False, rows: int | None = None,
) -> "Table":  # fmt: skip
    """Raises NotFound (no_table), Invalid (bad_table, unknown_column), naming the table."""
    at = table_at(entries, path)
    try:
        with open_entry(repository, entries, at) as file:
            return read_columns(file, table_suffix(path), columns, text=text, rows=rows)
    except Invalid as error:
        raise Invalid(error.code, f"{path}: {error.message}", error.hint) from None


def read_labels(
    repository: Repository, entries: Entries, path: str, columns: Sequence[str] | None, file_column: str, *,
    text: bool,
) -> Labels:  # fmt: skip
    """Raises as `read_table`, and Invalid (no_file_column) where no column names files."""
    matchers = _matchers(entries, path)
    if file_column:
        head = read_table(repository, entries, path, [file_column], text=True, rows=_LOOKED_AT)
    else:
        head = read_table(repository, entries, path, text=True, rows=_LOOKED_AT)
    column, matcher = _file_column(head, matchers, path, file_column)
    names = read_table(repository, entries, path, [column], text=True).column(0).to_pylist()
    files = np.array([matcher(name) if name else NO_ROW for name in names], np.int64)
    table = read_table(repository, entries, path, columns, text=text)
    return Labels(table, files, column)


Matcher = Callable[[str], int]


def _matchers(entries: Entries, table: str) -> list[Matcher]:
    """Ways in which a value can name a file: by its path, its path from where the table is, its name,
    its name without extension. The last two only for names that one file has."""
    places = {path: at for at, path in enumerate(entries.paths) if entries.kinds[at] != FOLDER}
    folder = table.removeprefix("./").encode("utf-8", "surrogateescape").rpartition(b"/")[0]
    by_name: dict[bytes, int] = {}
    by_stem: dict[bytes, int] = {}
    for path, at in places.items():
        name = path[path.rfind(b"/") + 1 :]
        by_name[name] = NO_ROW if name in by_name else at
        stem = name[: name.rfind(b".")] if b"." in name[1:] else name
        by_stem[stem] = NO_ROW if stem in by_stem else at

    def raw(value: str) -> bytes:
        return value.replace("\\", "/").removeprefix("./").encode("utf-8", "surrogateescape")

    ways: list[Matcher] = [lambda value: places.get(raw(value), NO_ROW)]
    if folder:
        ways.append(lambda value: places.get(folder + b"/" + raw(value), NO_ROW))
    ways.append(lambda value: by_name.get(raw(value).rpartition(b"/")[2], NO_ROW))
    ways.append(lambda value: by_stem.get(raw(value), NO_ROW))
    return ways


def _file_column(head: "Table", matchers: Sequence[Matcher], path: str, asked: str) -> tuple[str, Matcher]:
    """The column, and the way, by which most of the first rows name a file."""
    best, found = 0, ("", matchers[0])
    for name in head.column_names:
        values = [value for value in head.column(name).to_pylist() if value]
        for matcher in matchers:
            hits = len({at for value in values if (at := matcher(value)) != NO_ROW})
            if hits > best:
                best, found = hits, (name, matcher)
    if best == 0:
        columns = ", ".join(head.column_names[:12])
        what = f'the column "{asked}" of {path}' if asked else f"no column of {path}"
        raise Invalid(
            "no_file_column",
            f"{what[0].upper()}{what[1:]} names {'no ' if asked else ''}files of this version.",
            "Leave --file-column out to have it found."
            if asked
            else f"Name the column that does with --file-column. It has {columns}.",
        )  # fmt: skip
    return found


def strata_of(labels: Labels, column: str, rows: Ints, count: int) -> tuple[Ints, tuple[str, ...]]:
    """The stratum of each of `count` examples, whose positions among the entries are `rows`: the
    value that its table row has; where it has several different ones, all of them; "" without any."""
    values: dict[int, set[str]] = {}
    for at, value in zip(labels.files.tolist(), labels.table.column(column).to_pylist(), strict=True):
        if at != NO_ROW and value:
            values.setdefault(at, set()).add(value)
    return coded([" + ".join(sorted(values.get(at, ()))) for at in rows.tolist()][:count])


def grouping_of(labels: Labels, column: str, rows: Ints) -> Grouping:
    """The values that each example's table rows have; an example without any is of no group."""
    example_of = dict(zip(rows.tolist(), range(len(rows)), strict=True))
    pairs = {
        (example_of[at], value)
        for at, value in zip(labels.files.tolist(), labels.table.column(column).to_pylist(), strict=True)
        if value and at in example_of
    }
    return grouping_from(sorted(pairs))


def grouping_from(pairs: Sequence[tuple[int, str]]) -> Grouping:
    members = np.array([example for example, _ in pairs], np.int64)
    codes, names = coded([name for _, name in pairs])
    return Grouping(members, codes, names)


def coded(values: Sequence[str]) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    """(position of each value among the names, the names, sorted)."""
    names = sorted(set(values))
    places = {name: at for at, name in enumerate(names)}
    return np.array([places[value] for value in values], np.int64), tuple(names)
