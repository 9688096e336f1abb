"""What verbs give back says in a line what they did."""

from pathlib import Path

import pytest

import kamld
from kamld.api.dataset import Dataset


@pytest.fixture
def flowers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Dataset:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "flowers").mkdir()
    for name in ("a", "b", "c"):
        (tmp_path / f"flowers/{name}.txt").write_text(name * 1000)
    return kamld.dataset("vision/flowers")


def test_commits(flowers: Dataset, tmp_path: Path) -> None:
    first = flowers.commit("flowers", "one")
    label = f"vision/flowers@{first.version.id[:12]}"
    assert repr(first).startswith(f"<{label} on main: 3 added, ")
    assert repr(flowers.commit("flowers", "one")) == (
        f"<{label}: nothing had changed, so there is no new version>"
    )
    made = flowers.commit("flowers", "one", branch="try")
    assert repr(made) == f"<{label} on try: nothing had changed, so there is no new version>"
    (tmp_path / "flowers/a.txt").write_text("x")
    (tmp_path / "flowers/b.txt").unlink()
    assert " on try: 1 changed, 1 removed, " in repr(flowers.commit("flowers", "two"))
    (tmp_path / "flowers/d.txt").write_text("d")
    assert " on try: amended, 1 added, " in repr(flowers.commit("flowers", amend=True))
    assert first._repr_html_().startswith(f"<p>{label} on main: 3 added, ")


def test_what_is_kept_apart(flowers: Dataset, tmp_path: Path) -> None:
    flowers.commit("flowers", "one")
    flowers.checkout("main", "other")
    (tmp_path / "other/a.txt").write_text("theirs")
    flowers.commit("other", "theirs")
    (tmp_path / "flowers/a.txt").write_text("ours")
    apart = flowers.commit("flowers", "ours")
    assert apart.landed == "kept"
    assert repr(apart).endswith(f" on {apart.branch}, kept apart, for others had changed the same: a.txt>")
    merged = flowers.merge(apart.branch, prefer="theirs")
    assert (merged.result, merged.gone) == ("merged", apart.branch)
    assert repr(merged).endswith(f"; {apart.branch} has gone>")
    undone = flowers.undo()
    assert undone.returned == (apart.branch,)
    assert repr(undone).endswith(f" again: theirs; back too: {apart.branch}>")


def test_folders(flowers: Dataset, tmp_path: Path) -> None:
    flowers.commit("flowers", "one")
    (tmp_path / "flowers/a.txt").unlink()
    second = flowers.commit("flowers", "two").version
    label = f"vision/flowers@{flowers['main~1'].id[:12]}"
    assert repr(flowers.switch("flowers", "main~1")) == f"<{label}, on no branch: 1 added>"
    (tmp_path / "flowers/new.txt").write_text("new")
    assert repr(flowers.switch("flowers")) == (
        f"<vision/flowers@{second.id[:12]}, on main: 1 removed; 1 change of your own still there>"
    )
    assert repr(flowers.checkout(folder="x")) == f"<{tmp_path}/x, to work in: 2 files, 2.0 KB>"
    assert "bound to no branch: 1 file, 1.0 KB>" in repr(flowers.checkout("main", "y", path="b.txt"))
    assert repr(flowers.export("z.zip")) == f"<{tmp_path}/z.zip, zip: 2 files, 2.0 KB>"
    flowers.tag("t")
    assert repr(flowers.undo("t")) == "<t is gone, which was made by what was taken back>"


def test_a_hub(flowers: Dataset) -> None:
    flowers.commit("flowers", "one")
    hub = kamld.hub()
    used = hub.du()
    assert repr(used).splitlines()[1].split() == [
        "name", "versions", "newest", "as", "files", "stored", "alone", "history",
    ]  # fmt: skip
    assert repr(used).splitlines()[2].startswith("vision/flowers  1 ")
    assert "vision/flowers" in used._repr_html_()
    assert repr(flowers.du()).startswith("<vision/flowers: 1 version, 3.0 KB as files, the newest 3.0 KB; ")
    assert repr(hub.fsck()).startswith("<sound: 1 version, ")
    assert repr(hub.gc(dry_run=True)) == "<no garbage>"
    assert repr(hub.rebuild()).endswith(" objects, 1 commit, 0 runs; 0 damaged>")
    planned = flowers.purge("a.txt", reason="", dry_run=True)
    assert repr(planned).splitlines()[0].startswith("<1 content, ")
    assert repr(planned).splitlines()[0].endswith(" would be removed>")
    assert repr(planned).splitlines()[1].split("  ") == ["vision/flowers", "a.txt", "1 version"]


def test_readers(flowers: Dataset) -> None:
    version = flowers.commit("flowers", "one").version
    reader = version.iter(shuffle=3, shard=(0, 2))
    next(reader)
    assert repr(reader) == "<reader of 2 files, part 0 of 2, shuffled by 3: at 1 of epoch 0>"
    assert repr(version.iter("a.txt")) == "<reader of 1 file: at 0 of epoch 0>"


def test_versions_that_cannot_be_had_of_what_was_removed(flowers: Dataset, tmp_path: Path) -> None:
    (tmp_path / "flowers/note.txt").write_text("rose 1, and some more of it\n")
    flowers.commit("flowers", "one")
    flowers.rm()
    hub = kamld.hub()
    (pack,) = Path(hub.location, "packs").glob("*/*.pack")
    pack.write_bytes(pack.read_bytes().replace(b"rose 1", b"rose X"))
    report = hub.fsck()
    assert [(one.paths, one.removed) for one in report.lost] == [(("note.txt",), True)]
    assert repr(report).splitlines()[0].startswith("<not sound: ")
    assert "vision/flowers (removed)" in repr(report)
