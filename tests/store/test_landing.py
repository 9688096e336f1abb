"""Landing: many commit to one branch at once, and nothing of anybody's is lost."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from kamld.blobs import FolderBlobs
from kamld.records.kinds import FILE, FOLDER
from kamld.records.names import Name
from kamld.store import Change, Entries, Repository, open_hub
from kamld.store.refs.landing import apply, clashes
from kamld.store.trees import EMPTY_ID
from kamld.store.trees.entries import Entry, entries_of
from tests.store.hubs import check_whole, commit, files_of, fresh, head

ROOT = Path(__file__).resolve().parents[2]

# --- which changes go together: trees of files and empty folders, as dicts

Rows = dict[bytes, Entry]


def parents(path: bytes) -> list[bytes]:
    parts = path.split(b"/")
    return [b"/".join(parts[:n]) for n in range(1, len(parts))]


def is_tree(rows: Rows) -> bool:
    """No entry is a folder of another."""
    return not any(parent in rows for path in rows for parent in parents(path))


rows = (
    st.dictionaries(
        st.lists(st.sampled_from([b"a", b"b", b"c"]), min_size=1, max_size=3).map(b"/".join),
        st.sampled_from([b"1", b"2", b""]),
        max_size=6,
    )
    .map(
        lambda files: {
            path: Entry(path, FILE, 1, content * 32) if content else Entry(path, FOLDER, 0, EMPTY_ID)
            for path, content in files.items()
        }
    )
    .filter(is_tree)
)


def changes(old: Rows, new: Rows) -> list[Change]:
    paths = sorted(path for path in {*old, *new} if old.get(path) != new.get(path))
    return [Change(path, old.get(path), new.get(path)) for path in paths]


@given(rows, rows, rows)
def test_a_merge_has_every_change_of_both(base: Rows, ours: Rows, theirs: Rows) -> None:
    mine, other = changes(base, ours), changes(base, theirs)
    assume(not clashes(mine, other))
    assert not clashes(other, mine)
    merged = {row.path: row for row in apply(_table(theirs), mine).rows()}
    assert merged == {row.path: row for row in apply(_table(ours), other).rows()}
    assert is_tree(merged)
    for change in (*mine, *other):
        if change.new is None or change.new.kind != FOLDER:
            assert merged.get(change.path) == change.new or change.new is None
        elif change.path not in merged:  # an empty folder that the other side put something in
            assert any(change.path in parents(path) for path in merged)
    for change in mine + other:
        if change.new is None:
            assert change.path not in merged
    untouched = set(base) - {change.path for change in mine + other}
    assert {path: base[path] for path in untouched}.items() <= merged.items()


def _table(tree: Rows) -> Entries:
    return entries_of([tree[path] for path in sorted(tree)])


@given(rows, rows)
def test_the_same_change_twice_is_no_conflict(base: Rows, ours: Rows) -> None:
    assert clashes(changes(base, ours), changes(base, ours)) == ()


@pytest.mark.parametrize(
    ("base", "ours", "theirs", "conflict"),
    [
        ({b"a": b"1"}, {b"a": b"2"}, {b"a": b"3"}, b"a"),
        ({b"a": b"1"}, {}, {b"a": b"3"}, b"a"),
        ({}, {b"a": b"1"}, {b"a/b": b"1"}, b"a/b"),
        ({}, {b"a/b/c": b"1"}, {b"a": b"1"}, b"a/b/c"),
    ],
    ids=["changed twice", "changed and removed", "a folder for a file", "a file for a folder"],
)
def test_true_conflicts(
    base: dict[bytes, bytes], ours: dict[bytes, bytes], theirs: dict[bytes, bytes], conflict: bytes
) -> None:
    repository, dataset = fresh()
    start = commit(repository, dataset, base | {b"other": b"x"}).commit_id
    commit(repository, dataset, theirs | {b"other": b"x"}, start)
    before = head(repository, dataset)
    made = commit(repository, dataset, ours | {b"other": b"x"}, start)
    assert (made.landed.how, made.landed.conflicts) == ("kept", (conflict,))
    assert made.landed.branch == f"main-conflict-{made.commit_id[:12]}"
    assert head(repository, dataset) == before
    assert head(repository, dataset, made.landed.branch) == made.commit_id
    again = repository.land(dataset, "main", made.commit_id, author="a")
    assert (again.how, again.move) == ("kept", made.landed.move)


def test_different_paths_merge() -> None:
    repository, dataset = fresh(kind="model")
    start = commit(repository, dataset, {b"a": b"1", b"b": b"1"}).commit_id
    commit(repository, dataset, {b"a": b"2", b"b": b"1"}, start)
    theirs = head(repository, dataset)
    made = commit(repository, dataset, {b"a": b"1", b"c": b"3"}, start)
    assert made.landed.how == "merged"
    assert files_of(repository, head(repository, dataset)) == {b"a": b"2", b"c": b"3"}
    assert repository.commit(made.landed.head).parents == (theirs, made.commit_id)
    assert made.landed.move.version == 3


def test_landing_twice_and_forward() -> None:
    repository, dataset = fresh()
    one = commit(repository, dataset, {b"a": b"1"}).commit_id
    two = commit(repository, dataset, {b"a": b"2"}, one, branch="side").commit_id
    three = commit(repository, dataset, {b"a": b"3"}, two, branch="side").commit_id
    assert repository.land(dataset, "main", three, author="a").how == "moved"  # without a merge
    assert head(repository, dataset) == three
    moves = len(list(repository.refs.history(dataset, "main")))
    for earlier in (one, two, three):
        assert repository.land(dataset, "main", earlier, author="a").head == three
    assert len(list(repository.refs.history(dataset, "main"))) == moves


def test_a_branch_that_was_removed_comes_back() -> None:
    repository, dataset = fresh()
    one = commit(repository, dataset, {b"a": b"1"}).commit_id
    repository.refs.move(dataset, "main", "branch", None, expected=one, author="a", reason="r")
    assert commit(repository, dataset, {b"a": b"2"}, one).landed.how == "moved"


def test_a_kept_branch_that_has_moved_on() -> None:
    """Landing the same commit again, as one who was killed does, finds it there."""
    repository, dataset = fresh()
    base = commit(repository, dataset, {b"a": b"1"}).commit_id
    commit(repository, dataset, {b"a": b"2"}, base)
    kept = commit(repository, dataset, {b"a": b"3"}, base)
    assert kept.landed.how == "kept"
    on = commit(repository, dataset, {b"a": b"4"}, kept.commit_id, branch=kept.landed.branch)
    again = repository.land(dataset, "main", kept.commit_id, author="a")
    assert (again.how, again.branch, again.head) == ("kept", kept.landed.branch, on.commit_id)


def test_a_kept_branch_whose_name_is_something_else() -> None:
    repository, dataset = fresh()
    base = commit(repository, dataset, {b"a": b"1"}).commit_id
    two = commit(repository, dataset, {b"a": b"2"}, base).commit_id
    kept = commit(repository, dataset, {b"a": b"3"}, base)
    name = kept.landed.branch
    repository.refs.move(dataset, name, "branch", two, expected=kept.commit_id, author="a", reason="by hand")
    again = repository.land(dataset, "main", kept.commit_id, author="a")
    assert (again.how, again.head) == ("kept", kept.commit_id)
    assert again.branch != name


# --- many processes

_WORKER = """
import json, sys
from pathlib import Path
from kamld.blobs import FolderBlobs
from kamld.records.names import Name
from kamld.store import open_hub
from tests.store.hubs import commit, files_of

