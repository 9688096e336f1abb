"""Merging tables by rows against a plain model: dicts of rows by their key."""

import csv
import io
import json
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kamld.errors import Invalid
from kamld.formats.tables import RowConflict, RowMerge, merge_rows
from kamld.formats.tables.merging import lines as merging

Table = dict[str, dict[str, str]]
CELL = st.sampled_from(["", "a", "b", 'say "hi"', "1,5", "two\nlines"])
TABLES = st.dictionaries(
    st.sampled_from("abcdefg"), st.fixed_dictionaries({"x": CELL, "y": CELL}), min_size=1, max_size=7
)


def as_csv(table: Table) -> bytes:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerows([["id", "x", "y"], *([k, row["x"], row["y"]] for k, row in table.items())])
    return out.getvalue().encode()


def from_csv(data: bytes) -> Table:
    rows = csv.DictReader(io.StringIO(data.decode(), newline=""))
    return {row["id"]: {"x": row["x"], "y": row["y"]} for row in rows}


def as_jsonl(table: Table) -> bytes:
    return b"".join(json.dumps({"id": k, **row}).encode() + b"\n" for k, row in table.items())


def from_jsonl(data: bytes) -> Table:
    rows = [json.loads(line) for line in data.splitlines()]
    return {row.pop("id"): row for row in rows}


def merged(*tables: bytes, suffix: str = ".csv", **options: Any) -> tuple[RowMerge, bytes]:
    out = io.BytesIO()
    base, ours, theirs = map(io.BytesIO, tables)
    done = merge_rows(base, ours, theirs, out, suffix=suffix, **options)
    return done, out.getvalue()


def model(base: Table, ours: Table, theirs: Table) -> tuple[Table, set[str]]:
    """The rows without a conflict, and the keys of those with one."""
    result: Table = {}
    conflicts = set()
    for key in {**ours, **theirs, **base}:
        was, mine, other = base.get(key), ours.get(key), theirs.get(key)
        if mine is None or other is None:
            present = mine or other
            if present is not None and was is None:
                result[key] = present
            elif present is not None and present != was:
                conflicts.add(key)
            continue
        row = {}
        for name in ("x", "y"):
            before = was[name] if was else None
            if mine[name] in (other[name], before):
                row[name] = other[name]
            elif other[name] == before:
                row[name] = mine[name]
            else:
                conflicts.add(key)
        result[key] = row
    return result, conflicts


@pytest.mark.parametrize("suffix", [".csv", ".jsonl"])
@given(base=TABLES, ours=TABLES, theirs=TABLES)
def test_it_does_what_the_model_does(suffix: str, base: Table, ours: Table, theirs: Table) -> None:
    write, read = (as_csv, from_csv) if suffix == ".csv" else (as_jsonl, from_jsonl)
    done, data = merged(write(base), write(ours), write(theirs), suffix=suffix, key=["id"])
    wanted, conflicts = model(base, ours, theirs)
    assert {conflict.label for conflict in done.conflicts} == conflicts
    assert done.written == (not conflicts)
    if not conflicts:
        assert read(data) == wanted
        added = [key for key in theirs if key not in ours and key not in base]
        assert list(read(data)) == [key for key in ours if key in wanted] + added


@given(TABLES, TABLES)
def test_one_side_alone_is_that_side(base: Table, changed: Table) -> None:
    old, new = as_csv(base), as_csv(changed)
    assert merged(old, new, old, key=["id"])[1] == new
    assert from_csv(merged(old, old, new, key=["id"])[1]) == changed
    assert merged(old, new, new, key=["id"])[1] == new


@given(TABLES, TABLES, TABLES)
def test_who_decides_for_theirs_gets_their_cells(base: Table, ours: Table, theirs: Table) -> None:
    seen: list[RowConflict] = []

    def decide(conflict: RowConflict) -> str:
        seen.append(conflict)
        return "theirs"

    done, data = merged(as_csv(base), as_csv(ours), as_csv(theirs), key=["id"], decide=decide)
    rows = from_csv(data)
    assert done.written
    for conflict in seen:
        if conflict.label not in theirs:
            assert conflict.label not in rows
            continue
        for name in conflict.columns:
            assert rows[conflict.label][name] == theirs[conflict.label][name]


class OneByOne:
    """In the place of what settles rows in bulk: it settles none."""

    def __init__(self, *_: object) -> None: ...

    def __bool__(self) -> bool:
        return False


@given(TABLES, TABLES, TABLES, st.randoms(use_true_random=False), st.sampled_from(["none", "ours", "theirs"]))
def test_in_bulk_it_is_what_it_is_row_by_row(
    base: Table, ours: Table, theirs: Table, random: Random, wider: str
) -> None:
    """Also with other columns on one side, in another order of rows and in tiny pieces."""
    wide = {"ours": ours, "theirs": theirs}.get(wider, {})
    rows = list(theirs.items())
    random.shuffle(rows)
    tables = [as_csv(base), as_csv(ours), as_csv(dict(rows))]
    if wide:
        lines = [b"id,z,x,y\n", *(
            line.replace(b",", b',"z, %d",' % n, 1)
            for n, line in enumerate(csv_rows(tables[1 if wider == "ours" else 2]))
        )]  # fmt: skip
        tables[1 if wider == "ours" else 2] = b"".join(lines)
    found = []
    for cells, at_once in ((merging.Cells, 1 << 15), (merging.Cells, 2), (OneByOne, 1 << 15)):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(merging, "Cells", cells)
            patch.setattr(merging, "_ROWS", at_once)
            done, data = merged(*tables, key=["id"], decide=lambda c: random_side(c.label))
        found.append((done.rows, done.conflict_count, data))
    assert found[0] == found[1] == found[2]


