"""A tree changed page by page is, to the last byte, the tree made anew of all its entries."""

import random
from collections.abc import Iterator

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from kamld.records.kinds import FILE, FOLDER
from kamld.store import trees
from kamld.store.refs.landing import apply
from kamld.store.repaging import parents, plan_changed, write_changed
from kamld.store.trees import EMPTY_ID, Tree, plan_tree
from kamld.store.trees.entries import Change, Entry, entries_of
from tests.store.test_trees import Rows, entries, hub, in_order, keep, many


@pytest.fixture(autouse=True, scope="module")
def small_pages() -> Iterator[None]:
    """So that a few dozen paths make many pages, some of them full before any path ends one."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trees, "PAGE_AVERAGE", 4)
        patch.setattr(trees, "PAGE_MAX", 5)
        yield


def anew(rows: Rows, changes: dict[bytes, Entry | None]) -> tuple[bytes, list[bytes]]:
    made = [Change(path, rows.get(path), new) for path, new in changes.items()]
    return plan_tree(apply(entries_of(in_order(rows)), made))


def check(rows: Rows, changes: dict[bytes, Entry | None]) -> list[bytes]:
    """The pages that were made."""
    repository = hub()
    tree = keep(repository, rows)
    data, made = plan_changed(tree, changes)
    expected, pages = anew(rows, changes)
    assert data == expected
    assert set(pages) <= set(made) | {repository.objects.read(page.id) for page in tree.pages}
    with repository.writer() as writer:
        identifier = write_changed(writer, tree, changes)
    now = Tree(repository.objects, identifier)
    assert list(now.entries().rows()) == list(apply(tree.entries(), _listed(rows, changes)).rows())
    return made


def _listed(rows: Rows, changes: dict[bytes, Entry | None]) -> list[Change]:
    return [Change(path, rows.get(path), new) for path, new in changes.items()]


def without_filled(rows: Rows) -> Rows:
    """As every tree that is kept: no folder that has something in it is listed as empty."""
    return {row.path: row for row in apply(entries_of(in_order(rows)), []).rows()}


@given(entries.map(without_filled), entries, st.sets(st.integers(0, 20)))
def test_few_paths_with_folders(rows: Rows, more: Rows, gone: set[int]) -> None:
    changes = {path: None for at, path in enumerate(sorted(rows)) if at in gone} | more
    after = {path: entry for path, entry in (rows | changes).items() if entry}
    files = {path for path, entry in after.items() if entry.kind != FOLDER}
    assume(not any(parent in files for path in after for parent in parents(path)))
    check(rows, changes)


@given(st.integers(0, 120), st.integers(0, 30), st.integers(0, 30), st.integers())
def test_many_pages(count: int, new: int, gone: int, seed: int) -> None:
    chance = random.Random(seed)
    rows = many(count, seed)
    changes: dict[bytes, Entry | None] = {
        b"%02d/image-%07d.png" % (n % 100, n): Entry(
            b"%02d/image-%07d.png" % (n % 100, n), FILE, n, b"n" * 32
        )
        for n in chance.sample(range(2 * count + 5), min(new, 2 * count + 5))
    }
    changes |= dict.fromkeys(chance.sample(sorted(rows), min(gone, len(rows))))
    check(rows, changes)


def test_all_goes_and_all_comes() -> None:
    rows = many(50)
    check(rows, dict.fromkeys(rows))
    check({}, dict(rows))
    check(rows, {})
    check({}, {b"never there": None})


def test_an_empty_folder_that_gets_a_file_on_another_page() -> None:
    rows = many(60) | {b"50": Entry(b"50", FOLDER, 0, EMPTY_ID)}
    rows = {path: row for path, row in rows.items() if not path.startswith(b"50/")}
    check(rows, {b"50/new": Entry(b"50/new", FILE, 1, b"n" * 32)})
    check(many(60), {b"50": Entry(b"50", FOLDER, 0, EMPTY_ID)})


def test_one_change_reads_and_makes_one_page_of_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trees, "PAGE_AVERAGE", 1024)
    monkeypatch.setattr(trees, "PAGE_MAX", 8192)
    rows = many(20_000)
    tree = keep(hub(), rows)
    path = sorted(rows)[9_000]
    read: list[int] = []
    page = Tree.page
    monkeypatch.setattr(Tree, "page", lambda self, number: read.append(number) or page(self, number))
    changes = {path: Entry(path, FILE, 6, b"n" * 32)}
    data, made = plan_changed(tree, changes)
    assert data == anew(rows, changes)[0]
    assert (len(made), len(read)) == (1, 1)
    assert len(tree.pages) > 10
