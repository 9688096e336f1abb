"""Trees: the files of a version, as a table sorted by path and kept in pages.

Where a page ends depends on the paths alone (docs/format.md, "Trees"), so equal content makes equal
pages, whatever came before, and versions that differ little share most of theirs. Diffs read only
the pages that differ.
"""

import itertools
import struct
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from kamld.errors import SystemFault
from kamld.store.objects import Objects, Writer, object_id
from kamld.store.trees.entries import Beside, Change, Entries, entries_of, in_step

PAGE_AVERAGE, PAGE_MAX = 1024, 8192  # entries
_READ_AT_ONCE = 64  # pages
_GOLDEN = 0x9E3779B1  # spreads what CRC-32 leaves alike
_PAGE_MAGIC, _TREE_MAGIC = b"KMLDPAG1", b"KMLDTRE1"
_PAGE_HEAD = struct.Struct("<8sQ")  # magic, entries
_TREE_HEAD = struct.Struct("<8sQQQ")  # magic, pages, entries, bytes

EMPTY_ID = object_id(b"")


def ends_page(paths: Sequence[bytes]) -> NDArray[np.bool_]:
    """Which of the paths end a page by themselves, whatever is around them."""
    sums = np.fromiter(map(crc32, paths), np.uint64, len(paths))
    spread = (sums * np.uint64(_GOLDEN)) & np.uint64(0xFFFFFFFF)
    found: NDArray[np.bool_] = spread < 2**32 // PAGE_AVERAGE
    return found


def page_ends(paths: Sequence[bytes]) -> list[int]:
    """Where pages end: after a path whose spread CRC-32 is low (one in 1024), or after 8192 entries."""
    ends: list[int] = []
    start = 0
    for end in [*(np.flatnonzero(ends_page(paths)) + 1).tolist(), len(paths)]:
        ends.extend(range(start + PAGE_MAX, end, PAGE_MAX))
        start = end
        if end and end not in ends[-1:]:
            ends.append(end)
    return ends


def encode_page(entries: Entries, start: int, end: int) -> bytes:
    paths = entries.paths[start:end]
    offsets = np.zeros(end - start + 1, "<u4")
    np.cumsum([len(path) for path in paths], out=offsets[1:])
    return b"".join(
        [
            _PAGE_HEAD.pack(_PAGE_MAGIC, end - start),
            entries.sizes[start:end].astype("<u8").tobytes(),
            entries.ids[start:end].tobytes(),
            offsets.tobytes(),
            entries.kinds[start:end].tobytes(),
            *paths,
        ]
    )


def decode_page(data: bytes) -> Entries:
    """Raises SystemFault (damaged_tree)."""
    ids = page_ids(data)
    count, at = len(ids), _PAGE_HEAD.size
    blob = at + count * 45 + 4
    sizes = np.frombuffer(data, "<u8", count, at)
    ends = np.frombuffer(data, "<u4", count + 1, at + 40 * count).tolist()
    kinds = np.frombuffer(data, np.uint8, count, at + 44 * count + 4)
    paths = [data[blob + a : blob + b] for a, b in itertools.pairwise(ends)]
    return Entries(paths, kinds, sizes, ids)


def page_ids(data: bytes) -> NDArray[np.uint8]:
    """Of its entries, a row each, without the rest. Raises SystemFault (damaged_tree)."""
    magic, count = _PAGE_HEAD.unpack_from(data) if len(data) >= _PAGE_HEAD.size else (b"", 0)
    if magic != _PAGE_MAGIC or len(data) < _PAGE_HEAD.size + count * 45 + 4:
        raise SystemFault("damaged_tree", "A page of a tree is not one.")
    return np.frombuffer(data, np.uint8, 32 * count, _PAGE_HEAD.size + 8 * count).reshape(count, 32)


def present(objects: Objects, entries: Entries) -> tuple[Entries, list[bytes]]:
    """Those whose content was not purged, and the paths of the others."""
    gone = objects.purged(row.tobytes() for row in entries.ids)
    if not gone:
        return entries, []
    there = [row for row, identifier in enumerate(entries.ids) if identifier.tobytes() not in gone]
    paths = [row.path for row in entries.rows() if row.id in gone]
    return entries.take(there), paths


@dataclass(frozen=True, slots=True)
class Page:
    id: bytes
    count: int
    size: int  # bytes of its files
    last: bytes  # path of its last entry


class Tree:
    """A tree that is kept; its pages are read as they are asked for."""

    def __init__(self, objects: Objects, identifier: bytes) -> None:
        self.id = identifier
        self._objects = objects

    @cached_property
    def pages(self) -> list[Page]:
        return decode_tree(self._objects.read(self.id))

    @property
    def count(self) -> int:
        return sum(page.count for page in self.pages)

    @property
    def size(self) -> int:
        """Bytes of its files."""
        return sum(page.size for page in self.pages)

    def entries(self) -> Entries:
        """The whole table, in memory."""
        return _joined(list(self._read(self.pages)))

    def parts(self) -> Iterator[Entries]:
        """The table, some rows after the other."""
        return self._read(self.pages)

    def under(self, path: bytes) -> Entries:
        """The entry of this path, or those below it if it is a folder; all for an empty path."""
        found = _joined(list(self._read(self._pages_under(path))))
        return found.take([i for i, p in enumerate(found.paths) if is_under(p, path)]) if path else found

    def _pages_under(self, path: bytes) -> list[Page]:
        """Those that can have an entry of this path or below it."""
        if not path:
            return self.pages
        lasts = [page.last for page in self.pages]
        itself, start, end = (bisect_left(lasts, path + end) for end in (b"", b"/", b"0"))  # "0" follows "/"
        return [*self.pages[itself : min(itself + 1, start)], *self.pages[start : end + 1]]

    def page(self, number: int) -> Entries:
        return decode_page(self._objects.read(self.pages[number].id))

    def _read(self, pages: Sequence[Page]) -> Iterator[Entries]:
        for start in range(0, len(pages), _READ_AT_ONCE):
            some = [page.id for page in pages[start : start + _READ_AT_ONCE]]
            contents = {
                position: decode_page(b"".join(pieces)) for position, pieces in self._objects.read_many(some)
            }
            yield from (contents.pop(position) for position in range(len(some)))


