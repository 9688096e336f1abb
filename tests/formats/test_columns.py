"""Columns of table files, whatever their format, and where their rows lie."""

import io

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from kamld.errors import Invalid
from kamld.formats.columns import Spans, has_lines, read_columns, row_blocks, table_suffix


def parquet_file(table: pa.Table) -> io.BytesIO:
    file = io.BytesIO()
    parquet.write_table(table, file)
    return file


@pytest.mark.parametrize(
    ("suffix", "data"),
    [
        (".csv", b"n,s\n1,a\n2,b\n"),
        (".csv", b"\xef\xbb\xbfn;s\r\n1;a\r\n2;b"),
        (".tsv", b"n\ts\n1\ta\n2\tb\n"),
        (".jsonl", b'{"n": 1, "s": "a"}\n{"n": 2, "s": "b"}\n'),
        (".parquet", parquet_file(pa.table({"n": [1, 2], "s": ["a", "b"]})).getvalue()),
    ],
)
def test_every_format(suffix: str, data: bytes) -> None:
    assert read_columns(io.BytesIO(data), suffix).to_pydict() == {"n": [1, 2], "s": ["a", "b"]}
    assert read_columns(io.BytesIO(data), suffix, ["s"]).to_pydict() == {"s": ["a", "b"]}
    assert read_columns(io.BytesIO(data), suffix, ["n"], text=True).to_pydict() == {"n": ["1", "2"]}
    with pytest.raises(Invalid) as caught:
        read_columns(io.BytesIO(data), suffix, ["nn"])
    assert (caught.value.code, caught.value.hint) == ("unknown_column", 'Did you mean "n"? It has n, s.')


def test_text_is_as_it_is_written() -> None:
    table = read_columns(io.BytesIO(b"id,x\n007,1.50\n010,\n"), ".csv", text=True)
    assert table.to_pydict() == {"id": ["007", "010"], "x": ["1.50", ""]}


def test_a_column_that_is_of_another_type_further_down() -> None:
    rows = b"n\n" + b"1\n" * 5_000_000 + b"none\n"  # beyond what types are inferred from
    table = read_columns(io.BytesIO(rows), ".csv")
    assert table.column("n")[-1].as_py() == "none"


def test_lists_as_text() -> None:
    file = parquet_file(pa.table({"tags": [["a"], None]}))
    assert read_columns(file, ".parquet", text=True).to_pydict() == {"tags": ["['a']", None]}


@pytest.mark.parametrize(
    ("suffix", "data"),
    [(".csv", b""), (".csv", b"a,b\n1,2,3\n"), (".jsonl", b"{"), (".parquet", b"no"), (".csv", b"a\0b\n1\n")],
)
def test_what_is_no_table(suffix: str, data: bytes) -> None:
    with pytest.raises(Invalid) as caught:
        read_columns(io.BytesIO(data), suffix)
    assert caught.value.code == "bad_table"


def test_suffixes() -> None:
    assert [table_suffix(name) for name in ("a/B.CSV", "x.tar.jsonl", "a.csv/b", "csv")] == [
        ".csv",
        ".jsonl",
        "",
        "",
    ]
    assert [has_lines(suffix) for suffix in (".csv", ".ndjson", ".parquet")] == [True, True, False]


def test_runs_of_rows() -> None:
    data = b'a,b\n1,x\n2,"y\nz"\n\n3,w'
    head, blocks = row_blocks(io.BytesIO(data), ".csv")
    starts = np.concatenate([block.starts + block.offset for block in blocks])
    spans = Spans(head, starts, len(data))

    def kept(*rows: bool) -> bytes:
        return b"".join(data[start:end] for start, end in spans.runs(np.array(rows)).tolist())

    assert kept(True, True, True) == data
    assert kept(False, True, False) == b'a,b\n2,"y\nz"\n\n'
    assert kept(True, False, True) == b"a,b\n1,x\n3,w"
    assert kept(False, False, False) == b"a,b\n"
