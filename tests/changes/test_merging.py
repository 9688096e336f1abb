"""Merging: its laws, what waits for a decision, others who are faster, and writes that go wrong."""

import io
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kamld.changes import merging
from kamld.changes.merging import Outcome, Request, find_pending, merge, plan_merge, resolve, resume
from kamld.changes.protecting import protect
from kamld.errors import Conflict, NotFound, SystemFault
from kamld.records.history import Dataset
from kamld.store import Repository, open_hub
from tests.store.faults import KINDS, FaultyBlobs, Killed, Plan
from tests.store.hubs import AUTHOR, Files, check_whole, commit, files_of, fresh, head

PATHS = [b"a", b"a/b", b"a/b/c", b"a/d", b"b", b"c/x", b"c/y"]
PLAIN = [b"a", b"b", b"c/x", b"c/y", b"d"]


def parents(path: bytes) -> list[bytes]:
    parts = path.split(b"/")
    return [b"/".join(parts[:n]) for n in range(1, len(parts))]


def is_tree(files: Files) -> bool:
    return not any(parent in files for path in files for parent in parents(path))


def trees(paths: list[bytes]) -> st.SearchStrategy[dict[bytes, bytes]]:
    return st.dictionaries(st.sampled_from(paths), st.sampled_from([b"0", b"1", b"2"])).filter(is_tree)


def three(base: Files, ours: Files, theirs: Files) -> tuple[Repository, Dataset, Request]:
    repository, dataset = fresh()
    # Each has a file of its own, so that no two of the commits are the same.
    root = commit(repository, dataset, {**base, b"~": b"base"}).commit_id
    commit(repository, dataset, {**ours, b"~": b"base", b"~o": b""}, root)
    there = commit(repository, dataset, {**theirs, b"~": b"base", b"~t": b""}, root, branch="side").commit_id
    return repository, dataset, Request("main", "side", there)


def plain(repository: Repository, commit_id: str) -> dict[bytes, bytes]:
    return {path: data for path, data in files_of(repository, commit_id).items() if path[:1] != b"~"}


@settings(max_examples=60, deadline=None)
@given(trees(PLAIN), trees(PLAIN), trees(PLAIN))
def test_each_path_is_joined_three_way(base: Files, ours: Files, theirs: Files) -> None:
    repository, dataset, request = three(base, ours, theirs)
    clashing, expected = set(), {}
    for path in PLAIN:
        was, mine, other = base.get(path), ours.get(path), theirs.get(path)
        if mine != other and was not in (mine, other):
            clashing.add(path)
        now = other if mine == was else mine
        if now is not None:
            expected[path] = now
    outcome = merge(repository, dataset, request, author=AUTHOR)
    assert {clash.path for clash in outcome.plan.left} == clashing
    assert outcome.how == ("waits" if clashing else "merged")
    assert bool(repository.merges.find(dataset, "main")) == bool(clashing)
    if clashing:
        assert head(repository, dataset) == outcome.before == outcome.commit
        outcome = merge(
            repository, dataset, Request("main", "side", request.theirs, prefer="ours"), author=AUTHOR
        )
    assert plain(repository, outcome.commit) == expected
    assert repository.commit(outcome.commit).parents == (outcome.before, request.theirs)
    assert repository.merges.find(dataset, "main") is None


@settings(max_examples=60, deadline=None)
@given(trees(PATHS), trees(PATHS), trees(PATHS), st.sampled_from(["ours", "theirs"]))
def test_laws(base: Files, ours: Files, theirs: Files, side: Any) -> None:
    repository, dataset, request = three(base, ours, theirs)
    mine = head(repository, dataset)
    there = Request("side", "main", mine)
    one, two = plan_merge(repository, mine, request), plan_merge(repository, request.theirs, there)
    assert [c.below for c in one.left] == [c.below for c in two.left]  # the same for both sides
    held = {path for clash in one.left for path in clash.below}
    done = merge(repository, dataset, Request("main", "side", request.theirs, prefer=side), author=AUTHOR)
    other_side = "theirs" if side == "ours" else "ours"
    back = merge(repository, dataset, Request("side", "main", mine, prefer=other_side), author=AUTHOR)  # type: ignore[arg-type]
    assert repository.commit(done.commit).tree == repository.commit(back.commit).tree
    files = plain(repository, done.commit)
    assert is_tree(files)
    chosen = ours if side == "ours" else theirs
    assert {p: d for p, d in files.items() if p in held} == {p: d for p, d in chosen.items() if p in held}
    for path in set(ours) & set(theirs):
        if ours[path] == theirs[path] and path not in held:
            assert files[path] == ours[path]
    assert merge(repository, dataset, request, author=AUTHOR).how == "nothing"


