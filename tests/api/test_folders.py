"""Working folders from Python: commits of every sort, init, switch and restore."""

from collections.abc import Callable
from pathlib import Path

import pytest

import kamld
from kamld.errors import KamldError


@pytest.fixture
def flowers(tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "flowers"
    folder.mkdir()
    (folder / "a.txt").write_text("one")
    return folder


def code_of(call: Callable[[], object]) -> str:
    with pytest.raises(KamldError) as caught:
        call()
    return caught.value.code


def test_begun_without_files(tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    net = kamld.init("net", model=True, project="vision")
    assert (net.kind, net.name, net.exists) == ("model", "vision/net", True)
    assert (net.at().count, net.at().number) == (0, None)
    (tmp_path / "net/weights").write_text("1")
    assert net.commit("net", "one").version.number == 1
    assert net.init("net") == net.at()  # it is so already
    assert code_of(lambda: kamld.dataset("other").init("net")) == "bound_elsewhere"
    assert code_of(lambda: kamld.init("net2", name="a b")) == "bad_name"
    assert kamld.init("photos", name="pictures").name == "default/pictures"


def test_amending(flowers: Path) -> None:
    handle = kamld.dataset("flowers")
    handle.commit("flowers", "one")
    (flowers / "b.txt").write_text("b")
    two = handle.commit("flowers", "two")
    (flowers / "c.txt").write_text("c")
    done = handle.commit("flowers", amend=True)
    assert (done.amended, done.version.message, done.version != two.version) == (True, "two", True)
    assert [version.message for version in handle.log()] == ["two", "one"]
    assert not handle.commit("flowers", amend=True).changed
    assert code_of(lambda: handle.commit("flowers")) == "usage"
    assert code_of(lambda: handle.commit("flowers", "x", amend=True, branch="y")) == "usage"


def test_checkpoints(flowers: Path) -> None:
    handle = kamld.dataset("flowers")
    for n in range(3):
        (flowers / "a.txt").write_text(f"version {n}")
        assert handle.commit("flowers", str(n), keep_last=2).changed
    assert code_of(lambda: handle.commit("flowers", "x", keep_last=0)) == "bad_count"


def test_there_and_back(flowers: Path) -> None:
    handle = kamld.dataset("flowers")
    one = handle.commit("flowers", "one").version
    (flowers / "a.txt").write_text("two")
    handle.commit("flowers", "two")
    done = handle.switch("flowers", "main~1")
    assert (done.branch, done.version, [change.path for change in done.changes]) == (None, one, ["a.txt"])
    assert (flowers / "a.txt").read_text() == "one"
    (flowers / "b.txt").write_text("b")
    assert code_of(lambda: handle.commit("flowers", "lost")) == "no_branch"
    made = handle.commit("flowers", "found", branch="try")
    assert (made.branch, made.version.parents) == ("try", (one,))
    assert handle.switch("flowers").branch == "main"
    assert (flowers / "a.txt").read_text() == "two"
    (flowers / "a.txt").write_text("mine")
    assert code_of(lambda: handle.switch("flowers", "try")) == "in_the_way"
    assert [change.path for change in handle.restore("flowers")] == ["a.txt"]
    assert handle.restore("flowers", "b.txt", revision="try")[0].change == "added"
    assert handle.switch("flowers", "again", create=True).own_changes == 1
    assert code_of(lambda: kamld.dataset("other").switch("flowers")) == "bound_elsewhere"


def test_after_a_renaming(flowers: Path, tmp_path: Path) -> None:
    """The folder belongs to the dataset, whatever that is called today."""
    from kamld.cli.main import run

    kamld.dataset("flowers").commit("flowers", "one")
    assert run(["mv", "flowers", "plants"]) == 0
    plants = kamld.dataset("plants")
    (flowers / "b.txt").write_text("b")
    assert [change.path for change in plants.status("flowers")] == ["b.txt"]
    assert plants.commit("flowers", "two").changed
    assert code_of(lambda: kamld.dataset("flowers").status("flowers")) == "bound_elsewhere"