def decode_tree(data: bytes) -> list[Page]:
    """Raises SystemFault (damaged_tree)."""
    ids = listed_pages(data).tobytes()
    count, at = len(ids) // 32, _TREE_HEAD.size
    blob = at + count * 52 + 4
    sizes = np.frombuffer(data, "<u8", count, at).tolist()
    counts = np.frombuffer(data, "<u8", count, at + 40 * count).tolist()
    ends = np.frombuffer(data, "<u4", count + 1, at + 48 * count).tolist()
    return [
        Page(
            ids[32 * i : 32 * i + 32],
            counts[i],
            sizes[i],
            data[blob + ends[i] : blob + ends[i + 1]],
        )
        for i in range(count)
    ]


def listed_pages(data: bytes) -> NDArray[np.uint8]:
    """Ids of a tree's pages, a row each, without the rest. Raises SystemFault (damaged_tree)."""
    magic, count, _, _ = _TREE_HEAD.unpack_from(data) if len(data) >= _TREE_HEAD.size else (b"", 0, 0, 0)
    if magic != _TREE_MAGIC or len(data) < _TREE_HEAD.size + count * 52 + 4:
        raise SystemFault("damaged_tree", "A tree is not one.")
    return np.frombuffer(data, np.uint8, 32 * count, _TREE_HEAD.size + 8 * count).reshape(count, 32)


def plan_tree(entries: Entries) -> tuple[bytes, list[bytes]]:
    """(the tree object, its page objects), as bytes. Equal entries give equal bytes."""
    rows, pages = cut(entries)
    return encode_tree(rows), pages


def cut(entries: Entries) -> tuple[list[Page], list[bytes]]:
    """Pages of these entries, which begin where a page does, and the pages' bytes."""
    pages, rows, start = [], [], 0
    for end in page_ends(entries.paths):
        page = encode_page(entries, start, end)
        pages.append(page)
        total = int(entries.sizes[start:end].sum())
        rows.append(Page(object_id(page), end - start, total, entries.paths[end - 1]))
        start = end
    return rows, pages


def encode_tree(rows: Sequence[Page]) -> bytes:
    offsets = np.cumsum([0, *(len(row.last) for row in rows)])
    files, size = sum(row.count for row in rows), sum(row.size for row in rows)
    head = _TREE_HEAD.pack(_TREE_MAGIC, len(rows), files, size)
    return b"".join(
        [
            head,
            np.array([row.size for row in rows], "<u8").tobytes(),
            *(row.id for row in rows),
            np.array([row.count for row in rows], "<u8").tobytes(),
            offsets.astype("<u4").tobytes(),
            *(row.last for row in rows),
        ]
    )


def tree_id(entries: Entries) -> bytes:
    return object_id(plan_tree(entries)[0])


def write_tree(writer: Writer, entries: Entries) -> bytes:
    tree, pages = plan_tree(entries)
    for page in pages:
        writer.put(page)
    return writer.put(tree)


def is_under(path: bytes, top: bytes) -> bool:
    """Whether it is this file, or in this folder; everything is in ""."""
    return not top or path == top or path.startswith(top + b"/")


def diff(old: Tree | None, new: Tree | None, under: bytes = b"") -> list[Change]:
    """Paths that differ, sorted; only this one and those below it. Reads only the pages that the two do
    not share."""
    if old and new and old.id == new.id:
        return []
    if new and not old:
        parts = new._read(new._pages_under(under))
        return [
            Change(row.path, None, row) for part in parts for row in part.rows() if is_under(row.path, under)
        ]
    changes: list[Change] = []
    for before, after in in_step(_unshared(old, new, under), _unshared(new, old, under)):
        beside = Beside(before, after.paths)
        changes += [
            Change(after.paths[row], beside.entry(row), after.row(row))
            for row in np.flatnonzero(~beside.alike(after.kinds, after.ids)).tolist()
        ]
        changes += [Change(entry.path, entry, None) for entry in beside.gone()]
    return sorted(changes, key=lambda change: change.path)


def _unshared(tree: Tree | None, other: Tree | None, under: bytes) -> Iterator[Entries]:
    """Entries in pages of `tree` that `other` does not have: a page both have cannot differ."""
    if tree is None:
        return
    shared = {page.id for page in other.pages} if other else set()
    for part in tree._read([page for page in tree._pages_under(under) if page.id not in shared]):
        yield part.take([i for i, p in enumerate(part.paths) if is_under(p, under)]) if under else part


def _joined(parts: list[Entries]) -> Entries:
    if not parts:
        return entries_of([])
    return Entries(
        [path for part in parts for path in part.paths],
        np.concatenate([part.kinds for part in parts]),
        np.concatenate([part.sizes for part in parts]),
        np.concatenate([part.ids for part in parts]),
    )
