"""A tree with some changes made to it. Only the pages that differ are read, made and written.

Where pages end depends on the paths alone, and begins anew after each path that ends a page by itself:
the pages between two such paths, nearly always one, are cut again, all others stay.
"""

from bisect import bisect_left
from collections.abc import Iterable, Mapping
from functools import cached_property

from kamld.records.kinds import FOLDER
from kamld.store import trees
from kamld.store.objects import Writer
from kamld.store.trees import Page, Tree
from kamld.store.trees.entries import Entries, Entry, entries_of

Changes = Mapping[bytes, Entry | None]  # what is to be at a path; None: nothing


def write_changed(writer: Writer, tree: Tree, changes: Changes) -> bytes:
    """The id of the tree that `write_tree` would make of all its entries. An empty folder that gets a
    file is none any more."""
    data, pages = plan_changed(tree, changes)
    for page in pages:
        writer.put(page)
    return writer.put(data)


def plan_changed(tree: Tree, changes: Changes) -> tuple[bytes, list[bytes]]:
    """(the tree object, the pages that are new), as bytes."""
    old = _Runs(tree)
    wanted = _settled(old, changes)
    touched: dict[int, dict[bytes, Entry | None]] = {}
    for path, entry in wanted.items():
        touched.setdefault(old.run_of(path), {})[path] = entry
    rows: list[Page] = []
    made: list[bytes] = []
    run = 0
    while run <= len(old.runs):  # one beyond: what comes after all there is
        if run not in touched:
            rows += old.pages_of(run)
            run += 1
            continue
        entries = {row.path: row for row in old.entries_of(run)}
        _apply(entries, touched[run])
        last = old.last_of(run)
        run += 1
        while last is not None and last not in entries:  # it ends no page any more
            entries |= {row.path: row for row in old.entries_of(run)}
            _apply(entries, touched.get(run, {}))
            last = old.last_of(run)
            run += 1
        fresh, pages = trees.cut(entries_of([entries[path] for path in sorted(entries)]))
        rows += fresh
        made += pages
    return trees.encode_tree(rows), made


def _apply(entries: dict[bytes, Entry], changes: Changes) -> None:
    for path, entry in changes.items():
        if entry:
            entries[path] = entry
        else:
            entries.pop(path, None)


def _settled(old: "_Runs", changes: Changes) -> dict[bytes, Entry | None]:
    """The changes, and that no folder is kept as empty that has something in it."""
    settled = dict(changes)
    filled = {parent for path, entry in changes.items() if entry for parent in parents(path)}
    for parent in filled:
        there = settled[parent] if parent in settled else old.find(parent)
        if there and there.kind == FOLDER:
            settled[parent] = None
    for path, entry in changes.items():
        if entry and entry.kind == FOLDER and any(
            row.path not in changes or changes[row.path] for row in old.below(path)
        ):  # fmt: skip
            settled[path] = None
    return settled


def parents(path: bytes) -> list[bytes]:
    parts = path.split(b"/")
    return [b"/".join(parts[:n]) for n in range(1, len(parts))]


class _Runs:
    """A tree's pages in runs: each ends where a page ends by itself, or with the tree."""

    def __init__(self, tree: Tree) -> None:
        self._tree = tree
        self._pages = tree.pages
        self._lasts = [page.last for page in self._pages]
        self._read: dict[int, Entries] = {}
        ends = trees.ends_page(self._lasts)
        starts = [0, *(at + 1 for at, end in enumerate(ends) if end)]
        stops = [*starts[1:], len(self._pages)]
        self.runs = [range(a, b) for a, b in zip(starts, stops, strict=True) if a < b]
        self._open = bool(self._pages) and not ends[-1]  # what comes after the last entry joins its page

    @cached_property
    def _run_lasts(self) -> list[bytes]:
        return [self._lasts[run[-1]] for run in self.runs]

    def run_of(self, path: bytes) -> int:
        """Where a path is, or would be: the number of the run."""
        at = bisect_left(self._run_lasts, path)
        return at - 1 if at == len(self.runs) and self._open else at

    def pages_of(self, run: int) -> list[Page]:
        return [self._pages[at] for at in self.runs[run]] if run < len(self.runs) else []

    def last_of(self, run: int) -> bytes | None:
        """Of a run that there is."""
        return self._run_lasts[run] if run < len(self.runs) else None

    def entries_of(self, run: int) -> Iterable[Entry]:
        for at in self.runs[run] if run < len(self.runs) else ():
            yield from self._entries(at).rows()

    def find(self, path: bytes) -> Entry | None:
        at = bisect_left(self._lasts, path)
        if at == len(self._lasts):
            return None
        entries = self._entries(at)
        row = bisect_left(entries.paths, path)
        if row == len(entries) or entries.paths[row] != path:
            return None
        return next(entries.take([row]).rows())

    def below(self, folder: bytes) -> Iterable[Entry]:
        top = folder + b"/"
        for at in range(bisect_left(self._lasts, top), len(self._pages)):
            entries = self._entries(at)
            first = bisect_left(entries.paths, top)
            last = bisect_left(entries.paths, folder + b"0")  # "0" follows "/"
            yield from entries.take(range(first, last)).rows()
            if last < len(entries):
                return

    def _entries(self, page: int) -> Entries:
        if page not in self._read:
            self._read[page] = self._tree.page(page)
        return self._read[page]
