"""A version as folders: what is at a path, what is in a folder, from as few pages as that takes."""

import os
from bisect import bisect_left
from collections import OrderedDict
from collections.abc import Iterator
from functools import cached_property
from itertools import accumulate
from threading import Lock

from kamld.records.globs import Glob
from kamld.records.kinds import FOLDER
from kamld.store import Entries, Objects, Tree
from kamld.store.trees import decode_page
from kamld.store.trees.entries import Entry

_PAGES_KEPT = 128  # of about 1,024 files each
_NOTHING = bytes(32)


class Folders:
    """Safe to use from several threads."""

    def __init__(self, objects: Objects, tree: Tree) -> None:
        self.tree = tree
        self._objects = objects
        self._pages = tree.pages
        self._lasts = [page.last for page in self._pages]
        self._kept: OrderedDict[int, Entries] = OrderedDict()
        self._lock = Lock()

    def find(self, path: bytes) -> Entry | None:
        """The file or folder of this path; "" is the version itself."""
        if not path:
            return Entry(b"", FOLDER, 0, _NOTHING)
        found = _Cursor(self, path).here
        if found and found.path == path:
            return found
        return Entry(path, FOLDER, 0, _NOTHING) if self._has_inside(path) else None

    def target(self, link: Entry) -> bytes:
        """What a link leads to. Raises SystemFault."""
        return self._objects.read(link.id)

    def children(self, path: bytes, after: bytes = b"") -> Iterator[Entry]:
        """What is directly in a folder, with whole paths, behind the one named `after`; nothing for what
        is no folder. What lies deeper is passed over, not read."""
        prefix = path + b"/" if path else b""
        cursor = _Cursor(self, self._behind(prefix + after) if after else prefix)
        while (found := cursor.here) and found.path.startswith(prefix):
            if found.path == prefix:  # no version has such a path
                return
            name, slash, _ = found.path[len(prefix) :].partition(b"/")
            if slash:
                yield Entry(prefix + name, FOLDER, 0, _NOTHING)
                cursor.seek(prefix + name + b"0")  # "0" follows "/"
            else:
                yield found
                cursor.step()

    def below(self, path: bytes, after: bytes = b"") -> Iterator[Entry]:
        """The files and empty folders in a folder, however deep, behind the path `after`."""
        prefix = path + b"/" if path else b""
        cursor = _Cursor(self, max(self._behind(after), prefix) if after else prefix)
        while (found := cursor.here) and found.path.startswith(prefix):
            yield found
            cursor.step()

    def matching(self, glob: Glob, after: bytes = b"") -> Iterator[Entry]:
        """The files and empty folders of a pattern, behind the path `after`. A folder in which none
        can be is passed over, not read."""
        top = os.fsencode(glob.folder)
        cursor = _Cursor(self, max(top, self._behind(after)) if after else top)
        looked_at = top
        while (found := cursor.here) and found.path.startswith(top):
            folder = found.path.rpartition(b"/")[0]
            if folder != looked_at:
                looked_at = folder
                if closed := _first_closed(glob, folder):
                    cursor.seek(closed + b"0")
                    continue
            if glob.matches(os.fsdecode(found.path)):
                yield found
            cursor.step()

    def beside(self, path: bytes) -> tuple[Entries, int] | None:
        """What is kept together with a file, and where it is among that."""
        number = bisect_left(self._lasts, path)
        if number == len(self._lasts):
            return None
        page = self._page(number)
        row = bisect_left(page.paths, path)
        return (page, row) if page.paths[row] == path else None

    def totals(self, path: bytes) -> tuple[int, int]:
        """(entries, bytes) in a folder, however much that is, from two pages."""
        if not path:
            return self._before[0][-1], self._before[1][-1]
        (first, start), (last, end) = self._up_to(path + b"/"), self._up_to(path + b"0")
        return last - first, end - start

    @cached_property
    def _before(self) -> tuple[list[int], list[int]]:
        """Entries and bytes in the pages before each; the last is all."""
        return (
            [0, *accumulate(page.count for page in self._pages)],
            [0, *accumulate(page.size for page in self._pages)],
        )

    def _up_to(self, path: bytes) -> tuple[int, int]:
        """Entries before the path, and their bytes."""
        number = bisect_left(self._lasts, path)
        count, size = self._before[0][number], self._before[1][number]
        if number == len(self._lasts):
            return count, size
        page = self._page(number)
        row = bisect_left(page.paths, path)
        return count + row, size + int(page.sizes[:row].sum())

    def _has_inside(self, path: bytes) -> bool:
        inside = _Cursor(self, path + b"/").here
        return inside is not None and inside.path.startswith(path + b"/")

    def _behind(self, path: bytes) -> bytes:
        """Where what follows this file or folder begins."""
        path = path.rstrip(b"/")
        return path + (b"0" if self._has_inside(path) else b"\0")

    def _page(self, number: int) -> Entries:
        with self._lock:
            if number in self._kept:
                self._kept.move_to_end(number)
                return self._kept[number]
        page = decode_page(self._objects.read(self._pages[number].id))
        with self._lock:
            self._kept[number] = page
            if len(self._kept) > _PAGES_KEPT:
                self._kept.popitem(last=False)
        return page


class _Cursor:
    """A place among the entries, which only moves on."""

    def __init__(self, folders: Folders, path: bytes) -> None:
        self._folders = folders
        self._number = -1
        self._page: Entries | None = None
        self._row = 0
        self.seek(path)

    @property
    def here(self) -> Entry | None:
        page, row = self._page, self._row
        if page is None:
            return None
        return Entry(page.paths[row], int(page.kinds[row]), int(page.sizes[row]), page.ids[row].tobytes())

    def seek(self, path: bytes) -> None:
        """To the first entry that is not before the path."""
        lasts = self._folders._lasts
        if self._page is None or path > lasts[self._number]:
            self._turn_to(bisect_left(lasts, path, max(self._number, 0)))
        if self._page is not None:
            self._row = bisect_left(self._page.paths, path, self._row)

    def step(self) -> None:
        self._row += 1
        if self._page is not None and self._row == len(self._page):
            self._turn_to(self._number + 1)

    def _turn_to(self, number: int) -> None:
        self._number, self._row = number, 0
        self._page = self._folders._page(number) if number < len(self._folders._lasts) else None


def _first_closed(glob: Glob, folder: bytes) -> bytes | None:
    """The outermost of the folders down to this one in which nothing of the pattern can be."""
    if glob.may_be_in(os.fsdecode(folder)):
        return None
    parts = folder.split(b"/")
    above = (b"/".join(parts[:n]) for n in range(1, len(parts)))
    return next((one for one in above if not glob.may_be_in(os.fsdecode(one))), folder)