def conflicting() -> tuple[Repository, Dataset, Request]:
    return three({b"x": b"0", b"y": b"0"}, {b"x": b"1", b"y": b"1"}, {b"x": b"2", b"y": b"2", b"n": b"n"})


def test_decided_one_by_one(tmp_path: Path) -> None:
    repository, dataset, request = conflicting()
    before = merge(repository, dataset, request, author=AUTHOR).before
    assert resolve(repository, dataset, "main", b"x", "ours", author=AUTHOR).how == "waits"
    assert resolve(repository, dataset, "main", b"x", "theirs", author=AUTHOR).how == "waits"  # made anew
    assert len(find_pending(repository, dataset, "main").resolutions) == 1
    assert head(repository, dataset) == before
    (tmp_path / "f").write_bytes(b"by hand")
    with pytest.raises(NotFound) as unknown:
        resolve(repository, dataset, "main", b"n", "ours", author=AUTHOR)
    assert unknown.value.code == "no_conflict"
    done = resolve(repository, dataset, "main", b"y", str(tmp_path / "f"), author="Bea")
    assert (done.how, repository.commit(done.commit).author) == ("merged", "Bea")
    assert plain(repository, done.commit) == {b"x": b"2", b"y": b"by hand", b"n": b"n"}
    with pytest.raises(NotFound) as gone:
        find_pending(repository, dataset, "main")
    assert gone.value.code == "no_merge"


def test_a_folder_or_a_pattern_decides_all_in_it() -> None:
    paths = [b"a/1.txt", b"a/b/2.txt", b"a/b/3.csv", b"b/4.txt", b"*"]
    base, ours, theirs = ({path: side + path for path in paths} for side in (b"0", b"1", b"2"))
    repository, dataset, request = three(base, ours, theirs)
    merge(repository, dataset, request, author=AUTHOR)
    with pytest.raises(NotFound):
        resolve(repository, dataset, "main", b"c/**", "ours", author=AUTHOR)
    for pattern, left in ((b"a/**/*.txt", 3), (b"a", 2), (b"*", 1)):  # "*" is a path too, and only that
        outcome = resolve(repository, dataset, "main", pattern, "theirs", author=AUTHOR)
        assert len(outcome.plan.left) == left
    done = resolve(repository, dataset, "main", b"**", "ours", author=AUTHOR)
    assert plain(repository, done.commit) == ours
    assert len({one.seen for one in done.request.resolutions}) == len(paths)


def test_a_decision_counts_as_long_as_what_it_was_about() -> None:
    repository, dataset, request = conflicting()
    merge(repository, dataset, request, author=AUTHOR)
    resolve(repository, dataset, "main", b"x", "theirs", author=AUTHOR)
    ours = {b"x": b"3", b"y": b"1", b"~": b"base", b"~o": b""}
    commit(repository, dataset, ours, head(repository, dataset))
    left = resolve(repository, dataset, "main", b"y", "ours", author=AUTHOR)
    assert (left.how, [clash.path for clash in left.plan.left]) == ("waits", [b"x"])
    assert resolve(repository, dataset, "main", b"x", "ours", author=AUTHOR).how == "merged"
    assert plain(repository, head(repository, dataset)) == {b"x": b"3", b"y": b"1", b"n": b"n"}


