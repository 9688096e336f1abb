"""Where the rows of CSV and TSV begin and end, what is a header, and what has no one meaning."""

import csv
import io
from functools import partial
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kamld.errors import Invalid
from kamld.formats.columns import read_columns, row_blocks
from kamld.formats.table_facts import table_facts
from kamld.formats.tables import compare_tables, delimited, merge_rows
from kamld.formats.tables.digests import Hasher
from kamld.formats.tables.lines import read_blocks

CELL = st.sampled_from(["a", "b", "12", 'say "hi"', "1,5", "two\nlines", "ü"])
ROWS = st.lists(st.tuples(CELL, CELL), max_size=4)
SIZES = st.integers(4, 80)


def written(rows: list[tuple[str, str]], newline: str = "\n", *, closed: bool = True) -> bytes:
    out = io.StringIO()
    csv.writer(out, lineterminator=newline).writerows([("id", "value"), *rows])
    text = out.getvalue()
    return (text if closed else text.removesuffix(newline)).encode()


def opened(data: bytes) -> delimited.Delimited:
    return delimited.open_delimited(io.BytesIO(data), ".csv")


def rows_of(data: bytes) -> list[bytes]:
    found: list[bytes] = []
    for rows in opened(data).rows(Hasher(), []):
        pairs = zip(rows.starts.tolist(), rows.ends.tolist(), strict=True)
        found += [data[start:end] for start, end in pairs]
    return found


def merged(base: bytes, ours: bytes, theirs: bytes, **options: Any) -> tuple[int, bytes]:
    out = io.BytesIO()
    files = [io.BytesIO(data) for data in (base, ours, theirs)]
    found = merge_rows(files[0], files[1], files[2], out, suffix=".csv", **options)
    return found.conflict_count, out.getvalue()


def in_small_blocks(patch: pytest.MonkeyPatch, size: int) -> None:
    def blocks(file: Any, offset: int, quote: int | None, **_: int) -> Any:
        return read_blocks(file, offset, quote, size=size)

    patch.setattr(delimited, "read_blocks", blocks)
    patch.setattr(delimited, "_HEAD", size)


@given(
    ROWS, SIZES, st.sampled_from(["\n", "\r\n"]), st.booleans(), st.booleans(),
    st.sampled_from([b"", b"\n\n"]),
)  # fmt: skip
def test_every_row_is_there_wherever_blocks_end(
    rows: list[tuple[str, str]], size: int, newline: str, closed: bool, bom: bool, blank: bytes
) -> None:
    data = b"\xef\xbb\xbf" * bom + blank + written(rows, newline, closed=closed)
    with pytest.MonkeyPatch.context() as patch:
        in_small_blocks(patch, size)
        table, found = opened(data), rows_of(data)
    assert table.columns == ("id", "value")
    assert [tuple(next(csv.reader(io.StringIO(row.decode(), newline="")))) for row in found] == rows
    assert data.startswith(table.head)
    assert table.newline == newline.encode() or not (rows or closed)
    assert not rows or data[len(table.head) :].startswith(found[0])


@given(
    st.dictionaries(st.sampled_from("abc"), CELL, max_size=3), st.dictionaries(st.sampled_from("abc"), CELL),
    SIZES, st.booleans(), st.booleans(),
)  # fmt: skip
def test_nothing_that_one_side_changed_is_lost(
    before: dict[str, str], after: dict[str, str], size: int, closed: bool, closed_after: bool
) -> None:
    base = written(list(before.items()), closed=closed)
    changed = written(list(after.items()), closed=closed_after)
    with pytest.MonkeyPatch.context() as patch:
        in_small_blocks(patch, size)
        assert merged(base, changed, base, key=["id"]) == (0, changed)
        conflicts, theirs = merged(base, base, changed, key=["id"])
        diff = compare_tables(io.BytesIO(base), io.BytesIO(changed), suffix=".csv", key=["id"])
    read = dict(list(csv.reader(io.StringIO(theirs.decode(), newline="")))[1:])
    assert (conflicts, read) == (0, after)
    assert bool(diff.added or diff.removed or diff.changed) == (before != after)
    assert (diff.old_rows, diff.new_rows) == (len(before), len(after))


