"""Trees: equal entries make equal ids, edits touch few pages, diffs are those of dicts."""

import random
from bisect import bisect
from zlib import crc32

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kamld.blobs import MemoryBlobs
from kamld.errors import SystemFault
from kamld.records.kinds import EXECUTABLE, FILE, FOLDER
from kamld.store import Repository, Tree, open_hub
from kamld.store.objects import object_id
from kamld.store.trees import (
    EMPTY_ID,
    PAGE_AVERAGE,
    PAGE_MAX,
    decode_page,
    decode_tree,
    diff,
    encode_page,
    page_ends,
    plan_tree,
    tree_id,
    write_tree,
)
from kamld.store.trees.entries import Entry, entries_of

Rows = dict[bytes, Entry]

words = st.sampled_from([b"a", b"b", b"a-", b"a.c", b"aa", b"\xff", b"x y"])
paths = st.lists(words, min_size=1, max_size=3).map(b"/".join)
contents = st.integers(0, 3)


def entry(path: bytes, content: int, kind: int = FILE) -> Entry:
    data = b"x" * content
    return Entry(path, FOLDER, 0, EMPTY_ID) if kind == FOLDER else Entry(path, kind, content, object_id(data))


entries = st.dictionaries(paths, st.tuples(contents, st.sampled_from([FILE, FILE, EXECUTABLE, FOLDER]))).map(
    lambda chosen: {path: entry(path, *what) for path, what in chosen.items()}
)


def many(count: int, seed: int = 0) -> Rows:
    numbers = random.Random(seed)
    made = (b"%02d/image-%07d.png" % (n % 100, n) for n in range(count))
    return {path: Entry(path, FILE, 5, numbers.randbytes(32)) for path in made}


def in_order(rows: Rows) -> list[Entry]:
    return [rows[path] for path in sorted(rows)]


def hub() -> Repository:
    return open_hub(MemoryBlobs())


def keep(repository: Repository, rows: Rows) -> Tree:
    with repository.writer() as writer:
        identifier = write_tree(writer, entries_of(in_order(rows)))
    return Tree(open_hub(repository.blobs).objects, identifier)


@given(entries)
def test_a_tree_reads_back(rows: Rows) -> None:
    tree = keep(hub(), rows)
    assert list(tree.entries().rows()) == in_order(rows)
    assert (tree.count, tree.size) == (len(rows), sum(row.size for row in rows.values()))
    assert tree_id(tree.entries()) == tree.id == tree_id(entries_of(in_order(rows)))


@given(entries, entries)
def test_equal_entries_equal_ids_whatever_came_before(rows: Rows, others: Rows) -> None:
    repository = hub()
    keep(repository, others)
    assert keep(repository, rows).id == keep(hub(), dict(reversed(rows.items()))).id
    assert (tree_id(entries_of(in_order(rows))) == tree_id(entries_of(in_order(others)))) == (rows == others)


@given(entries, entries)
def test_diff_is_that_of_dicts(old: Rows, new: Rows) -> None:
    repository = hub()
    found = {c.path: (c.old, c.new) for c in diff(keep(repository, old), keep(repository, new))}
    assert found == {p: (old.get(p), new.get(p)) for p in {*old, *new} if old.get(p) != new.get(p)}
    assert list(found) == sorted(found)
    assert {c.path for c in diff(None, keep(repository, new))} == set(new)
    assert [c.sort for c in diff(keep(repository, old), None)] == ["removed"] * len(old)


@given(entries, entries, paths)
def test_diff_of_a_path(old: Rows, new: Rows, path: bytes) -> None:
    repository = hub()
    trees = keep(repository, old), keep(repository, new)
    assert diff(*trees, path) == [c for c in diff(*trees) if c.path == path or c.path.startswith(path + b"/")]


@given(entries, paths)
def test_under(rows: Rows, path: bytes) -> None:
    tree = keep(hub(), rows)
    below = {p for p in rows if p == path or p.startswith(path + b"/")}
    assert set(tree.under(path).paths) == below
    assert list(tree.under(b"").rows()) == in_order(rows)


@given(entries)
def test_pages_and_trees_decode(rows: Rows) -> None:
    table = entries_of(in_order(rows))
    page = encode_page(table, 0, len(table))
    assert list(decode_page(page).rows()) == in_order(rows)
    tree, pages = plan_tree(table)
    assert [page.id for page in decode_tree(tree)] == [object_id(page) for page in pages]


