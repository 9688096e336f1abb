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
from kamld.store import Repository, Tree
from kamld.store.trees import FOLDER
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
    path: str | None, columns: list[str] | None = None, files: dict[bytes, bytes] | None = None
) -> Table:
    return table_of(some(path, files or written(ROWS)), path, columns)


@pytest.mark.parametrize("path", ["t.parquet", "t.arrow", "t.csv", "t.tsv", "t.jsonl"])
def test_every_format_gives_the_same_rows(path: str) -> None:
    assert table(path).arrow().equals(ROWS)
    assert table(path, ["word"]).arrow().equals(ROWS.select(["word"]))
    assert table(path).pandas()["n"].sum() == 4950
    assert table(path).polars()["word"].to_list()[-1] == "w99"
    assert sum(batch.num_rows for batch in table(path).batches()) == 100
    with pytest.raises(Invalid):
        table(path, ["lost"]).arrow()


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
