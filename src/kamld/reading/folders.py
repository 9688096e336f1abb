"""A version as folders: what is at a path, what is in a folder, from as few pages as that takes."""

from bisect import bisect_left
from collections import OrderedDict
from collections.abc import Iterator
from threading import Lock

from kamld.store import Entries, Objects, Tree
from kamld.store.trees import FOLDER, Entry, decode_page

_PAGES_KEPT = 128  # of about 1,024 files each


class Folders:
    """Safe to use from several threads."""

    def __init__(self, objects: Objects, tree: Tree) -> None:
        self._objects = objects
        self._pages = tree.pages
        self._lasts = [page.last for page in self._pages]
        self._kept: OrderedDict[int, Entries] = OrderedDict()
        self._lock = Lock()

    def find(self, path: bytes) -> Entry | None:
        """The file or folder of this path; "" is the version itself."""
        if not path:
            return Entry(b"", FOLDER, 0, bytes(32))
        found = self._at_or_after(path)
        if found and found.path == path:
            return found
        inside = self._at_or_after(path + b"/")
        return Entry(path, FOLDER, 0, bytes(32)) if inside and inside.path.startswith(path + b"/") else None

    def children(self, path: bytes) -> Iterator[Entry]:
        """What is directly in a folder, with whole paths; nothing for what is none.

        What lies deeper is passed over, not read.
        """
        prefix = path + b"/" if path else b""
        found = self._at_or_after(prefix)
        while found and found.path.startswith(prefix):
            if found.path == prefix:  # no version has such a path
                return
            name, slash, _ = found.path[len(prefix) :].partition(b"/")
            if slash:
                yield Entry(prefix + name, FOLDER, 0, bytes(32))
                found = self._at_or_after(prefix + name + b"0")  # "0" follows "/"
            else:
                yield found
                found = self._at_or_after(found.path + b"\0")

    def _at_or_after(self, path: bytes) -> Entry | None:
        """The first entry that is not before the path."""
        number = bisect_left(self._lasts, path)
        if number == len(self._lasts):
            return None
        page = self._page(number)
        row = bisect_left(page.paths, path)
        return Entry(page.paths[row], int(page.kinds[row]), int(page.sizes[row]), page.ids[row].tobytes())

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