def test_one_merge_at_a_time_waits_for_a_branch() -> None:
    repository, dataset, request = conflicting()
    merge(repository, dataset, request, author=AUTHOR)
    third = commit(repository, dataset, {b"third": b"3"}, branch="third").commit_id
    other = Request("main", "third", third)
    with pytest.raises(Conflict) as waiting:
        merge(repository, dataset, other, author=AUTHOR)
    assert waiting.value.code == "merge_waiting"
    assert merge(repository, dataset, other, author=AUTHOR, dry_run=True).how == "would"
    repository.merges.drop(dataset, find_pending(repository, dataset, "main"))
    assert merge(repository, dataset, other, author=AUTHOR).how == "merged"


def test_a_dry_run_writes_nothing() -> None:
    plan = Plan()
    repository, dataset, request = conflicting()
    repository = open_hub(FaultyBlobs(repository.blobs, plan), threads=1)
    for prefer in (None, "ours"):
        wanted = Request("main", "side", request.theirs, prefer=prefer)  # type: ignore[arg-type]
        merge(repository, dataset, wanted, author=AUTHOR, dry_run=True)
    assert plan.writes == []


def test_forward_needs_no_merge_and_tables_are_joined_by_rows() -> None:
    repository, dataset = fresh()
    rows = b"file,label\na,1\nb,2\nc,3\n"
    root = commit(repository, dataset, {b"t.csv": rows}).commit_id
    theirs = commit(repository, dataset, {b"t.csv": rows.replace(b"b,2", b"b,9")}, root, branch="side")
    request = Request("main", "side", theirs.commit_id)
    commit(repository, dataset, {b"t.csv": rows + b"d,4\n"}, root)
    done = merge(repository, dataset, request, author=AUTHOR)
    assert [(table.clash.path, table.rows) for table in done.plan.tables] == [(b"t.csv", 1)]
    assert files_of(repository, done.commit) == {b"t.csv": b"file,label\na,1\nb,9\nc,3\nd,4\n"}
    forward = merge(repository, dataset, Request("side", "main", done.commit), author=AUTHOR)
    assert (forward.how, forward.commit) == ("moved", done.commit)


def test_a_row_that_both_changed_is_a_conflict_of_the_file() -> None:
    rows = b"file,label\na,1\nb,2\nc,3\n"
    repository, dataset, request = three(
        {b"t.csv": rows}, {b"t.csv": rows.replace(b"b,2", b"b,8")}, {b"t.csv": rows.replace(b"b,2", b"b,9")}
    )
    left = merge(repository, dataset, request, author=AUTHOR)
    assert [clash.path for clash in left.plan.left] == [b"t.csv"]
    assert left.plan.apart[b"t.csv"].reason == "row b changed by both"


def test_tables_that_both_made_are_joined_by_rows() -> None:
    repository, dataset, request = three({}, {b"t.csv": b"id,x\na,1\n"}, {b"t.csv": b"id,x\na,1\nb,2\n"})
    done = merge(repository, dataset, request, author=AUTHOR)
    assert plain(repository, done.commit) == {b"t.csv": b"id,x\na,1\nb,2\n"}
    for theirs, reason in ((b"id,x\na,2\n", "row a changed by both"), (b"id,y\na,1\n", "other columns")):
        repository, dataset, request = three({}, {b"t.csv": b"id,x\na,1\n"}, {b"t.csv": theirs})
        left = merge(repository, dataset, request, author=AUTHOR).plan
        assert [clash.why for clash in left.left] == ["both added it"]
        assert reason in left.apart[b"t.csv"].reason


def test_parquet_is_joined_by_rows() -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    def table(*rows: int) -> bytes:
        out = io.BytesIO()
        pq.write_table(pa.table({"id": ["a", "b", "c"], "n": rows}), out)
        return out.getvalue()

    repository, dataset, request = three(
        {b"t.parquet": table(1, 2, 3)}, {b"t.parquet": table(9, 2, 3)}, {b"t.parquet": table(1, 2, 8)}
    )
    done = merge(repository, dataset, request, author=AUTHOR)
    joined = plain(repository, done.commit)[b"t.parquet"]
    assert pq.read_table(io.BytesIO(joined)).column("n").to_pylist() == [9, 2, 8]


