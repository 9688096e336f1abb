"""Files as examples: which of a version's files are chosen among, and what is known about each."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from kamld.errors import Invalid
from kamld.formats.columns import table_suffix
from kamld.records.history import Split
from kamld.records.kinds import EXECUTABLE, FILE, FOLDER, SYMLINK
from kamld.splits.labels import coded, grouping_of, read_labels, strata_of
from kamld.splits.plan import NO_GROUPS, UNKNOWN, Examples, Ints, scores_of
from kamld.splits.rule import FOLDER as BY_FOLDER
from kamld.splits.rule import table_and_column
from kamld.sql import beside, rows_where, table_of
from kamld.store import Entries, Repository

if TYPE_CHECKING:
    from kamld.sql.tables import Table

DOCUMENTS = (b".md", b".rst", b"license", b"readme", b"datasheet")
_KINDS = {FILE: "file", EXECUTABLE: "executable", SYMLINK: "link", FOLDER: "folder"}


@dataclass(frozen=True, slots=True)
class Sorted:
    """Positions among the entries: examples, and what goes whole to every part."""

    examples: Ints
    shared: Ints


@dataclass(frozen=True, slots=True)
class Before:
    """The number of the part that files already have."""

    by_path: Mapping[bytes, int]
    by_content: Mapping[bytes, int]


def sort_out(entries: Entries) -> Sorted:
    """Tables and documents describe the others; empty folders are left out."""
    shared: list[int] = []
    examples: list[int] = []
    for at, (path, kind) in enumerate(zip(entries.paths, entries.kinds.tolist(), strict=True)):
        if kind != FOLDER:
            name = path[path.rfind(b"/") + 1 :].lower()
            describes = name.endswith(DOCUMENTS) or name.startswith(DOCUMENTS) or is_table(name)
            (shared if describes else examples).append(at)
    return Sorted(np.array(examples, np.int64), np.array(shared, np.int64))


def is_table(path: bytes) -> bool:
    return bool(table_suffix(path.decode("utf-8", "replace")))


def where(repository: Repository, entries: Entries, rows: Ints, rule: Split) -> Ints:
    """Those of the rows for which the rule's condition holds. Raises Invalid."""
    columns = described(entries.take(rows.tolist()))
    if not rule.table:
        return rows[rows_where(columns, rule.where)]
    labels = read_labels(repository, entries, rule.table, None, rule.file_column, text=False)
    place = np.full(len(entries) + 1, UNKNOWN)  # the last is for rows about no file
    place[rows] = np.arange(len(rows))
    joined, of = beside(columns, labels.table, place[labels.files])
    return rows[np.unique(of[rows_where(joined, rule.where)])]


def described(entries: Entries) -> "Table":
    """What SQL can say about files: path, name, folder, extension, size, kind, id."""
    paths = [path.decode("utf-8", "backslashreplace") for path in entries.paths]
    folders, names = zip(*(path.rpartition("/")[::2] for path in paths), strict=True) if paths else ((), ())
    ids = entries.ids.tobytes().hex()
    return table_of({
        "path": paths,
        "name": names,
        "folder": folders,
        "extension": [name.rpartition(".")[2].lower() if "." in name[1:] else "" for name in names],
        "size": entries.sizes.astype(np.int64),
        "kind": [_KINDS.get(kind, "?") for kind in entries.kinds.tolist()],
        "id": [ids[64 * at : 64 * at + 64] for at in range(len(entries))],
    })  # fmt: skip


def examples_of(
    repository: Repository, entries: Entries, rows: Ints, rule: Split, before: Before
) -> Examples:
    """Raises Invalid (no_file_column, unknown_column, bad_column, bad_table), NotFound (no_table)."""
    positions = rows.tolist()
    blob = entries.ids.tobytes()
    ids = [blob[32 * at : 32 * at + 32] for at in positions]
    strata: Ints = np.zeros(len(positions), np.int64)
    names: tuple[str, ...] = ("",)
    if rule.by == BY_FOLDER:
        strata, names = coded([_folder(entries.paths[at]) for at in positions])
    elif rule.by:
        table, column = table_and_column(rule.by, "--stratify")
        labels = read_labels(repository, entries, table, [column], rule.file_column, text=True)
        strata, names = strata_of(labels, column, rows, len(positions))
    grouping = NO_GROUPS
    if rule.group:
        table, column = table_and_column(rule.group, "--group")
        labels = read_labels(repository, entries, table, [column], rule.file_column, text=True)
        grouping = grouping_of(labels, column, rows)
    paths = entries.paths
    return Examples(
        scores_of(rule.seed, ids), strata, names, grouping,
        np.array([before.by_path.get(paths[at], UNKNOWN) for at in positions], np.int64),
        np.array([before.by_content.get(identifier, UNKNOWN) for identifier in ids], np.int64),
    )  # fmt: skip


def _folder(path: bytes) -> str:
    return path[: max(path.rfind(b"/"), 0)].decode("utf-8", "backslashreplace") or "."


def nothing_to_split(there: int, files: int) -> Invalid:
    if not files:
        return Invalid("nothing_to_split", "There are no files in it.", "Commit some first.")
    if there:
        return Invalid(
            "nothing_to_split", "The condition holds for no file.", "Change what stands behind --where."
        )
    return Invalid(
        "nothing_to_split",
        "There are only tables and documents here, and no files that they describe.",
        "To split the rows of one table, name it: --rows labels.csv",
    )
