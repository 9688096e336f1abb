"""Files, tables and streams of a version, from a small hub in memory."""

import io
import json
from collections.abc import Sequence
from itertools import islice

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyarrow import ipc, parquet

from kamld.errors import Invalid, KamldError, NotFound
from kamld.reading import Example, Files, Reader, Table, files_of, table_of
from kamld.reading.folders import Folders
from kamld.records.globs import Glob
from kamld.records.kinds import FOLDER
from kamld.store import Repository, Tree
from tests.store.hubs import commit, fresh

FILES = {f"{folder}/{n:03}".encode(): b"%d" % n * (n % 50) for folder in ("a", "b/c") for n in range(60)}


def version(files: dict[bytes, bytes]) -> tuple[Repository, Tree]:
    repository, dataset = fresh()
    return repository, repository.tree(commit(repository, dataset, files).commit)


def some(pattern: str | None = None, files: dict[bytes, bytes] | None = None) -> Files:
    repository, tree = version(FILES if files is None else files)
    return files_of(repository.objects, tree, pattern, "flowers@main")


@pytest.fixture(scope="module")
def stored() -> Files:
    return some()


# --- patterns and folders


@pytest.mark.parametrize(
    ("pattern", "matching", "other"),
    [
        ("roses/*.png", ["roses/1.png"], ["roses/x/1.png", "roses/1.jpg", "roses"]),
        ("**/*.csv", ["a.csv", "x/a.csv", "x/y/a.csv"], ["a.csvx"]),
        ("roses", ["roses", "roses/1.png", "roses/x/y"], ["roses2/1.png"]),
        ("a?[0-9].txt", ["ab1.txt"], ["a/1.txt", "abx.txt"]),
        ("a[!b]c", ["axc"], ["abc", "a/c"]),
        ("a+(b).txt", ["a+(b).txt"], ["aab.txt"]),
    ],
)
def test_patterns(pattern: str, matching: list[str], other: list[str]) -> None:
    glob = Glob(pattern)
    assert [path for path in matching + other if glob.matches(path)] == matching
    assert all(path.startswith(glob.folder) for path in matching)
    assert all(glob.may_be_in(path.rpartition("/")[0]) for path in matching if "/" in path)


NAMES = st.sampled_from([b"a", b"b", b"a-", b"a.b", b"a0"])
PATHS = st.lists(NAMES, min_size=1, max_size=3).map(b"/".join)


@given(st.sets(PATHS, max_size=12))
def test_folders_are_what_the_paths_say(paths: set[bytes]) -> None:
    kept = {p for p in paths if not any(other.startswith(p + b"/") for other in paths)}
    repository, tree = version({path: path for path in kept})
    folders = Folders(repository.objects, tree)
    above = {b"/".join(p.split(b"/")[:n]) for p in kept for n in range(p.count(b"/") + 1)} | {b""}
    for folder in above:
        prefix = folder + b"/" if folder else b""
        expected = {prefix + p[len(prefix) :].split(b"/")[0] for p in kept if p.startswith(prefix)}
        assert [row.path for row in folders.children(folder)] == sorted(
            expected, key=lambda path: path + b"/" if path in above else path
        )
        assert (found := folders.find(folder)) is not None
        assert found.kind == FOLDER
    assert all((found := folders.find(p)) and found.path == p and found.kind != FOLDER for p in kept)
    assert folders.find(b"nowhere") is None


def test_files(stored: Files) -> None:
    assert len(stored) == 120
    assert stored.paths == sorted(path.decode() for path in FILES)
    assert stored[-1].read() == FILES[b"b/c/059"]
    assert [file.path for file in stored[2:4]] == ["a/002", "a/003"]
    with stored[7].open() as opened:
        opened.seek(3)
        assert opened.read() == FILES[b"a/007"][3:]
    assert some("b/*/00?").paths == [f"b/c/00{n}" for n in range(10)]
    assert len(some("b")) == 60


# --- streams


@given(
    st.one_of(st.none(), st.integers(0, 99)), st.integers(1, 4), st.integers(1, 3000), st.integers(0, 80),
    st.integers(1, 2),
)  # fmt: skip
def test_resumed_anywhere_it_goes_on(
    stored: Files, seed: int | None, of: int, budget: int, stop: int, epochs: int
) -> None:
    def reader(resume: object = None) -> Reader:
        state = json.loads(json.dumps(resume)) if resume else None
        return Reader(stored, shuffle=seed, shard=(0, of), resume=state, epochs=epochs, budget=budget)

    whole = list(reader())
    assert [e.data for e in whole] == [FILES[e.path.encode()] for e in whole]
    assert len(whole) == epochs * len(reader())
    broken = reader()
    first = list(islice(broken, stop))
    state = broken.state()
    broken.close()
    assert first + list(reader(state)) == whole