def test_a_row_that_both_changed_is_a_conflict_though_it_is_the_only_one() -> None:
    base, ours, theirs = (b"metric,value\nacc,0.%d" % n for n in (91, 95, 50))
    assert merged(base, ours, theirs)[0] == 1


UNSOUND = [
    b'1,"a\\"b"\n2,"x"\n', b'1,5" disk\n', b'1,5" disk\n2,7" disk\n3,"x"', b'1,"a"b"c"\n', b'1,"x"y"\n2,z\n',
    b'1,"a""b"\n2,"\n',
]  # fmt: skip


@pytest.mark.parametrize("rows", UNSOUND)
@pytest.mark.parametrize("before", [b"", b'0,"a ""word"" b"\n'])
def test_quotes_without_one_meaning_are_refused_in_every_row(rows: bytes, before: bytes) -> None:
    data = b"id,v\n" + before + rows
    number = 1 + bool(before) + rows.startswith(b'1,"a""b"')
    ways: list[Any] = [
        partial(compare_tables, io.BytesIO(data), io.BytesIO(data), suffix=".csv"),
        partial(merged, data, data, data),
        partial(table_facts, io.BytesIO(data), ".csv"),
        lambda: list(row_blocks(io.BytesIO(data), ".csv")[1]),
    ]
    for way in ways:
        with pytest.raises(Invalid) as caught:
            way()
        assert caught.value.message == f"Row {number} has a quote in the middle of a cell."


def test_a_quote_in_the_middle_of_a_name_is_refused() -> None:
    with pytest.raises(Invalid) as caught:
        opened(b'id,5" disk\n1,2\n')
    assert caught.value.message == "The first line has a quote in the middle of a cell."


def test_a_first_row_that_is_longer_than_what_is_read_at_first() -> None:
    base = b'id,text\n1,"' + b"word\n" * 100_000 + b'"'
    assert merged(base, base + b"\n2,x", base + b"\n3,y") == (0, base + b"\n2,x\n3,y")


def test_which_row_has_other_cells_is_told() -> None:
    for data, said in (
        (b"a,b\n1,2\n3\n", "Row 2 has 1 cell, the first line 2."),
        (b"a,b\n1,2,3\n", "Row 1 has 3 cells, the first line 2."),
    ):
        with pytest.raises(Invalid) as caught:
            merged(data, data, data)
        assert caught.value.message == said


@pytest.mark.parametrize("blank", [b"", b"\n"])
def test_a_table_of_one_column(blank: bytes) -> None:
    base = b"name\nann\n" + blank + b"bob\n"
    assert merged(base, base + b"cy\n", base.replace(b"ann", b"dee")) == (0, b"name\nbob\ncy\ndee\n")
    found = compare_tables(io.BytesIO(base), io.BytesIO(base + b"cy\n"), suffix=".csv")
    assert (found.key, found.added, found.removed) == (("name",), 1, 0)


# What is a header


@pytest.mark.parametrize(
    ("line", "columns"),
    [
        (b"country,2019,2020", ("country", "2019", "2020")),
        (b"id,,v", ("id", "", "v")),
        (b",a,b", ("", "a", "b")),
        (b"a,a,a.1", ("a", "a.2", "a.1")),
        (b"1,2.5,-3e4", ("1", "2", "3")),
        (b'"1","x"', ("1", "x")),
        ("größe,x".encode(), ("größe", "x")),
        ("größe,x".encode("latin-1"), ("größe", "x")),
    ],
)
def test_the_first_line_is_the_header_unless_it_is_all_numbers(line: bytes, columns: tuple[str, ...]) -> None:
    data = line + b"\n" + b",".join([b"7"] * len(columns)) + b"\n"
    rows = 2 if columns == ("1", "2", "3") else 1
    assert opened(data).columns == columns
    assert len(rows_of(data)) == rows
    table = read_columns(io.BytesIO(data), ".csv", text=True)
    assert (tuple(table.column_names), table.num_rows) == (columns, rows)
    facts = table_facts(io.BytesIO(data), ".csv")
    assert (tuple(facts.columns), facts.rows) == (columns, rows)


@pytest.mark.parametrize("end", [b"", b"\n", b"\n\n"])
def test_a_table_without_rows_has_its_columns(end: bytes) -> None:
    assert read_columns(io.BytesIO(b"a,b" + end), ".csv").to_pydict() == {"a": [], "b": []}


