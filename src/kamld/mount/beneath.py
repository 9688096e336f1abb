"""The version below a mount: what it has at a path, and the bytes of its files. Nothing here changes."""

from collections import OrderedDict
from collections.abc import Callable, Iterator
from threading import Lock

from kamld import clock
from kamld.errors import NotFound, SystemFault
from kamld.reading.folders import Folders
from kamld.store import Entries, Repository
from kamld.store.trees import decode_page
from kamld.store.trees.entries import Entry

_SMALL = 64 * 1024  # such an object is one piece, and read whole
_SMALL_KEPT = 64  # of them, for who reads one in parts
_PAGES_KEPT = 128  # of places of small files, about 1,024 each
_LARGE_OPEN = 16  # each keeps at most 8 MB of what was read last

ReadAt = Callable[[int, memoryview], int]


class Beneath:
    """Safe to use from several threads."""

    def __init__(self, repository: Repository, commit_id: str) -> None:
        commit = repository.commit(commit_id)
        self.commit_id = commit_id
        self.tree = repository.tree(commit)
        self.time_ns = int(clock.moment(commit.time).timestamp() * 1_000_000) * 1000
        self._objects = repository.objects
        folders = self._folders = Folders(repository.objects, self.tree)
        self.find: Callable[[bytes], Entry | None] = folders.find
        self.children: Callable[[bytes], Iterator[Entry]] = folders.children
        self.below: Callable[[bytes], Iterator[Entry]] = folders.below
        self._lock = Lock()
        self._small: OrderedDict[bytes, bytes] = OrderedDict()
        self._pages: OrderedDict[int, tuple[Entries, Callable[[int], bytes] | None]] = OrderedDict()
        self._large: OrderedDict[bytes, ReadAt] = OrderedDict()

    def read_into(self, path: bytes, identifier: bytes, size: int, offset: int, target: memoryview) -> int:
        """Fill `target` from an object; how many bytes there were. `path` is where the version may have
        it, which is where it is looked up fastest. Raises SystemFault."""
        if size > _SMALL:
            return self._opened(identifier)(offset, target)
        with self._lock:
            data = self._small.get(identifier)
        if data is None:
            data = self._read_small(path, identifier)
            with self._lock:
                self._small[identifier] = data
                if len(self._small) > _SMALL_KEPT:
                    self._small.popitem(last=False)
        piece = memoryview(data)[offset : offset + len(target)]
        target[: len(piece)] = piece
        return len(piece)

    def forget(self) -> None:
        """What was read stays nowhere here."""
        with self._lock:
            self._small.clear()
            self._pages.clear()
            self._large.clear()

    def paths_of(self, identifiers: frozenset[bytes]) -> Iterator[bytes]:
        """At which the version has any of these. Reads the whole list of its files."""
        for page in self.tree.pages:
            entries = decode_page(self._objects.read(page.id))
            blob = entries.ids.tobytes()
            for row, path in enumerate(entries.paths):
                if blob[32 * row : 32 * row + 32] in identifiers:
                    yield path

    def whole(self, identifier: bytes) -> bytes:
        return self._objects.read(identifier)

    def pieces(self, identifier: bytes) -> Iterator[bytes | memoryview]:
        return self._objects.stream(identifier)

    def _read_small(self, path: bytes, identifier: bytes) -> bytes:
        """Looking one object up costs more than reading it does; those of one page are looked up together,
        from the second that is read on."""
        found = self._folders.beside(path)
        if found is None or found[0].ids[found[1]].tobytes() != identifier:
            return self._objects.read(identifier)
        page, row = found
        with self._lock:
            kept = self._pages.get(id(page))
            if kept is None or kept[0] is not page:
                self._pages[id(page)] = page, None
                if len(self._pages) > _PAGES_KEPT:
                    self._pages.popitem(last=False)
        if kept is None or kept[0] is not page:
            return self._objects.read(identifier)
        together = kept[1]
        if together is None:
            blob = page.ids.tobytes()
            try:
                together = self._objects.together([blob[at : at + 32] for at in range(0, len(blob), 32)])
            except (NotFound, SystemFault):  # one of them was purged, or is lost; this one may be there
                return self._objects.read(identifier)
            with self._lock:
                self._pages[id(page)] = page, together
        return together(row)

    def _opened(self, identifier: bytes) -> ReadAt:
        with self._lock:
            found = self._large.get(identifier)
            if found:
                self._large.move_to_end(identifier)
                return found
        found = self._objects.open(identifier).read_into
        with self._lock:
            self._large[identifier] = found
            if len(self._large) > _LARGE_OPEN:
                self._large.popitem(last=False)
        return found
