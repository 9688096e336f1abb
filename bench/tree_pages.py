"""What a commit of one changed file adds to a tree's lists, by the average size of a page."""

import os

import zstandard

from kamld.store import trees
from kamld.store.objects import object_id
from kamld.store.trees import FILE, Entry

CHANGES = 10  # single changes, at places spread over the tree; their mean is printed


def rows_of(files: int) -> list[Entry]:
    rows = [
        Entry(b"%03d/image-%07d.png" % (n % 500, n), FILE, 4800, object_id(b"%d" % n)) for n in range(files)
    ]
    return sorted(rows, key=lambda row: row.path)


def new_bytes(rows: list[Entry], average: int) -> tuple[int, int]:
    """(plain, compressed) bytes of the pages and the tree that one change makes anew."""
    trees.PAGE_AVERAGE = average
    trees.PAGE_MAX = 8 * average
    known = set(trees.plan_tree(trees.entries_of(rows))[1])
    compress = zstandard.ZstdCompressor(level=1).compress
    plain = kept = 0
    for change in range(CHANGES):
        at = len(rows) * change // CHANGES + 17
        old, rows[at] = rows[at], Entry(rows[at].path, FILE, 4801, os.urandom(32))
        tree, pages = trees.plan_tree(trees.entries_of(rows))
        rows[at] = old
        for fresh in (tree, *(page for page in pages if page not in known)):
            plain += len(fresh)
            kept += len(compress(fresh))
    return plain // CHANGES, kept // CHANGES


def main() -> None:
    for files in (100_000, 1_000_000):
        rows = rows_of(files)
        print(f"one file of {files:,} changed: bytes of lists that are new, mean of {CHANGES}")
        print(f"{'files a page':>14}{'plain':>12}{'kept':>12}")
        for average in (256, 512, 1024, 2048, 4096):
            plain, kept = new_bytes(rows, average)
            print(f"{average:>14,}{plain:>12,}{kept:>12,}")


if __name__ == "__main__":
    main()
