"""Rows of one table as examples."""

import io
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyarrow import csv, parquet

from kamld.blobs import MemoryBlobs
from kamld.errors import Invalid
from kamld.store import Repository, open_hub
from tests.splits.hubs import contents, cut, deliver, rule

cells = st.text(st.characters(codec="utf-8", exclude_characters="\0\r"), max_size=8)
tables = st.lists(st.tuples(st.integers(0, 99), cells), min_size=1, max_size=40)


@pytest.fixture
def repository() -> Repository:
    return open_hub(MemoryBlobs(), 1)


def houses(count: int, start: int = 0) -> bytes:
    rows = [f"{n},r{n % 4},street {n // 3},{n * 1000}" for n in range(start, start + count)]
    return "\n".join(["id,region,street,price", *rows, ""]).encode()


def lines(data: bytes) -> set[bytes]:
    return set(data.splitlines()[1:])


def test_a_dataset_that_is_one_table(repository: Repository) -> None:
    files = {"houses.csv": houses(200), "README.md": b"about"}
    result = cut(repository, deliver(repository, files), rule(0.25, by="region"))
    assert {part.part: part.examples for part in result.parts} == {"test": 50, "train": 150}
    train, test = contents(repository, "d-train"), contents(repository, "d-test")
    assert lines(train["houses.csv"]) | lines(test["houses.csv"]) == lines(files["houses.csv"])
    assert not lines(train["houses.csv"]) & lines(test["houses.csv"])
    assert train["houses.csv"].splitlines()[0] == b"id,region,street,price"
    assert train["README.md"] == b"about"
    regions = [line.split(b",")[1] for line in lines(test["houses.csv"])]
    assert {regions.count(b"r%d" % n) for n in range(4)} <= {12, 13}
    kept = repository.commit(result.parts[0].commit_id).split
    assert kept
    assert (kept.rows, kept.by) == ("houses.csv", "houses.csv:region")


def test_rows_keep_their_side_when_the_table_is_sorted_anew_and_grows(repository: Repository) -> None:
    cut(repository, deliver(repository, {"h.csv": houses(100)}), rule(by="region", group="street"))
    before = lines(contents(repository, "d-test")["h.csv"])
    head, *rest = houses(130).splitlines()
    grown = b"\n".join([head, *rest[::-1]])  # and without a line end at the end
    cut(repository, deliver(repository, {"h.csv": grown}), rule(by="region", group="street"))
    after = {name: lines(contents(repository, name)["h.csv"]) for name in ("d-train", "d-test")}
    assert before <= after["d-test"]
    assert after["d-train"] | after["d-test"] == set(rest)
    streets = [{line.split(b",")[2] for line in found} for found in after.values()]
    assert not streets[0] & streets[1]


def test_a_changed_row_keeps_the_side_of_its_group(repository: Repository) -> None:
    cut(repository, deliver(repository, {"h.csv": houses(60)}), rule(0.5, group="id", by="region"))
    before = {line.split(b",")[0] for line in lines(contents(repository, "d-test")["h.csv"])}
    changed = houses(60).replace(b"000\n", b"999\n").replace(b"r1", b"r9")  # every price, and a region
    cut(repository, deliver(repository, {"h.csv": changed}), rule(0.5, group="id", by="region"))
    assert {line.split(b",")[0] for line in lines(contents(repository, "d-test")["h.csv"])} == before


@given(tables, st.integers(0, 5))
def test_every_row_is_in_one_part_as_it_was(rows: list[tuple[int, str]], seed: int) -> None:
    """Whatever is in its cells: quotes, delimiters, line ends."""
    written = io.BytesIO()
    table = pa.table({"n": [n for n, _ in rows], "text": [text for _, text in rows]})
    csv.write_csv(table, written)
    repository = open_hub(MemoryBlobs(), 1)
    cut(repository, deliver(repository, {"t.csv": written.getvalue()}), rule(0.4, seed))
    found = []
    for name in ("d-train", "d-test"):
        options = csv.ParseOptions(newlines_in_values=True)
        types = csv.ConvertOptions(column_types={"n": pa.int64(), "text": pa.string()})
        part = csv.read_csv(
            io.BytesIO(contents(repository, name)["t.csv"]), parse_options=options, convert_options=types
        )
        found.append({(row["n"], row["text"]) for row in part.to_pylist()})
    assert found[0] | found[1] == set(rows)
    assert not found[0] & found[1]


