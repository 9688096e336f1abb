"""Merging Parquet by rows: against the merge of the same rows as CSV, its laws, and what it keeps."""

import csv
import io
from collections.abc import Mapping
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kamld.errors import Invalid
from kamld.formats.tables import RowConflict, RowMerge, merge_rows
from kamld.formats.tables.merging import parquet as merging

Table = dict[str, dict[str, Any]]
CELL = st.sampled_from(["", "a", "b", 'say "hi"', "1,5", "two\nlines"])
NUMBER = st.sampled_from([0, 1, -1, 7])
ROW = st.fixed_dictionaries({"x": CELL, "y": CELL, "n": NUMBER})
FEW = settings(max_examples=25, deadline=None)
TABLES = st.dictionaries(st.sampled_from("abcdefg"), ROW, min_size=1, max_size=7)


def as_parquet(rows: Table, columns: tuple[str, ...] = ("x", "y", "n"), **settings: Any) -> bytes:
    made = {"id": list(rows)} | {name: [row.get(name) for row in rows.values()] for name in columns}
    types = [(name, pa.int64() if name == "n" else pa.string()) for name in made]
    out = io.BytesIO()
    pq.write_table(pa.table(made, schema=pa.schema(types)), out, **({"row_group_size": 3} | settings))
    return out.getvalue()


def from_parquet(data: bytes) -> Table:
    rows = pq.read_table(io.BytesIO(data)).to_pylist()
    return {row.pop("id"): row for row in rows}


def as_csv(rows: Table) -> bytes:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerows(
        [["id", "x", "y", "n"], *([key, row["x"], row["y"], row["n"]] for key, row in rows.items())]
    )
    return out.getvalue().encode()


def merged(*tables: bytes | None, suffix: str = ".parquet", **options: Any) -> tuple[RowMerge, bytes]:
    out = io.BytesIO()
    base, ours, theirs = (None if table is None else io.BytesIO(table) for table in tables)
    assert ours
    assert theirs
    done = merge_rows(base, ours, theirs, out, suffix=suffix, **options)
    return done, out.getvalue()


@FEW
@given(TABLES, TABLES, TABLES, st.sampled_from([None, "ours", "theirs"]))
def test_it_is_the_merge_of_the_same_rows_as_csv(base: Table, ours: Table, theirs: Table, side: Any) -> None:
    decide = (lambda _: side) if side else None
    key = {"key": ["id"], "decide": decide}
    done, data = merged(as_parquet(base), as_parquet(ours), as_parquet(theirs), **key)
    same, text = merged(as_csv(base), as_csv(ours), as_csv(theirs), suffix=".csv", **key)
    assert (done.rows, done.written) == (same.rows, same.written)
    assert sorted(map(_shape, done.conflicts)) == sorted(map(_shape, same.conflicts))
    if done.written:
        rows = [
            {name: str(value) for name, value in row.items()}
            for row in pq.read_table(io.BytesIO(data)).to_pylist()
        ]
        assert rows == list(csv.DictReader(io.StringIO(text.decode(), newline="")))


def _shape(conflict: RowConflict) -> tuple[Any, ...]:
    return conflict.label, conflict.kind, conflict.columns, str(conflict.ours), str(conflict.theirs)


@FEW
@given(TABLES, TABLES)
def test_laws(base: Table, changed: Table) -> None:
    old, new = as_parquet(base), as_parquet(changed)
    for tables in ((old, new, old), (old, old, new), (old, new, new), (new, new, new)):
        assert from_parquet(merged(*tables, key=["id"])[1]) == changed
    found = merge_rows(*map(io.BytesIO, (old, old, new)), None, suffix=".parquet", key=["id"])
    assert (found.rows, found.written) == (merged(old, old, new, key=["id"])[0].rows, False)


@FEW
@given(TABLES, st.sets(st.sampled_from("abcdefg")), ROW)
def test_disjoint_changes_commute(base: Table, mine: set[str], row: dict[str, Any]) -> None:
    ours = {key: row if key in mine else cells for key, cells in base.items()}
    theirs = {key: cells if key in mine else row for key, cells in base.items()}
    one = merged(as_parquet(base), as_parquet(ours), as_parquet(theirs), key=["id"])
    two = merged(as_parquet(base), as_parquet(theirs), as_parquet(ours), key=["id"])
    assert from_parquet(one[1]) == from_parquet(two[1]) == dict.fromkeys(base, row)