def test_epochs_differ_and_shards_share(stored: Files) -> None:
    def paths(**options: object) -> list[str]:
        return [example.path for example in Reader(stored, **options)]  # type: ignore[arg-type]

    assert paths() == stored.paths
    assert paths(shuffle=1) != paths(shuffle=1, epoch=1)
    assert paths(shuffle=1, epochs=2) == paths(shuffle=1) + paths(shuffle=1, epoch=1)
    parts: Sequence[list[str]] = [paths(shuffle=1, shard=(i, 7)) for i in range(7)]
    assert sorted(path for part in parts for path in part) == stored.paths
    assert list(Reader(some(files={}), epochs=None)) == []
    endless = Reader(stored, epochs=None)
    assert len(list(islice(endless, 250))) == 250
    endless.close()


def test_a_state_of_something_else_is_refused(stored: Files) -> None:
    state = Reader(stored, shuffle=1).state()
    for files, options, code in (
        (some("a"), {"shuffle": 1}, "other_examples"),
        (stored, {"shuffle": 2}, "other_order"),
        (stored, {"shuffle": 1, "shard": (0, 2)}, "other_order"),
    ):
        with pytest.raises(KamldError) as caught:
            Reader(files, resume=state, **options)
        assert caught.value.code == code
    with pytest.raises(Invalid, match="no state"):
        Reader(stored, resume={"epoch": 1})
    for seed in ("x", 1.5, [1]):
        with pytest.raises(Invalid, match="is no seed: it is a whole number"):
            Reader(stored, shuffle=seed)  # type: ignore[arg-type]
    with pytest.raises(Invalid, match="no part 2 of 2"):
        Reader(stored, shard=(2, 2))


def test_examples_can_be_unpacked(stored: Files) -> None:
    path, data = next(iter(Reader(stored)))
    assert Example(path, data) == ("a/000", b"")


# --- tables

ROWS = pa.table({"n": list(range(100)), "word": [f"w{n}" for n in range(100)]})


def written(table: pa.Table) -> dict[bytes, bytes]:
    from pyarrow import csv

    parquet_file, arrow_file, csv_file = io.BytesIO(), io.BytesIO(), io.BytesIO()
    parquet.write_table(table, parquet_file, row_group_size=30)
    with ipc.new_file(arrow_file, table.schema) as writer:
        writer.write_table(table)
    csv.write_csv(table, csv_file)
    lines = "".join(json.dumps(row) + "\n" for row in table.to_pylist())
    return {
        b"t.parquet": parquet_file.getvalue(), b"t.arrow": arrow_file.getvalue(),
        b"t.csv": csv_file.getvalue(), b"t.tsv": csv_file.getvalue().replace(b",", b"\t"),
        b"t.jsonl": lines.encode(),
    }  # fmt: skip


def table(
    path: str | None, columns: str | list[str] | None = None, files: dict[bytes, bytes] | None = None
) -> Table:
    return table_of(some(path, files or written(ROWS)), path, columns)


@pytest.mark.parametrize("path", ["t.parquet", "t.arrow", "t.csv", "t.tsv", "t.jsonl"])
def test_every_format_gives_the_same_rows(path: str) -> None:
    assert table(path).arrow().equals(ROWS)
    assert table(path, ["word"]).arrow().equals(ROWS.select(["word"]))
    assert table(path).pandas()["n"].sum() == 4950
    assert table(path).polars()["word"].to_list()[-1] == "w99"
    assert sum(batch.num_rows for batch in table(path).batches()) == 100
    assert table(path, "word").schema().names == table(path, "word").arrow().column_names == ["word"]
    with pytest.raises(Invalid, match='has no column "lost"') as at_once:
        table(path, ["n", "lost"])
    assert (at_once.value.code, at_once.value.hint) == ("unknown_column", "It has n, word.")


def test_a_later_file_may_lack_columns_that_were_asked_for() -> None:
    for end, one, two in (
        ("csv", b"a,b,c\n1,2,3\n", b"a,c\n4,5\n"),
        ("jsonl", b'{"a":1,"b":2,"c":3}\n', b'{"a":4,"c":5}\n'),
    ):
        parts = {f"p/1.{end}".encode(): one, f"p/2.{end}".encode(): two}
        assert table(f"p/*.{end}", ["b", "a"], parts).arrow().to_pylist() == [
            {"b": 2, "a": 1}, {"b": None, "a": 4},
        ]  # fmt: skip
        with pytest.raises(Invalid, match=rf'p/2\.{end} has no column "b"'):
            table(f"p/*.{end}", ["b"], parts).arrow()


def test_cells_are_told_apart_as_everywhere_else() -> None:
    said = [{"id": 1, "v": "a"}, {"id": 2, "v": "b"}]
    for data in (b"id;v\n1;a\n2;b\n", b"id\tv\n1\ta\n2\tb\n", b"\xef\xbb\xbfid|v\r\n1|a\r\n2|b\r\n"):
        read = table("t.csv", files={b"t.csv": data})
        assert read.schema().names == ["id", "v"]
        assert read.arrow().to_pylist() == said
    assert table("t.csv", files={b"t.csv": b"a,b\n"}).arrow().column_names == ["a", "b"]
    latin = {b"t.csv": "n;größe\n1;süß\n2;100 €\n".encode("cp1252")}
    assert table("t.csv", files=latin).arrow().to_pylist() == [
        {"n": 1, "größe": "süß"}, {"n": 2, "größe": "100 €"},
    ]  # fmt: skip
    assert table("t.csv", ["größe"], latin).schema().field("größe").type == pa.string()
    later = {b"t.csv": b"n,w\n" + b"1,abcdefghij\n" * 200_000 + b"2,\xfc\n"}
    assert table("t.csv", files=later).arrow()["w"][-1].as_py() == "ü"


