"""Looking after a hub from Python: checks, repairs, what is to be done, purges; typed, and raised."""

import os
from pathlib import Path

import pytest

import kamld
from kamld.api.hub import Hub


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Hub:
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "flowers"
    folder.mkdir()
    for number in range(3):
        (folder / f"{number}.txt").write_text(f"rose {number}, and some more of it\n")
    made = kamld.hub(tmp_path / "hub", project="p")
    made.dataset("flowers").commit(folder, "one")
    return made


def test_checked_and_repaired(hub: Hub, tmp_path: Path) -> None:
    report = hub.fsck()
    assert (report.sound, report.versions, report.findings, report.lost) == (True, 1, (), ())
    assert hub.fsck("flowers", quick=True).sound
    (pack,) = (tmp_path / "hub/packs").glob("*/*.pack")
    pack.write_bytes(pack.read_bytes().replace(b"rose 1", b"rose X"))
    report = hub.fsck()
    assert not report.sound
    assert [one.code for one in report.findings] == ["damaged_pack", "lost_files"]
    assert [(one.dataset, one.version, one.files, one.paths) for one in report.lost] == [
        ("p/flowers", "main", 1, ("1.txt",))
    ]
    done = hub.repair("flowers")
    assert done.sound
    assert [step.what for step in done.steps][-1] == "1 lost object fetched from there"
    assert hub.dataset("flowers").at().read("1.txt").startswith(b"rose 1")
    with pytest.raises(kamld.KamldError) as nowhere:
        hub.repair("nowhere")
    assert nowhere.value.code == "no_such_folder"


def test_what_is_to_be_done(hub: Hub) -> None:
    found = {one.name: one for one in hub.doctor()}
    assert found["format"].what == "2"
    assert {one.state for one in found.values()} == {"ok"}
    assert "format" in repr(hub.doctor())


def test_purged(hub: Hub, tmp_path: Path) -> None:
    flowers = hub.dataset("flowers")
    planned = flowers.purge("1.txt", reason="", dry_run=True)
    assert (planned.done, planned.contents, planned.shared) == (False, 1, 0)
    assert [(one.dataset, one.path, one.versions) for one in planned.places] == [
        ("p/flowers", "1.txt", ("main",))
    ]
    assert flowers.at().read("1.txt")
    with pytest.raises(kamld.KamldError) as silent:
        flowers.purge("1.txt", reason=" ")
    assert silent.value.code == "no_reason"
    done = flowers.purge("1.txt", reason="not ours")
    assert (done.done, done.contents, done.bytes) == (True, 1, planned.bytes)
    with pytest.raises(kamld.KamldError) as gone:
        flowers.at().read("1.txt")
    assert gone.value.code == "purged_file"
    assert [example.path for example in flowers.at().iter()] == ["0.txt", "2.txt"]
    flowers.checkout(folder=tmp_path / "out")
    assert sorted(path.name for path in (tmp_path / "out").glob("*.txt")) == ["0.txt", "2.txt"]
    with pytest.raises(kamld.KamldError) as refused:
        flowers.commit("flowers", "again")
    assert refused.value.code == "purged_content"
    assert (hub.fsck().sound, hub.fsck().purged) == (True, 1)
    (hole,) = hub.purges()
    assert (hole.files, hole.reason, hole.done) == (("p/flowers:1.txt",), "not ours", True)
    assert "not ours" in repr(hub.purges())
    ended = hub.finish_purges()
    assert (ended.holes, ended.bytes, ended.in_use, ended.mounts) == ((), 0, (), ())
    assert repr(ended) == "<nothing was to be ended>"


def test_what_keeps_something(hub: Hub) -> None:
    flowers = hub.dataset("flowers")
    flowers.tag("delivered")
    about = [need.kept_by for need in hub.gc(why="p/flowers@delivered")]
    assert len(about) >= 2
    assert any("delivered" in one for one in about)
    newest = flowers.at().id
    for path in ("1.txt", "*.txt"):
        assert newest in [need.commit for need in hub.gc(why=f"p/flowers:{path}")]
    assert "delivered" in repr(hub.gc(why="p/flowers"))
    with pytest.raises(kamld.KamldError) as nothing:
        hub.gc(why="p/flowers:*.gif")
    assert nothing.value.code == "no_match"
    with pytest.raises(kamld.KamldError) as both:
        hub.gc(why="p/flowers", dry_run=True)  # type: ignore[call-overload]
    assert both.value.code == "usage"


def test_upgraded(hub: Hub) -> None:
    assert {one.state for one in hub.doctor(upgrade=True)} == {"ok"}


def test_purged_again(hub: Hub, tmp_path: Path) -> None:
    """Nothing is left to be done but here, so that nobody is waited for."""
    flowers, odd = hub.dataset("flowers"), tmp_path / "hub/tmp/odd"
    odd.mkdir()
    os.utime(odd, (0, 0))
    done = flowers.purge("1.txt", reason="not ours")
    assert (done.in_use, done.mounts) == ((str(odd),), ())
    with hub._app.repository.leases.take("purge"):
        again = flowers.purge("1.txt", reason="once more")
        assert (again.done, again.contents, again.bytes, again.in_use) == (True, 1, 0, (str(odd),))
        assert flowers.purge("1.txt", reason="", dry_run=True).in_use == ()
    assert [hole.reason for hole in hub.purges()] == ["not ours"]


def test_files_that_were_left_where_they_are(hub: Hub, tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "there/1.txt").write_text("one that is there")
    hub.dataset("left").import_("there", reference=True)
    assert (hub.fsck().left, hub.fsck().left_lost) == (1, 0)
    (tmp_path / "there/1.txt").write_text("another")
    assert (hub.fsck().left, hub.fsck().left_lost) == (1, 1)
