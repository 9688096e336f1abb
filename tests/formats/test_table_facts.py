"""What a table is as a whole, also where it is longer than what is read at once."""

import io

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from kamld.errors import Invalid
from kamld.formats.table_facts import Gap, table_facts

COUNT = 400_000


def csv() -> bytes:
    lines = [b"%d,word,word" % n for n in range(COUNT)]
    lines[7] = b'7,"",word'
    lines[COUNT - 2] = b"%d,,\xc3\xa4" % (COUNT - 2)
    return b"\n".join([b"id,x,y", *lines, b""])


def jsonl() -> bytes:
    lines = [b'{"id": %d, "x": "word", "y": ""}' % n for n in range(COUNT)]
    lines[7], lines[COUNT - 2] = b'{"id": 7, "y": 1}', b'{"id": 1, "x": null, "y": {}}'
    return b"\n".join([*lines, b""])


def parquet() -> bytes:
    out = io.BytesIO()
    x = [None if n in (7, COUNT - 2) else "word" for n in range(COUNT)]
    pq.write_table(pa.table({"id": range(COUNT), "x": x, "y": ["" for _ in x]}), out, row_group_size=100_000)
    return out.getvalue()


@pytest.mark.parametrize(
    ("suffix", "data", "types"),
    [(".CSV", csv, ("", "", "")), (".jsonl", jsonl, ("", "", "")),
     (".parquet", parquet, ("int64", "string", "string"))],
)  # fmt: skip
def test_it_is_counted(suffix: str, data: object, types: tuple[str, ...]) -> None:
    assert callable(data)
    facts = table_facts(io.BytesIO(data()), suffix)
    assert facts.rows == COUNT
    assert dict(facts.columns) == dict(zip(("id", "x", "y"), types, strict=True))
    assert facts.gaps == {"x": Gap(2, 8)}


def test_a_column_that_came_late_is_lacking_before() -> None:
    facts = table_facts(io.BytesIO(b'{"a": 1}\n{"a": 2, "b": null}\n{"b": 3}\n'), ".jsonl")
    assert facts.gaps == {"a": Gap(1, 3), "b": Gap(2, 1)}


@pytest.mark.parametrize(
    ("suffix", "data"), [(".csv", b"\0"), (".jsonl", b"no"), (".parquet", b"PAR1"), (".csv", b"a,b\n1\n")]
)
def test_what_is_none_is_told(suffix: str, data: bytes) -> None:
    with pytest.raises(Invalid):
        table_facts(io.BytesIO(data), suffix)
