"""Handles: the verbs of the command line from Python."""

import pickle
import subprocess
import sys
from pathlib import Path

import pytest

import kamld
from kamld.api.shown import Listing
from kamld.api.version import Version
from kamld.errors import KamldError
from kamld.formats.tables import TableDiff


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
    again = handle.commit("flowers", "again")
    assert (again.changed, again.landed, again.version) == (False, None, first.version)
    assert "nothing had changed, so there is no new version" in repr(again)
    (flowers / "roses/1.txt").write_text("white")
    (flowers / "roses/2.txt").unlink()
    assert [(c.change, c.path) for c in handle.status(flowers)] == [
        ("changed", "roses/1.txt"), ("removed", "roses/2.txt"),
    ]  # fmt: skip
    second = handle.commit(flowers, "a white rose").version
    assert [version.message for version in handle.log()] == ["a white rose", "as delivered"]
    assert [version.id for version in handle.log(limit=1)] == [second.id]
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
    assert handle.checkout(folder="work").bound
    part = handle.checkout("main", "part", path="roses")
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


def test_a_version_is_no_name() -> None:
    with pytest.raises(KamldError) as mistaken:
        kamld.model("vision/net@v2")
    assert mistaken.value.code == "bad_name"
    assert mistaken.value.hint == 'A version of it: kamld.model("vision/net")["v2"]'


def test_importing_kamld_costs_nothing() -> None:
    heavy = ["pyarrow", "fsspec", "pandas", "torch", "tensorflow", "duckdb", "numpy", "msgspec"]
    code = f"import sys, kamld; print([m for m in {heavy} if m in sys.modules])"
    handles = "import sys, kamld; kamld.dataset; print([m for m in {} if m in sys.modules])"
    for script in (code, handles.format(heavy[:6])):
        done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
        assert done.stdout == "[]\n"


def test_names_are_taken_away(flowers: Path) -> None:
    handle = kamld.dataset("flowers")
    first = handle.commit(flowers, "x").version
    for make in (handle.branch, handle.tag, handle.alias):
        make("it")
        assert make("it", remove=True) == first
        assert "it" not in [name.name for name in handle.names()]
        assert code_of(lambda: make("it", remove=True)) == "unknown_revision"  # noqa: B023 - called here
    assert handle.undo("it").version == first
    assert code_of(lambda: handle.tag("it", remove=True)) == "unknown_revision"
    assert code_of(lambda: handle.alias("it", "main~1", remove=True)) == "usage"
    assert code_of(lambda: handle.branch("it", protect=(), remove=True)) == "usage"
    assert code_of(lambda: handle.branch("main", remove=True)) == "usage"


def test_one_file_is_written_out(flowers: Path) -> None:
    handle = kamld.dataset("flowers")
    handle.commit(flowers, "x")
    assert handle.cat("roses/1.txt") == handle.cat("*/2.txt").replace(b"2", b"1") == b"roses/1.txt"
    assert code_of(lambda: handle.cat("roses/*.txt")) == "which_file"
    assert code_of(lambda: handle.cat("roses")) == "not_a_file"
    assert code_of(lambda: handle.cat("")) == "no_path"
    assert code_of(lambda: handle.cat("*.txt", "main")) == "no_match"


@pytest.mark.parametrize("pattern", ["*.txt", "nothing", "roses/nothing", "roses/*.csv"])
def test_a_pattern_that_nothing_has_is_never_an_empty_answer(flowers: Path, pattern: str) -> None:
    version = kamld.dataset("flowers").commit(flowers, "x").version
    wanted = "no_match" if "*" in pattern else "unknown_path"
    for read in (
        version.files, version.iter, version.ls, version.cat, version.table, version.torch, version.show,
        lambda path: version.checkout("somewhere", path=path),
    ):  # fmt: skip
        with pytest.raises(KamldError) as refused:
            read(pattern)
        assert refused.value.code == wanted, read
        assert f'"{pattern}"' in str(refused.value)
    assert not Path("somewhere").exists()
    (flowers / "empty").mkdir()
    now = kamld.dataset("flowers").commit(flowers, "y").version
    assert code_of(lambda: now.files("empty")) == "no_match"
    assert len(now.files()) == 4
    assert len(now.files("roses")) == 2
    (flowers / "a[1].txt").write_text("a file of that very name")
    assert kamld.dataset("flowers").commit(flowers, "z").version.files("a[1].txt").paths == ["a[1].txt"]