def csv_rows(data: bytes) -> list[bytes]:
    """Each with its line end, which may not be its only one."""
    rows = csv.reader(io.StringIO(data.decode(), newline=""))
    return [as_csv_row(row) for row in rows][1:]


def as_csv_row(row: list[str]) -> bytes:
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerow(row)
    return out.getvalue().encode()


def random_side(label: str) -> str | None:
    return {"a": "ours", "b": "theirs"}.get(label)


def test_many_rows_that_both_changed() -> None:
    """More than is joined at once, long and short ones, one side in another order."""
    count = 40_000
    words = [f"{n:x}" * (300 if n % 1000 == 0 else 1) for n in range(count)]
    base = {f"k{n}": {"x": "", "y": words[n]} for n in range(count)}
    ours = {key: {"x": "ours", "y": row["y"]} for key, row in base.items() if key != "k77"}
    theirs = {key: {"x": "", "y": "theirs"} for key in reversed(base) if key != "k88"}
    del base["k5"]
    done, data = merged(as_csv(base), as_csv(ours), as_csv(theirs))
    assert [conflict.label for conflict in done.conflicts] == ["k5", "k88", "k77"]
    done, data = merged(as_csv(base), as_csv(ours), as_csv(theirs), decide=lambda _: "ours")
    rows = from_csv(data)
    assert list(rows) == list(ours)
    assert rows.pop("k5") == {"x": "ours", "y": words[5]}
    assert rows.pop("k88") == ours["k88"]
    assert all(row == {"x": "ours", "y": "theirs"} for row in rows.values())
    assert done.rows == count - 3


@pytest.mark.parametrize("suffix", [".csv", ".jsonl"])
def test_many_conflicts_are_counted_and_the_first_are_kept(suffix: str) -> None:
    write = as_csv if suffix == ".csv" else as_jsonl
    tables = [write({f"k{n}": {"x": x, "y": ""} for n in range(40_000)}) for x in ("", "a", "b")]
    done, _ = merged(*tables, suffix=suffix)
    assert (done.conflict_count, len(done.conflicts), done.written) == (40_000, 1000, False)
    assert [conflict.label for conflict in done.conflicts[:3]] == ["k0", "k1", "k2"]


def test_a_small_budget_gives_the_same() -> None:
    base = b"id,x\n" + b"".join(b"%d,%d\n" % (n, n) for n in range(30_000))
    ours, theirs = base.replace(b"\n7,7\n", b"\n7,8\n"), base.replace(b"\n9,9\n", b"\n") + b"n,1\n"
    assert merged(base, ours, theirs, budget=100_000)[1] == merged(base, ours, theirs)[1]
    assert merged(base, ours, theirs)[1] == ours.replace(b"\n9,9\n", b"\n") + b"n,1\n"


def test_what_nobody_touched_stays_byte_for_byte() -> None:
    base = b'\xef\xbb\xbfid;x\r\n1;"a"\r\n\r\n2;b \r\n3;"c;""d"'
    theirs = base.replace(b"2;b ", b"2;bb")
    assert merged(base, base, theirs)[1] == theirs
    assert merged(base, base + b"\r\n4;e", theirs)[1] == theirs + b"\r\n4;e"


@pytest.mark.parametrize(
    ("code", "tables", "options"),
    [
        ("no_row_key", [b"x\n1\n1\n"] * 3, {}),
        ("unknown_column", [b"x\na\n"] * 3, {"key": ["z"]}),
        ("repeated_key", [b"x,y\na,1\na,2\n"] * 3, {"key": ["x"]}),
        ("empty_key", [b"x,y\n,1\na,2\n"] * 3, {"key": ["x"]}),
        ("damaged_table", [b"x,y\na,1\nb\n"] * 3, {"key": ["x"]}),
        ("not_a_table", [b"\0\1"] * 3, {}),
        ("not_a_table", [b""] * 3, {}),
        ("columns_conflict", [b"k,x,y\na,1,2\n", b"k,x,y\na,9,2\n", b"k,y\na,2\n"], {}),
        ("columns_conflict", [b"k;x;y\na;1;2\n", b"k,x,y\na,9,2\n", b"k,y\na,2\n"], {}),
    ],
)
def test_what_cannot_be_joined_by_rows_is_refused(
    code: str, tables: list[bytes], options: dict[str, Any]
) -> None:
    with pytest.raises(Invalid) as caught:
        merged(*tables, **options)
    assert caught.value.code == code