@FEW
@given(TABLES, TABLES, TABLES, st.booleans())
def test_a_column_that_one_side_added_comes_along(
    base: Table, ours: Table, theirs: Table, swap: bool
) -> None:
    wider = {key: {**row, "z": key} for key, row in theirs.items()}
    plain = [as_parquet(base), as_parquet(ours), as_parquet(theirs)]
    more = [plain[0], plain[1], as_parquet(wider, ("x", "y", "n", "z"))]
    if swap:
        plain[1:], more[1:] = plain[:0:-1], more[:0:-1]
    _, data = merged(*plain, key=["id"], decide=lambda _: "ours")
    second, wide = merged(*more, key=["id"], decide=lambda _: "ours")
    assert second.written
    with_z = from_parquet(wide)
    rows = from_parquet(data)
    assert {key: {n: v for n, v in row.items() if n != "z"} for key, row in with_z.items()} == rows
    assert {key: row["z"] for key, row in with_z.items() if row["z"] is not None} == {
        key: key for key in with_z if key in theirs
    }


def big(count: int = 5000, **changed: Any) -> Table:
    return {f"k{n:05}": {"x": f"v{n}", "y": "", "n": n} | changed.get(f"k{n:05}", {}) for n in range(count)}


def test_order_and_pieces_make_no_difference(monkeypatch: pytest.MonkeyPatch) -> None:
    base, ours = big(), big(k00007={"x": "ours"}, k04000={"n": 1})
    theirs = big(k00007={"y": "theirs"}, k03000={"n": 2})
    del theirs["k00100"]
    theirs |= {f"new{n}": {"x": "", "y": "", "n": n} for n in range(3000)}
    backwards = dict(reversed(theirs.items()))
    files = [as_parquet(rows, row_group_size=1000) for rows in (base, ours, theirs, backwards)]
    done, whole = merged(*files[:3])
    assert done.rows == 3003
    assert from_parquet(whole)["k00007"] == {"x": "ours", "y": "theirs", "n": 7}
    monkeypatch.setattr(merging, "_ROWS", 300)
    again, pieces = merged(*files[:3], budget=100_000)
    other, turned = merged(files[0], files[1], files[3])
    assert from_parquet(pieces) == from_parquet(turned) == from_parquet(whole)
    assert list(from_parquet(pieces)) == list(from_parquet(whole))
    assert (again.rows, other.rows) == (3003, 3003)


@pytest.mark.parametrize("codec", ["snappy", "zstd", "none"])
def test_it_is_written_as_ours_was(codec: str) -> None:
    settings = {"compression": codec, "use_dictionary": ["x"], "row_group_size": 700, "version": "2.4"}
    files = [as_parquet(big(2000, k00003=change), **settings) for change in ({}, {}, {"x": "new"})]
    data = merged(*files)[1]
    meta, old = (pq.ParquetFile(io.BytesIO(some)).metadata for some in (data, files[1]))
    assert [meta.row_group(n).num_rows for n in range(meta.num_row_groups)] == [700, 700, 600]
    for column in range(4):
        now, was = meta.row_group(0).column(column), old.row_group(0).column(column)
        assert (now.compression, now.has_dictionary_page) == (was.compression, was.has_dictionary_page)
    group = [some.row_group(1).column(1) for some in (meta, old)]
    start, length = (group[0].data_page_offset, group[0].total_compressed_size)
    kept = data[group[0].dictionary_page_offset or start :][:length]
    assert kept in files[1]  # row groups that nobody changed have the same bytes again


def test_types_nulls_and_categories() -> None:
    def table(**columns: Any) -> bytes:
        out = io.BytesIO()
        pq.write_table(pa.table({"id": ["a", "b", "c"]} | columns), out)
        return out.getvalue()

    nan = float("nan")
    base = table(f=[nan, 1.5, None], c=pa.array(["u", "v", "u"]).dictionary_encode(), l=[[1], None, [2, 3]])
    ours = table(f=[nan, 1.5, 2.5], c=pa.array(["u", "v", "w"]).dictionary_encode(), l=[[1], None, [2, 3]])
    theirs = table(f=[nan, None, None], c=pa.array(["u", "x", "u"]).dictionary_encode(), l=[[1], [9], [2, 3]])
    done, data = merged(base, ours, theirs)
    assert (done.key, done.conflict_count) == (("id",), 0)
    found = pq.read_table(io.BytesIO(data))
    assert found.schema == pq.read_table(io.BytesIO(ours)).schema
    assert str(found.column("f").to_pylist()) == "[nan, None, 2.5]"
    assert found.column("c").to_pylist() == ["u", "x", "w"]
    assert found.column("l").to_pylist() == [[1], [9], [2, 3]]
    wide = table(f=[1, 2, 3], n=pa.array([1, 2, 3], "int64"))
    narrow = table(f=[1, 2, 3], n=pa.array([1, 2, 4], "int32"))
    small = table(f=[1, 2, 3], n=pa.array([1, 2, 3], "int32"))
    found = pq.read_table(io.BytesIO(merged(small, narrow, wide)[1]))
    assert (str(found.schema.field("n").type), found.column("n").to_pylist()) == ("int64", [1, 2, 4])


