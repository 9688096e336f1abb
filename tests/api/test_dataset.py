"""Handles: the verbs of the command line from Python."""

import subprocess
import sys
from pathlib import Path

import pytest

import kamld
from kamld.api.shown import Listing
from kamld.api.version import Version
from kamld.errors import KamldError


@pytest.fixture
def flowers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "flowers"
    for name in ("roses/1.txt", "roses/2.txt", "tulips/1.txt"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)
    (folder / "labels.csv").write_text("file,label\nroses/1.txt,rose\n")
    monkeypatch.chdir(tmp_path)
    return folder


def code_of(call: object) -> str:
    with pytest.raises(KamldError) as caught:
        call()  # type: ignore[operator]
    return caught.value.code


def test_a_folder_through_its_life(flowers: Path) -> None:
    handle = kamld.dataset("vision/flowers")
    assert not handle.exists
    assert "vision/flowers" in repr(handle)
    first = handle.commit(flowers, "as delivered")
    assert (first.changed, first.created, first.landed, first.branch) == (True, True, "moved", "main")
    assert not handle.commit("flowers", "again").changed
    (flowers / "roses/1.txt").write_text("white")
    (flowers / "roses/2.txt").unlink()
    assert [(c.change, c.path) for c in handle.status(flowers)] == [
        ("changed", "roses/1.txt"), ("removed", "roses/2.txt"),
    ]  # fmt: skip
    second = handle.commit(flowers, "a white rose").version
    assert [version.message for version in handle.log()] == ["a white rose", "as delivered"]
    assert [version.id for version in handle.log(count=1)] == [second.id]
    assert second.parents == (first.version,)
    assert handle["main~1"] == first.version == handle.at(first.version.id[:8])
    assert list(handle.diff("main~1")) == list(second.diff()) == list(second.diff("main~1"))
    assert second.read("roses/1.txt") == b"white"
    assert [row.path for row in handle.ls()] == ["labels.csv", "roses", "tulips"]
    with second.open("labels.csv") as opened:
        assert opened.readline() == b"file,label\n"
    assert second.table("labels.csv").pandas().shape == (1, 2)


def test_names(flowers: Path) -> None:
    handle = kamld.dataset("flowers")
    version = handle.commit(flowers, "x").version
    handle.branch("clean")
    handle.tag("delivered", "clean")
    handle.alias("best", "delivered")
    assert [(n.name, n.kind) for n in handle.names()] == [
        ("best", "alias"), ("clean", "branch"), ("delivered", "tag"), ("main", "branch"),
    ]  # fmt: skip
    assert version.names == ["best", "clean", "delivered", "main"]
    assert code_of(lambda: handle.tag("delivered")) == "name_taken"
    assert code_of(lambda: handle.at("nothing")) == "unknown_revision"
    assert code_of(lambda: version.read("lost")) == "unknown_path"
    assert code_of(lambda: version.ls("lost")) == "unknown_path"


def test_a_model_is_numbered_and_no_dataset(flowers: Path) -> None:
    net = kamld.model("net")
    assert net.commit(flowers, "by hand").version.number == 1
    assert net["v1"].kind == "model"
    assert code_of(kamld.dataset("net").at) == "other_kind"
    assert code_of(lambda: kamld.dataset("net").commit(flowers, "x")) == "other_kind"
    assert [(n.name, n.kind) for n in kamld.hub().ls()] == [("default/net", "model")]


def test_checkout_and_another_hub(flowers: Path, tmp_path: Path) -> None:
    handle = kamld.dataset("flowers", hub=tmp_path / "hub", project="p")
    handle.commit(flowers, "x")
    assert handle.name == "p/flowers"
    assert handle.checkout("work").bound
    part = handle.checkout("part", path="roses")
    assert (part.bound, part.files) == (False, 2)
    assert (tmp_path / "part/roses/1.txt").read_text() == "roses/1.txt"
    assert kamld.hub(tmp_path / "hub").dataset("p/flowers").exists
    assert code_of(kamld.dataset("flowers").at) in ("no_hub", "unknown_name")


def test_what_notebooks_show_is_escaped(flowers: Path) -> None:
    handle = kamld.dataset("flowers")
    handle.commit(flowers, "<b>\x1b[31mred")
    for shown in (handle, handle.at(), handle.log()):
        text = shown._repr_html_()
        assert "&lt;b&gt;" in text
        assert "<b>" not in text
        assert "\x1b" not in text + repr(shown)
    assert repr(Listing[Version]()) == "(nothing)"


def test_importing_kamld_costs_nothing() -> None:
    heavy = ["pyarrow", "fsspec", "pandas", "torch", "tensorflow", "duckdb", "numpy", "msgspec"]
    code = f"import sys, kamld; print([m for m in {heavy} if m in sys.modules])"
    handles = "import sys, kamld; kamld.dataset; print([m for m in {} if m in sys.modules])"
    for script in (code, handles.format(heavy[:6])):
        done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
        assert done.stdout == "[]\n"