def rows_of(labels: str) -> bytes:
    return b"file,label\n" + "".join(f"{name},{label}\n" for name, label in zip("abcd", labels)).encode()  # noqa: B905


def test_a_side_for_a_table_is_about_rows_that_conflict() -> None:
    for side, wanted in (("ours", "5829"), ("theirs", "5929")):
        repository, dataset, request = three(
            {b"t.csv": rows_of("0123")}, {b"t.csv": rows_of("5823")}, {b"t.csv": rows_of("0929")}
        )
        merge(repository, dataset, request, author=AUTHOR)
        done = resolve(repository, dataset, "main", b"t.csv", side, author=AUTHOR)  # type: ignore[arg-type]
        assert (done.how, plain(repository, done.commit)) == ("merged", {b"t.csv": rows_of(wanted)})


def test_a_row_decided_counts_as_long_as_the_row_is_the_same() -> None:
    repository, dataset, request = three(
        {b"t.csv": rows_of("0123")}, {b"t.csv": rows_of("5883")}, {b"t.csv": rows_of("0993")}
    )
    merge(repository, dataset, request, author=AUTHOR)
    for row in "bc":
        before = find_pending(repository, dataset, "main")
        left = plan_merge(repository, head(repository, dataset), resume(before)).left
        assert [clash.path for clash in left] == [b"t.csv"]
        if row == "b":
            resolve(repository, dataset, "main", b"t.csv", "theirs", row="b", author=AUTHOR)
            ours = {b"t.csv": rows_of("7873"), b"~": b"base", b"~o": b""}  # c is another conflict now
            commit(repository, dataset, ours, head(repository, dataset))
    done = resolve(repository, dataset, "main", b"t.csv", "theirs", row="c", author=AUTHOR)
    assert (done.how, plain(repository, done.commit)) == ("merged", {b"t.csv": rows_of("7993")})
    assert find_rows_left(rows_of("0123"), rows_of("0823"), rows_of("0923"), rows_of("0623")) == ["b"]


def find_rows_left(base: bytes, ours: bytes, theirs: bytes, later: bytes) -> list[str]:
    """Rows that are to be decided again, once ours became another after row b was decided."""
    base, ours, theirs, later = (rows + b"z,0\n" for rows in (base, ours, theirs, later))
    repository, dataset, request = three({b"t.csv": base, b"x": b"0"}, {b"t.csv": ours, b"x": b"1"},
                                         {b"t.csv": theirs, b"x": b"2"})  # fmt: skip
    merge(repository, dataset, request, author=AUTHOR)
    resolve(repository, dataset, "main", b"t.csv", "theirs", row="b", author=AUTHOR)
    commit(repository, dataset, {b"t.csv": later, b"x": b"1", b"~": b"base", b"~o": b""},
           head(repository, dataset))  # fmt: skip
    plan = plan_merge(
        repository, head(repository, dataset), resume(find_pending(repository, dataset, "main"))
    )
    merged = plan.apart[b"t.csv"].merged
    return [conflict.label for conflict in merged.conflicts] if merged else []


