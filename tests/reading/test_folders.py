"""A version as folders: pages of lists, patterns and totals say what the paths say, from few pages."""

import os
from itertools import islice

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kamld.errors import NotFound
from kamld.reading.choose import chosen
from kamld.reading.folders import Folders
from kamld.records.globs import Glob
from kamld.records.kinds import FILE
from kamld.store import Repository
from kamld.store.trees import Tree, write_tree
from kamld.store.trees.entries import Entry, entries_of
from tests.store.hubs import fresh

NAMES = st.sampled_from(["a", "b", "a-", "a.b", "a0", "ab", "[a]"])
PATHS = st.lists(NAMES, min_size=1, max_size=4).map("/".join)
PARTS = st.sampled_from(["a", "b", "*", "a*", "?", "**", "a.?", "[!b]", "[ab]", "x"])
PATTERNS = st.lists(PARTS, min_size=1, max_size=4).map("/".join)


def folders_of(paths: list[str], repository: Repository | None = None) -> Folders:
    """A version of files with these paths, each of as many bytes as its path has."""
    repository = repository or fresh()[0]
    with repository.writer() as writer:
        content = writer.put(b"x")
        raw = sorted(map(os.fsencode, paths))
        tree = write_tree(writer, entries_of([Entry(path, FILE, len(path), content) for path in raw]))
        writer.flush()
    return Folders(repository.objects, Tree(repository.objects, tree))


def without_clashes(paths: set[str]) -> list[str]:
    return sorted(p for p in paths if not any(other.startswith(p + "/") for other in paths))


@given(st.sets(PATHS, max_size=14), PATTERNS)
def test_a_pattern_finds_what_it_matches(paths: set[str], pattern: str) -> None:
    kept, glob = without_clashes(paths), Glob(pattern)
    expected = [path for path in kept if glob.matches(path)]
    found = [os.fsdecode(row.path) for row in folders_of(kept).matching(glob)]
    assert found == sorted(expected, key=os.fsencode)
    assert all(glob.may_be_in(path.rpartition("/")[0]) for path in expected if "/" in path)


@given(st.sets(PATHS, max_size=14), st.integers(1, 3), st.sampled_from(["", "a", "a/b"]), PATTERNS)
def test_pages_together_are_the_whole(paths: set[str], size: int, folder: str, pattern: str) -> None:
    folders, top = folders_of(without_clashes(paths)), os.fsencode(folder)
    start = len(top) + 1 if top else 0
    glob = Glob(pattern)
    for whole, page in (
        (folders.children(top), lambda after: folders.children(top, after[start:])),
        (folders.below(top), lambda after: folders.below(top, after)),
        (folders.matching(glob), lambda after: folders.matching(glob, after)),
    ):
        expected, found = list(whole), list[Entry]()
        while some := list(islice(page(found[-1].path if found else b""), size)):
            found += some
        assert found == expected


@given(st.sets(PATHS, max_size=14))
def test_totals_are_what_is_below(paths: set[str]) -> None:
    kept = without_clashes(paths)
    folders = folders_of(kept)
    for folder in {"", "a", "a/b", "b", "nowhere"}:
        inside = [path for path in kept if not folder or path.startswith(folder + "/")]
        assert folders.totals(os.fsencode(folder)) == (len(inside), sum(map(len, inside)))


@pytest.fixture(scope="module")
def wide() -> Folders:
    """50,000 files in one folder, and two small ones beside it: some fifty pages."""
    return folders_of(["a/1", "z/1.csv", *(f"m/{n:05}.png" for n in range(50_000))])


def pages_read(folders: Folders) -> int:
    read = len(folders._kept)
    folders._kept.clear()
    return read


def test_a_page_of_a_large_folder_reads_a_page(wide: Folders) -> None:
    pages_read(wide)
    assert [row.path for row in islice(wide.children(b"m", b"30000.png"), 2)] == [
        b"m/30001.png", b"m/30002.png",
    ]  # fmt: skip
    assert pages_read(wide) <= 2
    assert [row.path for row in wide.children(b"")] == [b"a", b"m", b"z"]
    assert pages_read(wide) <= 3
    assert wide.totals(b"m") == (50_000, 50_000 * 11)
    assert pages_read(wide) <= 2


def test_no_folder_is_read_that_a_pattern_cannot_match(wide: Folders) -> None:
    for pattern, expected in (("*/*.csv", None), ("?/1", None), ("z/**", 1), ("[!m]/*", 2), ("z/*.csv", 1)):
        pages_read(wide)
        found = list(wide.matching(Glob(pattern)))
        if expected is not None:
            assert (len(found), pages_read(wide) <= 3) == (expected, True), pattern


def test_what_is_really_called_so_comes_first() -> None:
    folders = folders_of(["a[1].png", "a1.png", "[b]/x"])
    assert chosen(folders, "a[1].png", "d@main").paths == [b"a[1].png"]
    assert chosen(folders, "[b]", "d@main").paths == [b"[b]/x"]
    assert chosen(folders, "[ab]?.png", "d@main").paths == [b"a1.png"]


@pytest.mark.parametrize(
    ("path", "code", "said"),
    [
        ("rosse", "unknown_path", 'Did you mean "roses"?'),
        ("roses/1.pgn", "unknown_path", 'Did you mean "roses/1.png"?'),
        ("roses/1.png/x", "unknown_path", "kamld ls d@main:roses"),
        ("roses/*.gif", "no_match", "roses/ has 1.png, 2.png."),
        ("tulps/*.png", "no_match", 'there is no "tulps". Did you mean "tulips"?'),
        ("*.csv", "no_match", "There is roses/, tulips/."),
    ],
)
def test_what_is_near_what_is_not_there(path: str, code: str, said: str) -> None:
    folders = folders_of(["roses/1.png", "roses/2.png", "tulips/1.png"])
    with pytest.raises(NotFound) as raised:
        chosen(folders, path, "d@main")
    assert raised.value.code == code
    assert said in str(raised.value)
