"""What a commit of one changed file adds to a tree's lists, by the average size of a page; and what it
costs to land one where somebody else has just landed: only pages that differ are read and written."""

import os
import statistics
import tempfile
import time
from pathlib import Path

import zstandard

from kamld.blobs import FolderBlobs
from kamld.records.history import Dataset
from kamld.records.kinds import FILE
from kamld.records.names import Name
from kamld.store import Repository, Version, open_hub, trees
from kamld.store.objects import object_id
from kamld.store.trees.entries import Entry, entries_of

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
    known = set(trees.plan_tree(entries_of(rows))[1])
    compress = zstandard.ZstdCompressor(level=1).compress
    plain = kept = 0
    for change in range(CHANGES):
        at = len(rows) * change // CHANGES + 17
        old, rows[at] = rows[at], Entry(rows[at].path, FILE, 4801, os.urandom(32))
        tree, pages = trees.plan_tree(entries_of(rows))
        rows[at] = old
        for fresh in (tree, *(page for page in pages if page not in known)):
            plain += len(fresh)
            kept += len(compress(fresh))
    return plain // CHANGES, kept // CHANGES


def hub_of(place: Path, files: int) -> tuple[Repository, Dataset, list[Entry], str]:
    """A hub with one version of so many files, each a few bytes; its commit."""
    repository = open_hub(FolderBlobs(place))
    dataset = repository.create(Name("p", "d"), "dataset")
    with repository.writer() as writer:
        rows = [
            Entry(b"%03d/image-%07d.png" % (n % 500, n), FILE, len(b"%d" % n), writer.put(b"%d" % n))
            for n in range(files)
        ]
        rows.sort(key=lambda row: row.path)
        first = repository.write_version(writer, entries_of(rows), parents=(), author="a", message="m")
    return repository, dataset, rows, repository.land_version(dataset, "main", first, author="a").commit_id


def changed(repository: Repository, rows: list[Entry], at: int, parent: str) -> Version:
    with repository.writer() as writer:
        data = os.urandom(100)
        mine = [*rows[:at], Entry(rows[at].path, FILE, 100, writer.put(data)), *rows[at + 1 :]]
        return repository.write_version(writer, entries_of(mine), parents=(parent,), author="a", message="m")


def landings(place: Path, files: int) -> tuple[float, int]:
    """(seconds, bytes added) of a landing beside another, the median of ten."""
    repository, dataset, rows, first = hub_of(place, files)
    branches = [f"b{number}" for number in range(CHANGES)]
    seconds, added = [], []
    for number, branch in enumerate(branches):
        repository.set_ref(dataset, branch, "branch", first, author="a")
        theirs = changed(repository, rows, len(rows) * number // CHANGES, first)
        ours = changed(repository, rows, len(rows) * number // CHANGES + files // CHANGES // 2, first)
        repository.land_version(dataset, branch, theirs, author="a")
        before = stored(repository)
        start = time.perf_counter()
        landed = repository.land_version(dataset, branch, ours, author="a").landed
        seconds.append(time.perf_counter() - start)
        added.append(stored(repository) - before)
        assert landed.how == "merged"
    return statistics.median(seconds), int(statistics.median(added))


def stored(repository: Repository) -> int:
    return sum(listed.size for listed in repository.blobs.list("packs/"))


def main() -> None:
    average, most = trees.PAGE_AVERAGE, trees.PAGE_MAX
    print("landing one changed file where somebody else has just landed another")
    print(f"{'files':>14}{'seconds':>12}{'bytes added':>14}")
    for files in (10_000, 100_000):
        with tempfile.TemporaryDirectory() as place:
            seconds, added = landings(Path(place) / "hub", files)
        print(f"{files:>14,}{seconds:>12.4f}{added:>14,}")
    for files in (100_000, 1_000_000):
        rows = rows_of(files)
        print(f"one file of {files:,} changed: bytes of lists that are new, mean of {CHANGES}")
        print(f"{'files a page':>14}{'plain':>12}{'kept':>12}")
        for size in (256, 512, 1024, 2048, 4096):
            plain, kept = new_bytes(rows, size)
            print(f"{size:>14,}{plain:>12,}{kept:>12,}")
        trees.PAGE_AVERAGE, trees.PAGE_MAX = average, most


if __name__ == "__main__":
    main()