def test_a_file_of_ones_own_is_kept_from_the_moment_it_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever collects just before the decision is recorded sees the lease of its writer."""
    repository, dataset, request = conflicting()
    merge(repository, dataset, request, author=AUTHOR)
    (tmp_path / "f").write_bytes(b"by hand")
    real, leases = repository.merges.keep, []

    def keep(*words: Any) -> None:
        leases.append({lease.what for lease in repository.leases.all().values()})
        real(*words)

    monkeypatch.setattr(repository.merges, "keep", keep)
    resolve(repository, dataset, "main", b"y", str(tmp_path / "f"), author=AUTHOR)
    assert leases
    assert "writer" in leases[0]


def test_a_branch_kept_apart_goes_once_it_is_merged() -> None:
    repository, dataset = fresh()
    root = commit(repository, dataset, {b"x": b"0"}).commit_id
    commit(repository, dataset, {b"x": b"1"}, root)
    kept = commit(repository, dataset, {b"x": b"2"}, root).landed
    assert kept.how == "kept"
    request = Request("main", kept.branch, kept.head, prefer="theirs")
    assert merge(repository, dataset, request, author=AUTHOR).how == "merged"
    assert [ref.name for ref in repository.live_refs(dataset)] == ["main"]
    again = commit(repository, dataset, {b"x": b"3"}, root).landed
    protect(repository, dataset, again.branch, author=AUTHOR)
    request = Request("main", again.branch, again.head, prefer="theirs")
    assert merge(repository, dataset, request, author=AUTHOR).how == "merged"
    assert [ref.name for ref in repository.live_refs(dataset)] == ["main", again.branch]


def test_who_is_faster_is_merged_too(monkeypatch: pytest.MonkeyPatch) -> None:
    repository, dataset, request = three({b"x": b"0"}, {b"x": b"0"}, {b"x": b"1"})
    real, meddled = merging.move_branch, []

    def move(*words: Any) -> Any:
        if not meddled:
            meddled.append(1)
            ours = {b"x": b"0", b"~": b"base", b"~o": b"", b"fast": b"f"}
            commit(repository, dataset, ours, head(repository, dataset))
        return real(*words)

    monkeypatch.setattr(merging, "move_branch", move)
    done = merge(repository, dataset, request, author=AUTHOR)
    assert plain(repository, done.commit) == {b"x": b"1", b"fast": b"f"}


@pytest.mark.parametrize("kind", KINDS)
def test_whatever_write_goes_wrong_it_can_be_repeated(kind: str) -> None:
    at, reached = 0, True
    while reached:
        at += 1
        repository, dataset, request = conflicting()
        before, plan = head(repository, dataset), Plan(at, kind)
        faulty = open_hub(FaultyBlobs(repository.blobs, plan), threads=1)
        with suppress(SystemFault, Killed, Conflict):
            _whole_merge(faulty, dataset, request)
        reached = len(plan.writes) >= at
        repository = open_hub(repository.blobs, threads=1)
        check_whole(repository, dataset)
        now = head(repository, dataset)
        if now == before:
            _whole_merge(repository, dataset, request)
        assert merge(repository, dataset, request, author=AUTHOR).how == "nothing"
        assert plain(repository, head(repository, dataset)) == {b"x": b"2", b"y": b"1", b"n": b"n"}
        assert repository.merges.find(dataset, "main") is None
    assert at > 6


def _whole_merge(repository: Repository, dataset: Dataset, request: Request) -> Outcome:
    first = repository.merges.find(dataset, "main")
    if first is None:
        merge(repository, dataset, request, author=AUTHOR)
    done = resolve(repository, dataset, "main", b"x", "theirs", author=AUTHOR)
    if done.how == "waits":  # else what was decided before the fault was kept, and this was the last
        done = resolve(repository, dataset, "main", b"y", "ours", author=AUTHOR)
    return done


def test_who_is_overtaken_once_is_not_overtaken_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """A large merge beside somebody who commits all the time."""
    repository, dataset, request = three({b"a": b"0"}, {b"a": b"0"}, {b"a": b"0", b"b": b"1"})
    move, waits = merging.move_branch, list[bool]()

    def overtaken(*words: Any) -> Any:
        with repository.blobs.turn(f"land refs/{dataset.id}/main", 0) as free:
            waits.append(not free)
        if len(waits) == 1:
            last = head(repository, dataset)
            commit(repository, dataset, {b"quick": b"1", b"~": b"base", b"~o": b""}, last)
        return move(*words)

    monkeypatch.setattr(merging, "move_branch", overtaken)
    done = merge(repository, dataset, request, author=AUTHOR)
    assert done.how == "merged"
    assert waits == [False, True]
    assert {b"quick", b"b"} <= set(files_of(repository, head(repository, dataset)))
