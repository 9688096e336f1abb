"""What is known about one path of a version: a file, or all that is in a folder or of a pattern."""

import os
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from kamld.errors import Invalid
from kamld.reading.choose import no_such, pattern_of
from kamld.reading.files import KINDS, file_of
from kamld.reading.folders import Folders
from kamld.reading.history import Step, steps
from kamld.reading.tables import is_table, table_of
from kamld.records.holes import Hole
from kamld.records.kinds import EXECUTABLE, FILE, FOLDER
from kamld.store import Repository
from kamld.store.trees.entries import Entry

_TARGET_MAX = 4096


@dataclass(frozen=True, slots=True)
class Sort:
    """Files whose names end alike; `suffix` is "" for those without one."""

    suffix: str
    files: int
    bytes: int


@dataclass(frozen=True, slots=True)
class About:
    """`kind`: file, executable, link, folder or pattern. `id`, `target` and `columns` are of single
    files: of a link where it leads, of a table its columns with their types, or why they are unknown.
    `purged` tells that its content is gone."""

    path: str
    kind: str
    files: int
    size: int
    last: Step | None  # the newest commit that changed it
    sorts: tuple[Sort, ...] = ()  # most bytes first
    id: str = ""
    target: str = ""
    columns: tuple[tuple[str, str], ...] = ()
    unreadable: str = ""
    purged: Hole | None = None


def about(repository: Repository, folders: Folders, start: str, path: str, where: str) -> About:
    """Of a path in the version `start`. Raises NotFound (unknown_path, no_match) in words about `where`.

    A file costs a page of each version since it was changed; a folder also every page of its own.
    """
    path = path.strip("/")
    raw, glob = os.fsencode(path), pattern_of(folders, path)
    found = None if glob else folders.find(raw)
    files, size, sorts = 0, 0, dict[str, Sort]()
    if glob:
        files, size, sorts = _summed(folders.matching(glob))
        if not files:
            raise no_such(folders, path, where)
    elif found is None:
        raise no_such(folders, path, where)
    elif found.kind == FOLDER:
        files, size, sorts = _summed(folders.below(raw))
    last = next((step for step in steps(repository, start, raw, glob) if step.changes), None)
    if found is None or found.kind == FOLDER:
        in_order = sorted(sorts.values(), key=lambda sort: (-sort.bytes, sort.suffix))
        return About(path, "pattern" if glob else "folder", files, size, last, tuple(in_order))
    return _of_file(repository, found, last)


def _summed(rows: Iterable[Entry]) -> tuple[int, int, dict[str, Sort]]:
    files, size = Counter[str](), Counter[str]()
    for row in rows:
        if row.kind != FOLDER:
            suffix = _suffix(row.path)
            files[suffix] += 1
            size[suffix] += row.size
    sorts = {suffix: Sort(suffix, count, size[suffix]) for suffix, count in files.items()}
    return files.total(), size.total(), sorts


def _suffix(path: bytes) -> str:
    return os.fsdecode(os.path.splitext(path)[1]).lower()


def _of_file(repository: Repository, row: Entry, last: Step | None) -> About:
    path, target, unreadable = os.fsdecode(row.path), "", ""
    columns: tuple[tuple[str, str], ...] = ()
    hole = repository.objects.hole(row.id)
    if hole is None and row.kind not in (FILE, EXECUTABLE):
        target = os.fsdecode(repository.objects.read(row.id)[:_TARGET_MAX])
    elif hole is None and is_table(path):
        try:
            schema = table_of([file_of(repository.objects, row)], path, None).schema()
            columns = tuple((field.name, str(field.type)) for field in schema)
        except Invalid as error:
            unreadable = error.message
    kind = KINDS.get(row.kind, "file")
    return About(path, kind, 1, row.size, last, (), row.id.hex(), target, columns, unreadable, hole)
