"""What SQL may do here is compute. Each of these would reach something else, and none does."""

from pathlib import Path

import pyarrow as pa
import pytest

from kamld.errors import Invalid
from kamld.sql import Limits, beside, rows_where, select, table_of
from kamld.sql.conditions import check_condition

DATA = pa.table(
    {"path": ["a/1.png", "roses/2.png", None], "size": [1, 20_000, 7], "odd name": ["x", None, "y"]}
)
SECRET = "in the file"


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    place = tmp_path / "secret.csv"
    place.write_text(f"a\n{SECRET}\n")
    return place


@pytest.mark.parametrize(
    "words",
    [
        "SELECT * FROM '{0}'",
        "SELECT * FROM read_csv('{0}')",
        "SELECT * FROM read_text('{0}')",
        "SELECT * FROM read_blob('{0}')",
        "SELECT * FROM read_parquet('{0}')",
        "SELECT * FROM read_json('{0}')",
        "SELECT * FROM sniff_csv('{0}')",
        "SELECT * FROM glob('{1}/*')",
        "SELECT * FROM query('SELECT * FROM read_text(''{0}'')')",
        "SELECT * FROM read_csv('http://127.0.0.1:9/x.csv')",
        "SELECT getenv('HOME')",
        "SELECT * FROM DATA2",  # a variable of this module
        "COPY data TO '{1}/out.csv'",
        "COPY data FROM '{0}'",
        "EXPORT DATABASE '{1}/out'",
        "IMPORT DATABASE '{1}'",
        "ATTACH '{1}/out.db'",
        "INSTALL httpfs",
        "LOAD httpfs",
        "SET enable_external_access = true",
        "SET memory_limit = '100GB'",
        "RESET enable_external_access",
        "PRAGMA enable_profiling",
        "PRAGMA database_list",
        "CREATE TABLE t AS SELECT 1",
        "CREATE SECRET s (TYPE s3, KEY_ID 'a', SECRET 'b')",
        "DROP TABLE data",
        "INSERT INTO data VALUES ('b', 1, 'c')",
        "CALL pragma_database_size()",
        "CHECKPOINT",
        "SELECT 1; SELECT 2",
        "SELECT 1; COPY data TO '{1}/out.csv'",
        "EXPLAIN ANALYZE SELECT 1",
        "",
    ],
)
def test_what_is_refused(words: str, secret: Path) -> None:
    before = sorted(secret.parent.iterdir())
    with pytest.raises(Invalid) as caught:
        select(words.format(secret, secret.parent), {"data": DATA})
    assert caught.value.code == "bad_sql"
    assert SECRET not in str(caught.value)
    assert sorted(secret.parent.iterdir()) == before


def test_a_setting_cannot_be_changed_from_within() -> None:
    settings = select(
        "SELECT name, value FROM duckdb_settings() WHERE name IN"
        " ('enable_external_access', 'lock_configuration', 'python_enable_replacements')",
        {},
    )
    assert dict(zip(*settings.to_pydict().values(), strict=True)) == {
        "enable_external_access": "false",
        "lock_configuration": "true",
        "python_enable_replacements": "false",
    }


DATA2 = DATA


def test_a_question() -> None:
    answer = select("SELECT sum(size) AS total, count(path) AS paths FROM data", {"data": DATA})
    assert answer.to_pylist() == [{"total": 20_008, "paths": 2}]


def test_it_is_stopped_when_it_takes_too_long() -> None:
    forever = "SELECT count(*) FROM range(10000000) a, range(10000000) b WHERE a.range * b.range = -1"
    with pytest.raises(Invalid) as caught:
        select(forever, {}, Limits(seconds=0.2))
    assert caught.value.code == "sql_too_slow"


def test_it_is_refused_when_it_needs_too_much() -> None:
    large = "SELECT list(range) FROM range(50000000)"
    with pytest.raises(Invalid) as caught:
        select(large, {}, Limits(memory_mb=50))
    assert caught.value.code == "sql_too_large"


@pytest.mark.parametrize(
    ("condition", "rows"),
    [
        ("size > 5", [1, 2]),
        ("size > 5 AND path LIKE 'roses/%'", [1]),
        ("path IS NULL", [2]),
        ("\"odd name\" = 'x'", [0]),
        ("size > (SELECT avg(size) FROM data)", [1]),
        ("size > 5 -- and a remark", [1, 2]),
        ("false", []),
    ],
)
def test_rows_where(condition: str, rows: list[int]) -> None:
    assert rows_where(DATA, condition).tolist() == rows


@pytest.mark.parametrize(
    "condition",
    ["", " ", "1; SELECT 1", "1) UNION SELECT (2", "1) ORDER BY (1", "1) GROUP BY (1", "1) LIMIT (1",
     "true); DROP TABLE data; SELECT (1", "sum(size) > 3", "size >", "true) QUALIFY (true",
     "1=1) OR (1=0", "size > 1) AND (size < 3"],
)  # fmt: skip
def test_what_is_no_condition(condition: str) -> None:
    with pytest.raises(Invalid) as caught:
        rows_where(DATA, condition)
    assert caught.value.code == "bad_sql"


@pytest.mark.parametrize(
    "condition",
    ["random() > 0.5", "size > 1 AND RANDOM() < size", "uuid() > path", "path > (SELECT uuid())",
     "size IN (SELECT size FROM data USING SAMPLE 1)", "now() > '2020-01-01'", "current_date > '2020-01-01'",
     "today() > '2020-01-01'", "list_filter([size], x -> x > random()) = []",
     "localtimestamp > '2020-01-01'"],
)  # fmt: skip
def test_what_is_another_answer_each_time(condition: str) -> None:
    with pytest.raises(Invalid, match="is not the same each time"):
        rows_where(DATA, condition)
    dated = pa.table({"current_date": [1, 2]})
    assert rows_where(dated, '"current_date" > 1').tolist() == [1]


def test_a_mistake_is_shown_where_it_was_made() -> None:
    with pytest.raises(Invalid) as caught:
        rows_where(DATA, "size > 1\n  AND sise < 3")
    assert caught.value.message.splitlines()[1:] == ["    AND sise < 3", "        ^"]
    assert caught.value.hint == 'Columns: path, size, "odd name".'
    with pytest.raises(Invalid) as caught:
        check_condition("size > > 3")
    assert caught.value.message.splitlines()[1:] == ["  size > > 3", "         ^"]
    with pytest.raises(Invalid, match=r"missing at the end of: size > 1 AND$"):
        check_condition("size > 1 AND")


def test_beside() -> None:
    left = table_of({"path": ["a", "b", "c"], "size": [1, 2, 3]})
    right = table_of({"label": ["x", "y", "z", "w"], "size": [10, 20, 30, 40]})
    joined, rows = beside(left, right, pa.array([1, -1, 0, 1]).to_numpy())
    found = sorted(zip(rows.tolist(), map(tuple, (row.values() for row in joined.to_pylist())), strict=True))
    assert found == [
        (0, ("z", 30, "a", 1)), (1, ("w", 40, "b", 2)), (1, ("x", 10, "b", 2)), (2, (None, None, "c", 3)),
    ]  # fmt: skip
    assert joined.column_names == ["label", "size", "path", "file_size"]