def test_json_lines(repository: Repository) -> None:
    rows = [{"n": n, "who": f"w{n // 2}"} for n in range(60)]
    data = b"".join(json.dumps(row).encode() + b"\n" for row in rows)
    cut(repository, deliver(repository, {"t.jsonl": data}), rule(0.5, group="who"))
    parts = [contents(repository, name)["t.jsonl"].splitlines() for name in ("d-train", "d-test")]
    assert sorted([*parts[0], *parts[1]]) == sorted(data.splitlines())
    who = [{json.loads(line)["who"] for line in part} for part in parts]
    assert not who[0] & who[1]


def test_parquet(repository: Repository, tmp_path: Path) -> None:
    table = pa.table(
        {
            "n": list(range(500)),
            "tags": [[str(n)] for n in range(500)],
            "k": ["ab"[n % 2] for n in range(500)],
        }
    )
    parquet.write_table(table, tmp_path / "t.parquet", compression="zstd", row_group_size=100)
    files = {"t.parquet": (tmp_path / "t.parquet").read_bytes()}
    result = cut(repository, deliver(repository, files), rule(0.3, by="k"))
    assert {part.part: part.examples for part in result.parts} == {"test": 150, "train": 350}
    parts = [contents(repository, name)["t.parquet"] for name in ("d-train", "d-test")]
    read = [parquet.read_table(io.BytesIO(part)) for part in parts]
    assert read[0].schema.equals(table.schema)
    assert sorted(read[0]["n"].to_pylist() + read[1]["n"].to_pylist()) == list(range(500))
    assert parquet.ParquetFile(io.BytesIO(parts[0])).metadata.row_group(0).column(0).compression == "ZSTD"


def test_a_view_of_rows(repository: Repository) -> None:
    result = cut(
        repository, deliver(repository, {"h.csv": houses(50)}), rule(None, where="price >= 40000"), "dear"
    )
    assert lines(contents(repository, "dear")["h.csv"]) == set(houses(50).splitlines()[41:])
    assert [part.examples for part in result.parts] == [10]


def test_the_rows_of_a_named_table(repository: Repository) -> None:
    files = {"a.csv": houses(20), "b.csv": houses(20), "x.png": b"x"}
    cut(repository, deliver(repository, files), rule(0.5, rows="b.csv"))
    train = contents(repository, "d-train")
    assert (train["a.csv"], train["x.png"]) == (files["a.csv"], b"x")
    assert len(lines(train["b.csv"])) == 10


@pytest.mark.parametrize(
    ("table", "more", "code"),
    [
        (b"a,b\n1,2\n", {"by": "folder"}, "bad_column"),
        (b"a,b\n1,2\n", {"where": "a > 5"}, "nothing_to_split"),
        (b"a,b\n", {}, "nothing_to_split"),
        (b"a,b\n1,2\n", {"by": "c"}, "unknown_column"),
        (b"a,b\n1,2\n", {"table": "x.csv", "where": "a > 1"}, "bad_column"),
        (b"", {}, "bad_table"),
        (b"a,b\n1,2,3\n", {"by": "a"}, "bad_table"),
    ],
)
def test_what_cannot_be_asked(repository: Repository, table: bytes, more: dict[str, Any], code: str) -> None:
    with pytest.raises(Invalid) as caught:
        cut(repository, deliver(repository, {"t.csv": table}), rule(**more))
    assert caught.value.code == code