def test_what_is_inside_and_beside_a_folder(flowers: Path) -> None:
    handle = kamld.dataset("flowers")
    handle.commit(flowers, "one")
    (flowers / "labels.csv").write_text("file,label\nroses/1.txt,red\nroses/2.txt,white\n")
    (flowers / "roses/1.txt").write_text("other")
    handle.commit(flowers, "two")
    (plain, _) = handle.diff("main~1")
    assert (plain.kind, plain.inside) == ("", None)
    (table, text) = handle.diff(inside=True)
    assert (table.kind, text.kind) == ("table", "text")
    assert isinstance(table.inside, TableDiff)
    assert (table.inside.key, table.inside.added, table.inside.changed) == (("file",), 1, 1)
    told = repr(handle.diff(inside=True)).splitlines()
    assert [line.partition("; ")[2] for line in told] == [
        "rows: 1 added, 1 changed", "lines: 1 added, 1 removed",
    ]  # fmt: skip
    (table,) = handle.diff("main~1", "main", paths="*.csv", key=("file", "label"), rows=1)
    assert isinstance(table.inside, TableDiff)
    assert (table.inside.key, table.inside.added, table.inside.removed) == (("file", "label"), 2, 1)
    assert len([row for row in table.inside.sample if row.sort == "added"]) == 1
    (lost,) = handle.diff(paths="labels.csv", key="nosuch")
    assert 'no column "nosuch"' in lost.remark
    (flowers / "roses/1.txt").write_text("roses/1.txt")  # as in the first
    (flowers / "roses/2.txt").write_text("Roses/2.txt")
    assert [c.path for c in handle.diff(folder=flowers)] == ["roses/1.txt", "roses/2.txt"]
    assert [c.path for c in handle.diff("main~1", folder=flowers)] == ["labels.csv", "roses/2.txt"]
    (inside,) = handle.diff("main~1", folder=flowers, paths=["roses"], inside=True)
    assert (inside.change, inside.kind) == ("changed", "text")
    assert code_of(lambda: handle.diff("main~1", "main", folder=flowers)) == "usage"
    assert code_of(lambda: handle.diff("nothing", folder=flowers)) == "unknown_revision"


def test_what_only_versions_have_says_so(flowers: Path) -> None:
    handle = kamld.dataset("flowers")
    for name in ("table", "files", "iter", "torch"):
        with pytest.raises(AttributeError, match=rf"A dataset has no {name}; a version has it: \.at\(\)\."):
            getattr(handle, name)
    with pytest.raises(AttributeError, match="A dataset has no tabel"):
        _ = handle.tabel  # type: ignore[attr-defined]


def test_handles_go_to_other_processes(flowers: Path, tmp_path: Path) -> None:
    handle = kamld.dataset("flowers", hub=tmp_path / "hub", project="p")
    version = handle.commit(flowers, "x").version
    again, same = pickle.loads(pickle.dumps((version, handle)))
    assert again == version
    assert again.read("labels.csv") == version.read("labels.csv")
    assert (same.name, same.at()) == ("p/flowers", version)
    assert pickle.loads(pickle.dumps(handle["main"])).checkout("work").bound
    handle.mv("plants")
    assert handle.at() == version


def test_a_folder_of_another_hub(flowers: Path, tmp_path: Path) -> None:
    """Who names no hub works with the folder's own, and what comes back is read from there."""
    kamld.dataset("flowers", hub=tmp_path / "hub").commit(flowers, "x")
    (flowers / "roses/1.txt").write_text("red")
    done = kamld.dataset("flowers").commit(flowers, "y")
    assert done.version.read("roses/1.txt") == b"red"
    assert done.version.names == ["main"]
    assert [version.message for version in done.version.parents] == ["x"]
    assert done.version.diff()[:1] == done.changes
    assert not Path(kamld.hub().location).exists()


def test_a_history_that_is_nobodys(flowers: Path) -> None:
    handle = kamld.dataset("flowers")
    handle.commit(flowers, "x")
    (flowers / "roses/1.txt").unlink()
    handle.commit(flowers, "y")
    assert [version.message for version in handle.log(path="roses/1.txt")] == ["y", "x"]
    assert code_of(lambda: handle.log(path="rose")) == "unknown_path"
    assert code_of(lambda: handle.log(path="*.gif")) == "no_match"


def test_limits(flowers: Path) -> None:
    handle = kamld.dataset("flowers")
    handle.commit(flowers, "x")
    assert [row.path for row in handle.ls(limit=2)] == ["labels.csv", "roses"]
    assert repr(handle.ls()[:1]).split() == ["28", "B", "labels.csv"]
    for call in (lambda: handle.ls(limit=0), lambda: handle.log(limit=-1)):
        assert code_of(call) == "bad_limit"