def test_types_hold_for_all_rows() -> None:
    """Also of the last, far behind what types are inferred from."""
    many = 120_000
    cells = b"a,b,c,d\n" + b",1,true,2020-01-01\n" * many + b"x,1.5,7,soon\n"
    found = table("t.csv", files={b"t.csv": cells})
    assert found.arrow().slice(many).to_pylist() == [{"a": "x", "b": 1.5, "c": "7", "d": "soon"}]
    assert found.arrow()["d"][0].as_py() == "2020-01-01"
    assert {str(batch.schema) for batch in found.batches()} == {str(found.arrow().schema)}
    assert max(batch.num_rows for batch in found.batches()) <= 65_536
    line = b'{"a": null, "b": 1, "c": 2, "e": {"f": 1}, "pad": "' + b"-" * 20 + b'"}\n'
    last = b'{"a": "x", "b": 1.5, "c": "seven", "d": [1], "e": {"f": "one"}}\n'
    lines = {b"t.jsonl": line * many + last}
    rows = table("t.jsonl", files=lines).arrow()
    assert rows.slice(many).to_pylist() == [
        {"a": "x", "b": 1.5, "c": "seven", "e": '{"f": "one"}', "pad": None, "d": [1]}
    ]
    assert rows.slice(0, 1).to_pylist() == [
        {"a": None, "b": 1.0, "c": "2", "e": '{"f": 1}', "pad": "-" * 20, "d": None}
    ]
    assert table("t.jsonl", ["d"], lines).arrow().slice(many).to_pylist() == [{"d": [1]}]
    beside = {b"t.jsonl": b'{"a": 1}\n{"a": "x"}\n{"a": {"b": 1}}\n'}
    assert table("t.jsonl", files=beside).arrow()["a"].to_pylist() == ["1", "x", '{"b": 1}']
    parts = {b"p/1.csv": b"a,b\n1,2\n", b"p/2.csv": b"a,b\nx,2.5\n"}
    assert table("p/*.csv", files=parts).arrow().to_pylist() == [{"a": "1", "b": 2.0}, {"a": "x", "b": 2.5}]


def test_streams_of_arrow() -> None:
    """Which is what Hugging Face's save_to_disk writes under the name of a file."""
    out = io.BytesIO()
    with ipc.new_stream(out, ROWS.schema) as writer:
        writer.write_table(ROWS, max_chunksize=30)
    files = {b"data.arrow": out.getvalue()}
    assert table("data.arrow", files=files).arrow().equals(ROWS)
    assert table("data.arrow", ["word"], files).arrow().equals(ROWS.select(["word"]))
    assert table("data.arrow", files=files).schema() == ROWS.schema
    with pytest.raises(Invalid, match="cannot be read as a table"):
        table("data.arrow", files={b"data.arrow": out.getvalue()[:-900]}).arrow()


def test_folders_that_are_columns() -> None:
    parts = {
        f"p/k={k}/day={day}/x.{end}".encode(): written(pa.table({"n": [k * 10]}))[b"t." + end.encode()]
        for k, day in ((0, "mon%20day"), (1, "__HIVE_DEFAULT_PARTITION__")) for end in ("csv", "parquet")
    }  # fmt: skip
    said = [{"n": 0, "k": 0, "day": "mon day"}, {"n": 10, "k": 1, "day": None}]
    for end in ("csv", "parquet"):
        found = table(f"p/**/*.{end}", files=parts)
        assert found.arrow().to_pylist() == said
        assert found.schema().names == ["n", "k", "day"]
        assert table(f"p/**/*.{end}", ["k"], parts).arrow().to_pylist() == [{"k": 0}, {"k": 1}]
        assert table(f"p/**/*.{end}", ["k", "n"], parts).arrow().column_names == ["k", "n"]
    own = {b"n=3/t.csv": b"n\n1\n", b"n=x/t.csv": b"n\n2\n"}
    assert table("**/*.csv", files=own).arrow().to_pylist() == [{"n": 1}, {"n": 2}]


def test_which_table() -> None:
    with pytest.raises(Invalid, match="5 tables"):
        table(None)
    with pytest.raises(NotFound, match="no table"):
        table(None, files={b"a.png": b""})
    parts = {b"p/1.csv": b"a,b\n1,2\n", b"p/2.csv": b"a,c\n3,x\n", b"o.jsonl": b"{}"}
    assert table("p/*.csv", files=parts).arrow().to_pylist() == [
        {"a": 1, "b": 2, "c": None}, {"a": 3, "b": None, "c": "x"},
    ]  # fmt: skip
    with pytest.raises(Invalid, match="cannot be read as a table"):
        table("bad.parquet", files={b"bad.parquet": b"nothing"}).arrow()