# --- pages


def test_pages_end_as_docs_format_says() -> None:
    rows = sorted(many(50_000))
    ends = page_ends(rows)
    natural = [at + 1 for at, path in enumerate(rows) if crc32(path) * 0x9E3779B1 % 2**32 < 2**22]
    assert set(natural) <= set(ends)
    assert ends == sorted(set(ends))
    assert ends[-1] == len(rows)
    assert 0.7 < 50_000 / len(ends) / PAGE_AVERAGE < 1.4


def test_pages_have_a_largest_size() -> None:
    stubborn = [b"%06d" % n for n in range(60_000) if crc32(b"%06d" % n) * 0x9E3779B1 % 2**32 >= 2**22]
    for count in (0, 1, PAGE_MAX - 1, PAGE_MAX, PAGE_MAX + 1, 2 * PAGE_MAX, 2 * PAGE_MAX + 1):
        ends = page_ends(stubborn[:count])
        assert ends == [*range(PAGE_MAX, count, PAGE_MAX), *([count] if count else [])]
    assert page_ends([b"digits/3133.png", *stubborn[:3]]) == [1, 4]  # from the page's own beginning


@pytest.mark.parametrize("seed", range(6))
def test_one_insertion_changes_few_pages(seed: int) -> None:
    rows = sorted(many(30_000))
    before = _pages(rows)
    path = b"%02d/image-%07d.new" % (random.Random(seed).randrange(100), seed)
    rows.insert(bisect(rows, path), path)
    after = _pages(rows)
    assert len(after - before) <= 2
    assert len(before - after) <= 2
    assert len(before) > 20


def _pages(rows: list[bytes]) -> set[bytes]:
    table = entries_of([entry(path, 1) for path in rows])
    return {object_id(page) for page in plan_tree(table)[1]}


def test_many_pages() -> None:
    repository, rows = hub(), many(20_000)
    old = keep(repository, rows)
    assert len(old.pages) > 10
    changed = dict(rows)
    touched = random.Random(3).sample(sorted(rows), 5)
    del changed[touched[0]]
    changed[touched[1]] = entry(touched[1], 3, EXECUTABLE)
    changed[b"new"] = entry(b"new", 2)
    new = keep(repository, changed)
    assert [(c.path, c.sort) for c in diff(old, new)] == sorted(
        [(touched[0], "removed"), (touched[1], "changed"), (b"new", "added")]
    )
    for path in (b"07", b"07/image-0000007.png", b"new", b"nothing", b"0", b"99"):
        below = [p for p in sorted(changed) if p == path or p.startswith(path + b"/")]
        assert new.under(path).paths == below
    assert list(new.entries().rows()) == in_order(changed)


def test_diff_reads_changed_pages_only() -> None:
    repository, rows = hub(), many(20_000)
    old = keep(repository, rows)
    path = sorted(rows)[10_000]
    new = keep(repository, rows | {path: entry(path, 3)})
    reads: list[int] = []
    for tree in (old, new):
        real = tree._read
        tree._read = lambda pages, real=real: (reads.append(len(pages)), real(pages))[1]  # type: ignore[method-assign,misc]
    assert [change.path for change in diff(old, new)] == [path]
    assert reads == [1, 1]
    assert diff(old, old) == []
    assert reads == [1, 1]
    assert [change.path for change in diff(old, new, path)] == [path]
    assert diff(old, new, b"nowhere") == []
    assert reads == [1, 1, 1, 1, 0, 0]


@given(st.binary(max_size=120), st.integers(0, 5))
def test_what_is_no_tree(noise: bytes, keep_first: int) -> None:
    tree, (page,) = plan_tree(entries_of([entry(b"a", 1)]))
    for head, decode in ((page, decode_page), (tree, decode_tree)):
        try:
            decode(head[: 8 * keep_first] + noise)
        except SystemFault as fault:
            assert fault.code == "damaged_tree"  # noqa: PT017


def test_take() -> None:
    table = entries_of(in_order(many(50)))
    taken = table.take([1, 5, 49])
    assert list(taken.rows()) == [row for at, row in enumerate(table.rows()) if at in (1, 5, 49)]
    assert len(table.take([])) == 0
    assert table.take([]).ids.shape == (0, 32)
    assert np.array_equal(table.take(range(50)).ids, table.ids)
