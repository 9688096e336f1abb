"""What a commit of one changed file adds to a tree of 100,000, by the size of a page.

Prints the bytes that are new, before and after compression, for several average page sizes.
"""

import os

import zstandard

from kamld.store import trees
from kamld.store.objects import object_id
from kamld.store.trees import FILE, Entry

FILES = 100_000


def new_bytes(average: int) -> tuple[int, int]:
    trees.PAGE_AVERAGE = average
    trees.PAGE_MAX = 8 * average
    rows = [
        Entry(b"%02d/image-%06d.png" % (n % 100, n), FILE, 4800, object_id(b"%d" % n)) for n in range(FILES)
    ]
    rows.sort(key=lambda row: row.path)
    old = trees.plan_tree(trees.entries_of(rows))
    middle = FILES // 2
    rows[middle] = Entry(rows[middle].path, FILE, 4801, os.urandom(32))
    tree, pages = trees.plan_tree(trees.entries_of(rows))
    fresh = [tree, *set(pages).difference(old[1])]
    compress = zstandard.ZstdCompressor(level=1).compress
    return sum(map(len, fresh)), sum(len(compress(page)) for page in fresh)


def main() -> None:
    print(f"one file of {FILES:,} changed: bytes of lists that are new")
    print(f"{'files a page':>14}{'plain':>12}{'kept':>12}")
    for average in (256, 512, 1024, 2048, 4096, 8192):
        plain, kept = new_bytes(average)
        print(f"{average:>14,}{plain:>12,}{kept:>12,}")


if __name__ == "__main__":
    main()
