"""Which commits changed a path, and what is known about it, against a plain model of history."""

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kamld.errors import NotFound
from kamld.reading.about import About, about
from kamld.reading.folders import Folders
from kamld.reading.history import steps
from kamld.records.globs import Glob
from kamld.store import Repository
from tests.store.hubs import commit, files_of, fresh

PATHS = [b"a/1.csv", b"a/2.png", b"b/1.csv", b"c"]
VERSIONS = st.lists(st.dictionaries(st.sampled_from(PATHS), st.binary(max_size=1)), min_size=1, max_size=6)


def shown(repository: Repository, start: str, path: str) -> About:
    folders = Folders(repository.objects, repository.tree(repository.commit(start)))
    return about(repository, folders, start, path, "p/d@main")


@given(VERSIONS, st.sampled_from(["a", "a/1.csv", "c", "", "*/1.csv", "**/*.png", "nowhere"]))
def test_the_steps_of_a_path(versions: list[dict[bytes, bytes]], asked: str) -> None:
    repository, dataset = fresh()
    glob = Glob(asked) if "*" in asked else None
    before, parents, expected = dict[bytes, bytes](), tuple[str, ...](), list[tuple[str, set[bytes]]]()
    for files in versions:
        made = commit(repository, dataset, files, *parents).commit_id
        parents = (made,)
        changed = {path for path in PATHS if files.get(path) != before.get(path)}
        of_path = {
            path
            for path in changed
            if (
                glob.matches(os.fsdecode(path))
                if glob
                else not asked or (path + b"/").startswith(asked.encode() + b"/")
            )
        }
        if of_path and (not expected or expected[-1][0] != made):
            expected.append((made, of_path))
        before = files
    raw = b"" if glob else asked.encode()
    found = [(step.commit_id, {c.path for c in step.changes}) for step in steps(repository, made, raw, glob)]
    assert found == expected[::-1]


def test_a_merge_is_no_step_where_a_side_was_taken() -> None:
    repository, dataset = fresh()
    base = commit(repository, dataset, {b"x": b"0", b"y": b"0"}).commit_id
    left = commit(repository, dataset, {b"x": b"1", b"y": b"0"}, base, branch="l").commit_id
    right = commit(repository, dataset, {b"x": b"0", b"y": b"1"}, base, branch="r").commit_id
    merged = commit(repository, dataset, {b"x": b"1", b"y": b"1"}, left, right, branch="m").commit_id
    both = commit(repository, dataset, {b"x": b"2", b"y": b"1"}, left, right, branch="b").commit_id
    assert [s.commit_id for s in steps(repository, merged, b"x", None)] == [left, base]
    assert [s.commit_id for s in steps(repository, merged, b"y", None)] == [right, base]
    assert [s.commit_id for s in steps(repository, both, b"x", None)] == [both, left, base]


def test_pages_that_both_versions_have_are_not_read() -> None:
    repository, dataset = fresh()
    files = {b"m/%05d" % n: b"" for n in range(20_000)}
    first = commit(repository, dataset, files).commit_id
    second = commit(repository, dataset, files | {b"m/00007": b"x"}, first).commit_id
    third = commit(repository, dataset, files | {b"m/19990": b"x", b"m/00007": b"x"}, second).commit_id
    reads = 0
    read_many = repository.objects.read_many

    def counted(identifiers: list[bytes]) -> object:
        nonlocal reads
        reads += len(identifiers)
        return read_many(identifiers)

    repository.objects.read_many = counted  # type: ignore[assignment,method-assign]
    found = steps(repository, third, b"m/00007", None)
    assert next(found).commit_id == second
    assert reads == 2  # the page before and the page after, of some twenty


def test_what_is_known_about_a_file() -> None:
    repository, dataset = fresh()
    table = {b"t.csv": b"name,n\nx,1\n", b"bad.parquet": b"no", b"d/x.bin": b"12345", b"d/e/y.bin": b"1"}
    first = commit(repository, dataset, table).commit_id
    last = commit(repository, dataset, table | {b"d/x.bin": b"123"}, first).commit_id
    csv = shown(repository, last, "t.csv")
    assert (csv.kind, csv.size, csv.columns) == ("file", 11, (("name", "string"), ("n", "int64")))
    assert csv.last is not None
    assert csv.last.commit_id == first
    assert "cannot be read as a table" in shown(repository, last, "bad.parquet").unreadable
    folder = shown(repository, last, "d/")
    assert (folder.kind, folder.files, folder.size) == ("folder", 2, 4)
    assert folder.last is not None
    assert folder.last.commit_id == last
    assert [(s.suffix, s.files, s.bytes) for s in shown(repository, last, "**").sorts] == [
        (".csv", 1, 11), (".bin", 2, 4), (".parquet", 1, 2),
    ]  # fmt: skip
    assert len(files_of(repository, last)) == 4
    for path in ("nowhere", "*.gif"):
        with pytest.raises(NotFound):
            shown(repository, last, path)


def test_a_checkpoint_that_expired_is_passed_over() -> None:
    repository, dataset = fresh()
    first = commit(repository, dataset, {b"x": b"1"}).commit_id
    second = commit(repository, dataset, {b"x": b"2", b"y": b"2"}, first).commit_id
    third = commit(repository, dataset, {b"x": b"3", b"y": b"2"}, second).commit_id
    kept = repository.kept_tree
    gone = {repository.commit(first).tree, repository.commit(second).tree}
    repository.kept_tree = lambda commit: None if commit.tree in gone else kept(commit)  # type: ignore[method-assign]
    found = list(steps(repository, third, b"x", None))
    assert [(s.commit_id, len(s.changes), s.tree_gone, s.before_gone) for s in found] == [
        (third, 1, False, True), (second, 0, True, False), (first, 0, True, False),
    ]  # fmt: skip
    last = shown(repository, third, "y").last
    assert last is not None
    assert last.commit_id == third