hub, number, start, rounds = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3], int(sys.argv[4])
repository = open_hub(FolderBlobs(hub), threads=1)
dataset = repository.names.get(Name("p", "d"))
base, told = start, []
for round in range(rounds):
    files = files_of(repository, base)
    files[b"mine/%d-%d" % (number, round)] = b"by %d" % number
    if round % 2:
        files[b"shared"] = b"of %d, %d" % (number, round)
    made = commit(repository, dataset, files, base)
    told.append([made.commit_id, made.landed.how, made.landed.branch, round])
    base = made.commit_id if made.landed.how != "kept" else base  # as a folder: it never sees the others
print(json.dumps(told))
"""


def at_once(hub: Path, start: str, workers: int, rounds: int) -> list[list[list[object]]]:
    words = [sys.executable, "-c", _WORKER, str(hub)]
    running = [
        subprocess.Popen([*words, str(n), start, str(rounds)], stdout=subprocess.PIPE, cwd=ROOT)
        for n in range(workers)
    ]
    told = []
    for process in running:
        out, _ = process.communicate(timeout=120)
        assert process.returncode == 0
        told.append(json.loads(out))
    return told


def check_nothing_is_lost(repository: Repository, told: list[list[list[object]]]) -> set[object]:
    """Every commit that was said to be made can be had from where it was said to be."""
    dataset = repository.names.get(Name("p", "d"))
    everything = check_whole(repository, dataset)
    main = {identifier for identifier, _ in repository.log(head(repository, dataset))}
    files = files_of(repository, head(repository, dataset))
    for number, commits in enumerate(told):
        for identifier, how, branch, count in commits:
            assert identifier in everything
            if how == "kept":
                assert identifier == head(repository, dataset, str(branch))
            else:
                assert identifier in main
                assert files[b"mine/%d-%d" % (number, count)] == b"by %d" % number
    return {how for commits in told for _, how, _, _ in commits}


def test_processes_commit_at_once(tmp_path: Path) -> None:
    repository, dataset = fresh(FolderBlobs(tmp_path / "hub"), "model")
    start = commit(repository, dataset, {b"shared": b"", b"large": bytes(300_000)}).commit_id
    told = at_once(tmp_path / "hub", start, workers=5, rounds=4)
    after = open_hub(FolderBlobs(tmp_path / "hub"))
    assert check_nothing_is_lost(after, told) >= {"merged", "kept"}
    versions = after.refs.versions(dataset)
    assert sorted(versions) == list(range(1, len(versions) + 1))
    assert len(set(versions.values())) == len(versions)
    assert list((tmp_path / "hub" / "tmp").iterdir()) == []


@pytest.mark.long
@pytest.mark.timeout(900)
def test_many_processes_commit_at_once(tmp_path: Path) -> None:
    repository, dataset = fresh(FolderBlobs(tmp_path / "hub"))
    start = commit(repository, dataset, {b"shared": b""}).commit_id
    told = at_once(tmp_path / "hub", start, workers=12, rounds=15)
    after = open_hub(FolderBlobs(tmp_path / "hub"))
    check_nothing_is_lost(after, told)
    after.rebuild_index()
    check_whole(open_hub(FolderBlobs(tmp_path / "hub")), dataset)
