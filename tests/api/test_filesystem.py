"""kamld:// as others use it."""

import pickle
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import duckdb
import fsspec
import pandas as pd
import polars as pl
import pyarrow.dataset
import pytest

import kamld
from kamld.api.filesystem import KamldFileSystem


@pytest.fixture
def fs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> KamldFileSystem:
    folder = tmp_path / "flowers"
    (folder / "parts").mkdir(parents=True)
    for n in range(3):
        frame = pd.DataFrame({"n": range(n * 50_000, (n + 1) * 50_000), "word": "w"})
        frame.to_parquet(folder / f"parts/{n}.parquet", row_group_size=20_000)
    (folder / "labels.csv").write_text("file,label\n1,rose\n")
    (folder / "link.csv").symlink_to("labels.csv")
    (folder / "away").symlink_to("/etc/passwd")
    monkeypatch.chdir(tmp_path)
    handle = kamld.dataset("vision/flowers")
    handle.commit(folder, "x")
    (folder / "labels.csv").write_text("file,label\n1,rose\n2,tulip\n")
    handle.commit(folder, "y")
    found = fsspec.filesystem("kamld", skip_instance_cache=True)
    assert isinstance(found, KamldFileSystem)
    return found


def test_looking(fs: KamldFileSystem) -> None:
    assert fs.ls("kamld://", detail=False) == ["vision"]
    assert fs.ls("vision", detail=False) == ["vision/flowers"]
    assert fs.ls("vision/flowers@main~1/parts", detail=False)[0] == "vision/flowers@main~1/parts/0.parquet"
    assert fs.info("kamld://vision/flowers/labels.csv")["size"] == 26
    assert fs.isdir("vision/flowers/parts")
    assert fs.glob("vision/flowers/*/[12].parquet") == [f"vision/flowers/parts/{n}.parquet" for n in (1, 2)]
    assert len(fs.find("vision/flowers")) == 6
    for lost in ("nowhere", "vision/lost", "vision/flowers/lost", "vision/flowers@lost/labels.csv",
                 "vision/flowers/away"):  # fmt: skip
        assert not fs.exists(lost)
        with pytest.raises(FileNotFoundError):
            fs.open(lost)
    with pytest.raises(PermissionError):
        fs.open("vision/flowers/new", "wb")


def test_reading(fs: KamldFileSystem) -> None:
    name, before = "kamld://vision/flowers/labels.csv", "kamld://vision/flowers@main~1/labels.csv"
    assert fs.cat(name) == b"file,label\n1,rose\n2,tulip\n"
    assert fs.cat_ranges([name, name, before], [0, -6, 5], [4, None, 9]) == [b"file", b"tulip\n", b"labe"]
    assert fs.cat("vision/flowers/link.csv") == fs.cat(name)
    with fsspec.open(name, "rt") as opened:
        assert opened.readlines()[2] == "2,tulip\n"
    assert pickle.loads(pickle.dumps(fs)).cat(before) == b"file,label\n1,rose\n"
    whole = fs.cat("vision/flowers/parts/0.parquet")
    with fs.open("vision/flowers/parts/0.parquet") as opened:
        assert opened.seek(-9, 2) == len(whole) - 9
        assert opened.read() == whole[-9:]
    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(fs.cat, ["vision/flowers/parts/0.parquet"] * 40)) == {whole}


def test_pandas_and_polars(fs: KamldFileSystem) -> None:
    assert pd.read_csv("kamld://vision/flowers@main~1/labels.csv").shape == (1, 2)
    assert pd.read_parquet("kamld://vision/flowers/parts/1.parquet", columns=["n"])["n"].max() == 99_999
    with fs.open("vision/flowers/parts/2.parquet") as opened:
        assert pl.read_parquet(opened)["n"].max() == 149_999


def test_pyarrow(fs: KamldFileSystem) -> None:
    data = pyarrow.dataset.dataset("vision/flowers/parts", filesystem=fs, format="parquet")
    assert data.to_table(filter=pyarrow.dataset.field("n") >= 140_000).num_rows == 10_000


def test_duckdb(fs: KamldFileSystem) -> None:
    with duckdb.connect() as database:
        database.register_filesystem(fs)
        for _ in range(5):
            found = database.sql("select count(*), sum(n) from 'kamld://vision/flowers/parts/*.parquet'")
            assert found.fetchall() == [(150_000, sum(range(150_000)))]
        assert database.sql("from 'kamld://vision/flowers/labels.csv' select label").fetchall() == [
            ("rose",), ("tulip",),
        ]  # fmt: skip
