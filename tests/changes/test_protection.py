"""Protected branches: what may move them, and which rules let what through."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from kamld.changes.checks import Room, parse_rule
from kamld.changes.merging import Outcome, Request, merge
from kamld.changes.protecting import protect, unprotect
from kamld.changes.undo import undo
from kamld.errors import Conflict, Invalid, NotFound, SystemFault
from kamld.records.history import Dataset, Protection
from kamld.records.names import Name
from kamld.store import Entries, Repository, open_hub
from tests.store.faults import KINDS, FaultyBlobs, Killed, Plan
from tests.store.hubs import AUTHOR, Files, check_whole, commit, files_of, fresh, head

ROWS = b"file,label\na,1\nb,2\nc,3\n"


def guarded(
    old: Files, new: Files, *require: str, checks: tuple[str, ...] = ()
) -> tuple[Repository, Dataset]:
    """main, protected, with the old files, and side with the new."""
    repository, dataset = fresh()
    root = commit(repository, dataset, old).commit_id
    commit(repository, dataset, {**new, b"~": b""}, root, branch="side")
    protect(repository, dataset, "main", author=AUTHOR, require=require, checks=checks)
    return repository, dataset


def merged(repository: Repository, dataset: Dataset, room: Room | None = None) -> Outcome:
    before, theirs = head(repository, dataset), head(repository, dataset, "side")
    outcome = merge(repository, dataset, Request("main", "side", theirs), author=AUTHOR, room=room)
    assert head(repository, dataset) == (before if outcome.how == "refused" else outcome.commit)
    return outcome


def test_nothing_but_a_merge_moves_it() -> None:
    repository, dataset = guarded({b"x": b"0"}, {b"x": b"1"})
    before = head(repository, dataset)
    later = commit(repository, dataset, {b"x": b"2"}, before)
    assert (later.landed.how, later.landed.protected, later.landed.meant_for) == ("kept", True, "main")
    assert files_of(repository, head(repository, dataset, later.landed.branch)) == {b"x": b"2"}
    move = {"expected": before, "author": AUTHOR, "reason": "x"}
    tries = [
        lambda: repository.refs.move(dataset, "main", "branch", later.commit_id, **move),  # type: ignore[arg-type]
        lambda: repository.refs.move(dataset, "main", "branch", None, **move),  # type: ignore[arg-type]
        lambda: repository.refs.move(dataset, "main", "branch", before, amends=True, **move),  # type: ignore[arg-type]
        lambda: undo(repository, Name(dataset.project, dataset.name), "main", author=AUTHOR),
        lambda: repository.check_open(dataset, "main"),
    ]
    for attempt in tries[:3] + tries[4:]:
        with pytest.raises(Conflict) as refused:
            attempt()
        assert refused.value.code == "protected_branch"
    assert head(repository, dataset) == before
    assert merged(repository, dataset).how == "moved"
    with pytest.raises(Conflict) as refused:
        tries[3]()
    assert refused.value.code == "protected_branch"
    assert unprotect(repository, dataset, "main")
    assert undo(repository, Name(dataset.project, dataset.name), "main", author=AUTHOR).commit == before
    assert not unprotect(repository, dataset, "main")


def test_it_stays_protected_through_moves_and_sealed_logs() -> None:
    repository, dataset = guarded({b"x": b"0"}, {b"x": b"1"}, "schema")
    for number in range(70):
        side = head(repository, dataset, "side")
        commit(repository, dataset, {b"x": b"%d" % number}, side, branch="side")
        merged(repository, dataset)
    ref = repository.refs.find(dataset, "main")
    assert ref is not None
    assert ref.older
    assert ref.protection is not None
    assert ref.protection.require == ("schema",)


def test_rules_that_others_set_meanwhile_count() -> None:
    repository, dataset = guarded({b"t.csv": ROWS}, {b"t.csv": ROWS + b"d,\n"}, checks=("true",))

    @contextmanager
    def meddling(_: Entries) -> Iterator[Path]:
        protect(repository, dataset, "main", author=AUTHOR, require=["no-nulls"])
        yield Path("/")

    outcome = merged(repository, dataset, Room(meddling, {}))
    assert [failure.check for failure in outcome.failures] == ["no-nulls"]


@pytest.mark.parametrize(
    ("rule", "old", "new", "detail"),
    [
        ("schema", ROWS, ROWS + b"d,4\n", None),
        ("schema", None, b"x,y\n1,2\n", None),
        ("schema", ROWS, ROWS.replace(b"label", b"name"), 'the column "label" is gone'),
        ("schema", ROWS, b"label,file\n1,a\n", "the columns stand in another order: label, file"),
        ("schema", ROWS, None, "the table is gone"),
        ("schema", ROWS, b"\0", "It cannot be read: It has bytes that are no text."),
        ("schema:other.csv", ROWS, None, None),
        ("no-nulls", ROWS, ROWS + b"d,4\n", None),
        ("no-nulls", ROWS, ROWS + b'd,""\ne,\n', '2 rows have nothing in "label", the first is row 4'),
        ("no-nulls:file", ROWS, ROWS + b"d,\n", None),
        ("no-nulls:label:*.csv", ROWS, ROWS + b"d,\n", '1 row has nothing in "label", the first is row 4'),
        ("no-nulls:size:*.csv", None, ROWS + b"d,4\n", 'there is no column "size"'),
        ("no-nulls:size", None, ROWS + b"d,4\n", 'no table has a column "size"'),
        ("no-nulls:label", ROWS, ROWS.replace(b"label", b"size"), 'no table has a column "label"'),
        ("no-nulls:label", ROWS, None, None),
        ("rows:3-4", ROWS, ROWS + b"d,4\n", None),
        ("rows:-3", ROWS, ROWS + b"d,4\n", "4 rows; at most 3 may be there"),
        ("rows:2-", ROWS, b"file,label\na,1\n", "1 row; at least 2 must be there"),
        ("rows:2-", ROWS, None, "the table is gone; at least 2 must be there"),
    ],
)
def test_rules(rule: str, old: bytes | None, new: bytes | None, detail: str | None) -> None:
    files = [{} if data is None else {b"t.csv": data} for data in (old, new)]
    repository, dataset = guarded({**files[0], b"z": b""}, {**files[1], b"z": b""}, rule)
    outcome = merged(repository, dataset)
    if detail is None:
        assert (outcome.how, outcome.failures) == ("moved", [])
    else:
        assert outcome.how == "refused"
        assert [(f.check, f.path) for f in outcome.failures] == [(rule, b"t.csv")] * len(outcome.failures)
        assert detail in [failure.detail for failure in outcome.failures]


@pytest.mark.parametrize("rule", ["no-nulls:lable", "no-nulls:lable:*.jsonl", "no-nulls:label:*.jsonl"])
def test_a_column_that_no_table_has_is_refused(rule: str) -> None:
    files = {b"t.csv": ROWS, b"u.jsonl": b'{"x": 1}\n{"y": 2}\n'}
    repository, dataset = guarded(files, files)
    with pytest.raises(Invalid) as bad:
        protect(repository, dataset, "main", author=AUTHOR, require=[rule])
    assert bad.value.code == "bad_rule"
    assert f'no column "{rule.split(":")[1]}"' in bad.value.message
    for fine in ("no-nulls:label", "no-nulls:y", "no-nulls:y:*.jsonl", "no-nulls:z:*.tsv"):
        protect(repository, dataset, "main", author=AUTHOR, require=[fine])


def test_a_column_of_another_table_is_enough() -> None:
    other = {b"other.csv": b"size\nsmall\n"}
    repository, dataset = guarded({b"t.csv": ROWS, **other}, {b"t.csv": ROWS + b"d,\n", **other})
    protect(repository, dataset, "main", author=AUTHOR, require=["no-nulls:size"])
    assert merged(repository, dataset).how == "moved"


def test_tables_of_every_sort(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.table({"n": pa.array([1, 2], "int32")}), tmp_path / "old")
    pq.write_table(pa.table({"n": pa.array([1.5, None])}), tmp_path / "new")
    old = {b"a.jsonl": b'{"x": 1}\n', b"b.parquet": (tmp_path / "old").read_bytes()}
    new = {b"a.jsonl": b'{"x": 1, "y": 2}\n{"x": null}\n', b"b.parquet": (tmp_path / "new").read_bytes()}
    found = merged(*guarded(old, new, "schema", "no-nulls")).failures
    assert [(failure.path, failure.detail) for failure in found] == [
        (b"a.jsonl", 'the column "y" is new'),
        (b"a.jsonl", '1 row has nothing in "x", the first is row 2'),
        (b"a.jsonl", '1 row has nothing in "y", the first is row 2'),
        (b"b.parquet", 'the column "n" was int32 and is double'),
        (b"b.parquet", '1 row has nothing in "n", the first is row 2'),
    ]


def test_commands(tmp_path: Path) -> None:
    @contextmanager
    def folder(entries: Entries) -> Iterator[Path]:
        (tmp_path / "seen").write_bytes(b" ".join(entries.paths))
        yield tmp_path

    room = Room(folder, {"PATH": "/usr/bin:/bin", "WORD": "well"})
    for check, detail in [
        ("grep -q x seen", None),
        ('test "$WORD" = well && cat seen', None),
        ("cat nothing-here", "it ended with status 1"),
        ("kill -9 $$", "it was ended by signal 9"),
        ("no-such-program", "it cannot be started: No such file or directory"),
    ]:
        outcome = merged(*guarded({b"x": b"0"}, {b"x": b"1"}, checks=(check,)), room)
        assert [failure.detail for failure in outcome.failures] == ([detail] if detail else []), check
    many = merged(*guarded({b"x": b""}, {b"x": b"1"}, checks=("seq 100 | cat; false",)), room).failures
    assert many[0].output == tuple(str(number) for number in range(89, 101))
    alone = merged(*guarded({b"x": b"0"}, {b"x": b"1"}, checks=("true",)))
    assert alone.how == "refused"


def test_what_a_check_leaves_running_ends_with_it(tmp_path: Path) -> None:
    @contextmanager
    def folder(_: Entries) -> Iterator[Path]:
        yield tmp_path

    room = Room(folder, {"PATH": "/usr/bin:/bin"})
    check = "(sleep 1; touch late) & true"
    assert merged(*guarded({b"x": b"0"}, {b"x": b"1"}, checks=(check,)), room).how == "moved"
    import time

    time.sleep(1.5)
    assert not (tmp_path / "late").exists()


def test_two_who_protect_at_once_drop_nothing_of_each_other(monkeypatch: pytest.MonkeyPatch) -> None:
    repository, dataset = fresh()
    commit(repository, dataset, {b"x": b"0"})
    protect(repository, dataset, "main", author=AUTHOR, require=["schema"])
    swap, late = repository.blobs.swap, open_hub(repository.blobs, threads=1)

    def overtaken(key: str, before: bytes | None, to: bytes) -> None:
        monkeypatch.setattr(repository.blobs, "swap", swap)
        protect(late, dataset, "main", author=AUTHOR, require=["rows:1-"], checks=["true"])
        swap(key, before, to)

    monkeypatch.setattr(repository.blobs, "swap", overtaken)
    made = protect(repository, dataset, "main", author=AUTHOR, require=["no-nulls"])
    assert (made.now.require, made.now.checks) == (("schema", "rows:1-", "no-nulls"), ("true",))
    assert (made.added, made.dropped) == (("no-nulls",), ())
    made = protect(repository, dataset, "main", author=AUTHOR, require=["schema"])
    assert (made.now, made.added) == (made.was, ())
    made = protect(repository, dataset, "main", author=AUTHOR, require=["none", "schema"], checks=["none"])
    assert (made.now.require, made.now.checks) == (("schema",), ())
    assert made.dropped == ("rows:1-", "no-nulls", "true")


@pytest.mark.parametrize("kind", KINDS)
def test_whatever_write_goes_wrong_it_is_one_or_the_other(kind: str) -> None:
    at, reached = 0, True
    while reached:
        at += 1
        repository, dataset = guarded({b"t.csv": ROWS}, {b"t.csv": ROWS + b"d,4\n"}, "schema")
        before, plan = head(repository, dataset), Plan(at, kind)
        faulty = open_hub(FaultyBlobs(repository.blobs, plan), threads=1)
        with suppress(SystemFault, Killed):
            protect(faulty, dataset, "main", author=AUTHOR, require=["rows:3-"])
            merged(faulty, dataset)
        reached = len(plan.writes) >= at
        repository = open_hub(repository.blobs, threads=1)
        check_whole(repository, dataset)
        ref = repository.refs.find(dataset, "main")
        assert ref
        assert ref.protection
        assert ref.protection.require in (("schema",), ("schema", "rows:3-"))
        assert head(repository, dataset) in (before, head(repository, dataset, "side"))
        protect(repository, dataset, "main", author=AUTHOR, require=["rows:3-"])
        merged(repository, dataset)
        assert head(repository, dataset) == head(repository, dataset, "side")
    assert at > 2


def test_what_cannot_be_protected() -> None:
    repository, dataset = guarded({b"x": b"0"}, {b"x": b"1"})
    repository.set_ref(dataset, "t", "tag", head(repository, dataset), author=AUTHOR)
    with pytest.raises(Invalid) as tag:
        protect(repository, dataset, "t", author=AUTHOR)
    with pytest.raises(NotFound) as nowhere:
        protect(repository, dataset, "nowhere", author=AUTHOR)
    assert (tag.value.code, nowhere.value.code) == ("not_a_branch", "unknown_revision")
    for rule in ("", "schem", "rows", "rows:-", "rows:5-3", "rows:x-"):
        with pytest.raises(Invalid) as bad:
            protect(repository, dataset, "main", author=AUTHOR, require=[rule])
        assert bad.value.code == "bad_rule"
    assert parse_rule("rows:1-:a/*.csv").paths == "a/*.csv"
    ref = repository.refs.find(dataset, "main")
    assert ref is not None
    assert isinstance(ref.protection, Protection)