def test_a_type_that_one_side_changed_is_no_change_of_rows() -> None:
    """One row deleted by each side, one changed by each."""

    def table(kind: str, rows: dict[str, int]) -> bytes:
        out = io.BytesIO()
        columns = {"id": list(rows), "n": pa.array(map(str, rows.values())).cast(kind)}
        pq.write_table(pa.table(columns), out)
        return out.getvalue()

    base = table("int64", {"a": 1, "b": 2, "c": 3, "d": 4})
    ours = table("int64", {"a": 1, "b": 7, "c": 3})
    theirs = table("string", {"b": 2, "c": 8, "d": 4, "e": 5})
    for one, other in ((ours, theirs), (theirs, ours)):
        done, data = merged(base, one, other, key=["id"])
        assert done.written, done.conflicts
        assert from_parquet(data) == {"b": {"n": "7"}, "c": {"n": "8"}, "e": {"n": "5"}}


@pytest.mark.parametrize(
    ("code", "tables"),
    [
        ("columns_conflict", [{"n": [1]}, {"n": [1.5]}, {"n": ["x"]}]),
        ("columns_conflict", [{"n": [1], "m": [1]}, {"n": [1], "m": [2]}, {"n": [1]}]),
        ("repeated_key", [{"id": ["a"], "n": [1]}, {"id": ["a", "a"], "n": [1, 2]}, {"n": [1]}]),
        ("empty_key", [{"id": ["a"]}, {"id": [None]}, {"id": ["a"]}]),
        ("columns_conflict", [None, {"n": [1]}, {"m": [1]}]),
    ],
)
def test_what_cannot_be_joined_is_refused(code: str, tables: list[Mapping[str, list[Any]] | None]) -> None:
    files: list[bytes | None] = []
    for columns in tables:
        out = io.BytesIO()
        if columns is not None:
            pq.write_table(pa.table({"id": ["a"]} | dict(columns)), out)
        files.append(None if columns is None else out.getvalue())
    with pytest.raises(Invalid) as caught:
        merged(*files, key=["id"])
    assert caught.value.code == code


def test_what_is_no_parquet_is_told() -> None:
    whole = as_parquet(big(10))
    for damaged, code in ((b"PAR1", "not_a_table"), (whole[:40] + bytes(40) + whole[80:], "damaged_table")):
        with pytest.raises(Invalid) as caught:
            merged(whole, damaged, as_parquet(big(11)))
        assert caught.value.code in (code, "not_a_table")


@FEW
@given(TABLES, TABLES)
def test_both_made_it(ours: Table, theirs: Table) -> None:
    done, data = merged(None, as_parquet(ours), as_parquet(theirs), key=["id"], decide=lambda _: "theirs")
    assert done.written
    assert from_parquet(data) == ours | theirs
    lines, text = merged(
        None, as_csv(ours), as_csv(theirs), key=["id"], decide=lambda _: "theirs", suffix=".csv"
    )
    assert lines.rows == done.rows
    assert list(csv.DictReader(io.StringIO(text.decode(), newline=""))) == [
        {"id": key} | {name: str(value) for name, value in row.items()}
        for key, row in (ours | theirs).items()
    ]


def test_lists_structs_maps_and_decimals_go_along() -> None:
    import decimal

    inner = pa.struct([("a", pa.int32()), ("b", pa.list_(pa.string()))])
    schema = pa.schema(
        [("id", pa.int64()), ("l", pa.list_(pa.int32())), ("s", inner), ("d", pa.decimal128(10, 2)),
         ("m", pa.map_(pa.string(), inner))]
    )  # fmt: skip

    def row(n: int, **cells: Any) -> dict[str, Any]:
        of = {"a": n, "b": ["x", None][: n % 3]}
        return {
            "id": n, "l": [n] * (n % 3) if n % 5 else None, "s": of if n % 4 else None,
            "d": decimal.Decimal(n) / 4 if n % 7 else None, "m": [("k", of)] * (n % 2),
        } | cells  # fmt: skip

    def file(rows: list[dict[str, Any]]) -> io.BytesIO:
        out = io.BytesIO()
        pq.write_table(pa.Table.from_pylist(rows, schema=schema), out, row_group_size=4)
        return io.BytesIO(out.getvalue())

    empty = {"s": {"a": None, "b": []}, "m": []}
    base = [row(n) for n in range(12)]
    ours = [row(n, l=[9]) if n == 6 else row(n) for n in range(12) if n != 3]
    theirs = [row(n, **empty) if n in (6, 8) else row(n) for n in range(11)] + [row(20, l=[None])]
    out = io.BytesIO()
    found = merge_rows(file(base), file(ours), file(theirs), out, suffix=".parquet")
    wanted = [row(n) for n in range(11) if n not in (3, 6, 8)]
    wanted += [row(6, l=[9], **empty), row(8, **empty), row(20, l=[None])]
    merged = pq.read_table(io.BytesIO(out.getvalue()))
    assert (found.conflict_count, merged.schema.field("m").type) == (0, schema.field("m").type)
    assert sorted(merged.to_pylist(), key=lambda one: int(one["id"])) == sorted(
        wanted, key=lambda one: int(one["id"])
    )
