"""What differs between two tables, against a plain model: dicts of rows by their key."""

import csv
import io
import json
from collections import Counter
from contextlib import suppress
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kamld.errors import Invalid
from kamld.formats.tables import TableDiff, compare_tables

Table = dict[str, dict[str, str]]
CELL = st.sampled_from(["", "a", "b", 'say "hi"', "1,5", "two\nlines"])
TABLES = st.dictionaries(
    st.sampled_from("abcdefg"), st.fixed_dictionaries({"x": CELL, "y": CELL}), min_size=1, max_size=7
)


def as_csv(table: Table, quoting: Any = csv.QUOTE_MINIMAL) -> bytes:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n", quoting=quoting)
    writer.writerows([["id", "x", "y"], *([k, row["x"], row["y"]] for k, row in table.items())])
    return out.getvalue().encode()


def as_jsonl(table: Table) -> bytes:
    return b"".join(json.dumps({"id": k, **row}).encode() + b"\n" for k, row in table.items())


def as_parquet(table: Table) -> bytes:
    return parquet([{"id": k, **row} for k, row in table.items()])


def parquet(rows: list[dict[str, Any]], **options: Any) -> bytes:
    out = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows), out, **options)
    return out.getvalue()


WRITERS = {".csv": as_csv, ".jsonl": as_jsonl, ".parquet": as_parquet}


def compared(old: bytes, new: bytes, suffix: str = ".csv", **options: Any) -> TableDiff:
    return compare_tables(io.BytesIO(old), io.BytesIO(new), suffix=suffix, **options)


@pytest.mark.parametrize("suffix", WRITERS)
@given(old=TABLES, new=TABLES)
def test_it_counts_what_the_model_counts(suffix: str, old: Table, new: Table) -> None:
    found = compared(WRITERS[suffix](old), WRITERS[suffix](new), suffix, key=["id"])
    changed = {key for key in old if key in new and old[key] != new[key]}
    assert (found.old_rows, found.new_rows) == (len(old), len(new))
    assert (found.added, found.removed) == (len(new.keys() - old.keys()), len(old.keys() - new.keys()))
    assert found.changed == len(changed)
    shown = {change.key[0]: change.cells for change in found.sample if change.sort == "changed"}
    assert set(shown) == changed
    for key, cells in shown.items():
        assert set(cells) == {name for name in "xy" if old[key][name] != new[key][name]}
    alone = {(change.sort, change.key[0]) for change in found.sample if change.sort != "changed"}
    assert alone == {("added", k) for k in new if k not in old} | {
        ("removed", k) for k in old if k not in new
    }


@given(TABLES)
def test_other_quotes_are_no_change(table: Table) -> None:
    found = compared(as_csv(table), as_csv(table, csv.QUOTE_ALL), key=["id"])
    assert (found.added, found.removed, found.changed) == (0, 0, 0)


def test_many_rows_are_compared_by_digests() -> None:
    old = b"id,x\n" + b"".join(b"%d,%d\n" % (n, n) for n in range(60_000))
    new = b"id,x\n" + b"".join(b'%d,"%d"\n' % (n, n + (n % 2)) for n in range(60_000))
    for options in ({}, {"budget": 100_000}):
        found = compared(old, new, sample=5, **options)
        assert (found.key, found.changed, found.by_column) == (("id",), 30_000, None)
        assert [dict(change.cells) for change in found.sample][:1] == [{"x": ("1", "2")}]
        assert len(found.sample) == 5


def test_a_new_column_is_told_once_and_not_for_every_row() -> None:
    found = compared(b"id,x\na,1\nb,2\n", b"id,y,x\na,9,1\nb,9,3\n", key=["id"])
    assert (found.columns_added, found.columns_removed, found.changed) == (("y",), (), 1)
    assert found.by_column == {"x": 1}


def test_columns_that_moved_change_no_row() -> None:
    found = compared(b"id,x,y\na,1,2\n", b"id,y,x\na,2,1\n", key=["id"])
    assert (found.columns_moved, found.changed) == (True, 0)


def test_parquet_says_which_types_changed_and_nulls_differ_from_nothing() -> None:
    old = parquet([{"id": n, "x": n, "s": None} for n in range(10)], row_group_size=3)
    new = parquet([{"id": n, "x": n or 7, "s": None if n < 5 else "t"} for n in range(10)])
    found = compared(old, new, ".parquet")
    assert (found.key, found.changed, found.by_column) == (("id",), 6, {"x": 1, "s": 5})
    assert found.retyped == {"s": ("null", "string")}


def test_without_a_key_equal_rows_are_counted() -> None:
    found = compared(b"x,y\na,1\na,1\nb,2\nb,2\n", b"x,y\na,1\nb,2\nb,2\nb,2\nc,3\n")
    assert (found.key, found.added, found.removed, found.changed) == ((), 2, 1, 0)


@pytest.mark.parametrize(
    ("code", "data", "suffix", "key"),
    [
        ("unknown_column", b"x\na\n", ".csv", ["z"]),
        ("repeated_key", b"x,y\na,1\na,2\n", ".csv", ["x"]),
        ("damaged_table", b"x,y\na,1\nb\n", ".csv", ["x"]),
        ("not_a_table", b"\0\1", ".csv", None),
        ("damaged_table", b'{"x": 1}\n{\n', ".jsonl", ["x"]),
        ("not_a_table", b"PAR1nothing", ".parquet", None),
    ],
)
def test_what_is_no_table_is_refused(code: str, data: bytes, suffix: str, key: list[str] | None) -> None:
    with pytest.raises(Invalid) as caught:
        compared(data, data, suffix, key=key)
    assert caught.value.code == code


def test_a_damaged_parquet_file_raises_and_does_nothing_worse() -> None:
    whole = bytearray(parquet([{"id": n, "x": str(n)} for n in range(1000)]))
    for at in range(4, len(whole), 101):
        damaged = bytes(whole[:at]) + bytes([whole[at] ^ 0xFF]) + bytes(whole[at + 1 :])
        with suppress(Invalid):
            compared(bytes(whole), damaged, ".parquet")


ROWS = st.lists(st.tuples(st.sampled_from("ab"), st.sampled_from("xyz")), min_size=1, max_size=12)


@pytest.mark.parametrize("budget", [1, 256 * 1024 * 1024])
@given(old=ROWS, new=ROWS)
def test_without_a_key_the_rows_in_excess_are_shown(
    budget: int, old: list[tuple[str, str]], new: list[tuple[str, str]]
) -> None:
    one, two = (sorted(rows * 2) for rows in (old, new))  # twice, so that nothing is a key
    before, now = (
        "".join(f"{line}\n" for line in ("p,q", *map(",".join, rows))).encode() for rows in (one, two)
    )
    found = compared(before, now, sample=100, budget=budget)
    assert found.key == ()
    shown: dict[str, Counter[tuple[str | None, ...]]] = {"removed": Counter(), "added": Counter()}
    for row in found.sample:
        side = 0 if row.sort == "removed" else 1
        assert all(pair[1 - side] is None for pair in row.cells.values())
        shown[row.sort][tuple(pair[side] for pair in row.cells.values())] += 1
    assert shown == {"removed": Counter(one) - Counter(two), "added": Counter(two) - Counter(one)}
    assert (found.removed, found.added) == tuple(some.total() for some in shown.values())