@given(st.integers(0, 3), st.sampled_from([b"2019", b"", b"x"]))
def test_values_stay_below_their_names(place: int, name: bytes) -> None:
    """A column that one side put in, a row that the other added."""
    base = [[b"country", b"" if name else b"y", b"2020"], [b"FR", b"1", b"2"]]
    ours = [[*row[:place], cell, *row[place:]] for row, cell in zip(base, (name or b"n", b"0"), strict=True)]
    theirs = [*base, [b"UK", b"9", b"8"]]
    conflicts, data = merged(*(b"\n".join(map(b",".join, rows)) for rows in (base, ours, theirs)))
    found = list(csv.DictReader(io.StringIO(data.decode())))[-1]
    assert conflicts == 0
    wanted = dict(zip((cell.decode() for cell in base[0]), ("UK", "9", "8"), strict=True))
    assert found == {**wanted, (name or b"n").decode(): ""}


@pytest.mark.parametrize(
    ("code", "tables"),
    [
        ("columns_conflict", [b"1,2\n3,4\n", b"1,9\n3,4\n", b"1,2\n3,5\n"]),
        ("columns_conflict", [b"1,2\n3,4\n", b"1,2,9\n3,4,9\n", b"1,2\n3,5\n"]),
        ("columns_conflict", [b"1,2\n3,4\n", b"k,v\n1,2\n3,4\n", b"1,2\n3,5\n"]),
        ("columns_conflict", [b"k,v,v\na,1,2\n", b"k,v,v,v\na,0,1,2\n", b"k,v,v\na,1,2\nb,3,4\n"]),
        ("columns_conflict", [b"k,v\na,1\n", b"k,w\na,1\n", b"k,v\na,1\nb,2\n"]),
        ("columns_conflict", [b"k,v\na,1\n", b"k,v\na,1\nb,2\n", b"k,w\na,1\n"]),
        ("mixed_encodings", [b"k,v\na,\xfc\n", b"k,v\na,\xfc\nb,1\n", b"k,v\na,\xc3\xbc\nc,1\n"]),
        ("mixed_encodings", [b"k,v\na,1\n", b"k,v\na,\xfc\n", b"k,v\na,1\nb,\xc3\xbc\n"]),
    ],
)
def test_what_would_land_elsewhere_is_not_joined(code: str, tables: list[bytes]) -> None:
    with pytest.raises(Invalid) as caught:
        merged(*tables)
    assert caught.value.code == code


@pytest.mark.parametrize(
    ("tables", "wanted"),
    [
        ([b"1,2\n3,4\n", b"1,2\n3,9\n", b"1,2\n3,4\n5,6\n"], b"1,2\n3,9\n5,6\n"),
        ([b"k,v,v\na,1,2\n", b"k,v,v\na,1,3\n", b"k,v,v\na,0,2\n"], b"k,v,v\na,0,3\n"),
        ([b"k,v\na,\xfc\n", b"k,v\na,\xfc\nb,1\n", b"k,v\na,\xe4\n"], b"k,v\na,\xe4\nb,1\n"),
        ([b"k,v\na,1\n", b"k,w\na,1\n", b"k,v\na,1\n"], b"k,w\na,1\n"),
        (["k,¿".encode(), "k,¿".encode(), "k,¿\na,1\n".encode()], "k,¿\na,1".encode()),
    ],
)
def test_what_is_clear_is_joined(tables: list[bytes], wanted: bytes) -> None:
    assert merged(*tables) == (0, wanted)


def test_what_is_no_utf_8_is_shown_legibly() -> None:
    old, new = b"name,n\nM\xfcller,1\nB\x80,2\n", b"name,n\nM\xfcller,2\nB\x80,2\n"
    (change,) = compare_tables(io.BytesIO(old), io.BytesIO(new), suffix=".csv").sample
    assert change.key == ("Müller",)
    (change,) = compare_tables(io.BytesIO(old), io.BytesIO(b"name,n\nM\xfcller,1\n"), suffix=".csv").sample
    assert change.cells == {"name": ("B€", None), "n": ("2", None)}
    theirs = old.replace(b"1", b"3")
    found = merge_rows(io.BytesIO(old), io.BytesIO(new), io.BytesIO(theirs), None, suffix=".csv")
    assert [conflict.label for conflict in found.conflicts] == ["Müller"]
