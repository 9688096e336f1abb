"""What a table is as a whole, also where it is longer than what is read at once."""

import io
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

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


NUMBER = st.sampled_from([1.5, float("nan"), None])
KINDS: dict[Any, st.SearchStrategy[Any]] = {
    pa.float32(): NUMBER,
    pa.list_(pa.float64()): st.none() | st.lists(NUMBER, max_size=3),
    pa.large_list(pa.float64()): st.none() | st.lists(NUMBER, max_size=3),
    pa.list_(pa.float64(), 2): st.none() | st.lists(NUMBER, min_size=2, max_size=2),
    pa.struct({"a": pa.float64()}): st.none() | st.fixed_dictionaries({"a": NUMBER}),
    pa.list_(pa.struct({"a": pa.list_(pa.float64())})): st.lists(
        st.none() | st.fixed_dictionaries({"a": st.lists(NUMBER, max_size=2)}), max_size=2
    ),
    pa.map_(pa.string(), pa.float64()): st.lists(st.tuples(st.sampled_from("ab"), NUMBER), max_size=2),
}


def lacking(value: Any) -> bool:
    if isinstance(value, dict | list | tuple):
        return any(map(lacking, value.values() if isinstance(value, dict) else value))
    return value is None or value != value


@pytest.mark.parametrize("kind", KINDS, ids=str)
@given(st.data())
def test_nothing_is_found_however_deep_it_is(kind: pa.DataType, data: st.DataObject) -> None:
    values = data.draw(st.lists(KINDS[kind], min_size=1, max_size=8))
    out = io.BytesIO()
    pq.write_table(pa.table({"x": pa.array(values, kind)}), out, row_group_size=3)
    found = table_facts(out, ".parquet").gaps
    rows = [number for number, value in enumerate(values, 1) if lacking(value)]
    assert found == ({"x": Gap(len(rows), rows[0])} if rows else {})


def test_nothing_in_json_however_deep_it_is() -> None:
    lines = [b'{"x": "null NaN"}', b'{"x": [1, {"y": null}]}', b'{"x": {"null": 1}}', b'{"x": [null]}']
    assert table_facts(io.BytesIO(b"\n".join(lines)), ".jsonl").gaps == {"x": Gap(2, 2)}
