"""`kamld du`: what takes the space, as a person and a program see it."""

import os
from pathlib import Path

import pytest

import kamld as kamld_api
from tests.cli.conftest import Kamld


@pytest.fixture
def maps(here: Path, kamld: Kamld) -> Path:
    """Three versions: 300 KB came with the second and went with the third."""
    folder = here / "maps"
    folder.mkdir()
    (folder / "world.bin").write_bytes(os.urandom(500_000))
    (folder / "list.csv").write_text("a,b\n" * 1000)
    kamld("commit maps -m one")
    (folder / "moon.bin").write_bytes(os.urandom(300_000))
    kamld("commit maps -m two")
    (folder / "moon.bin").unlink()
    kamld("commit maps -m three")
    return folder


def test_what_a_dataset_takes(maps: Path, kamld: Kamld, here: Path) -> None:
    (used,) = kamld("du --json").json["datasets"]
    assert (used["name"], used["newest"], used["version_count"], used["as_files"]) == (
        "maps",
        504_000,
        3,
        1_812_000,
    )
    assert 800_000 < used["stored"] == used["alone"] < 810_000
    assert 300_000 < used["history"] < 310_000
    (here / "copy").mkdir()
    os.link(maps / "world.bin", here / "copy" / "again.bin")
    kamld("commit copy -m one")
    usage = kamld("du maps --json").json
    (used,) = usage["datasets"]
    assert 500_000 < usage["shared"] < 505_000
    assert used["alone"] == used["stored"] - usage["shared"]
    assert usage["bytes"] == kamld("hub --json").json["bytes"]


def test_the_table(maps: Path, kamld: Kamld) -> None:
    said = kamld("du").out.splitlines()
    assert said[0].split() == ["newest", "versions", "as", "files", "stored", "alone", "history"]
    assert said[1].split()[:6] == ["default/maps", "504", "KB", "3", "1.8", "MB"]
    assert said[-1].endswith("in all")
    assert len(kamld("du maps").out.splitlines()) == 2
    assert "unknown_name" in kamld("du nothing", status=1).err


def test_what_was_removed_is_told_apart(maps: Path, kamld: Kamld) -> None:
    kamld("rm maps")
    usage = kamld("du --json").json
    assert usage["datasets"] == []
    assert usage["other"] > 800_000
    assert "kamld gc --dry-run" in kamld("du").out


def test_what_gc_marked_and_came_again_counts_once(
    here: Path, kamld: Kamld, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("old", "new"):
        (here / name).mkdir()
    (here / "old/moon.bin").write_bytes(os.urandom(300_000))
    os.link(here / "old/moon.bin", here / "new/moon.bin")
    kamld("commit old -m one")
    kamld("rm old")
    monkeypatch.setenv("KAMLD_KEEP_DAYS", "0")
    assert "Marked for deletion" in kamld("gc").out
    kamld("commit new -m one")
    usage = kamld("du --json").json
    (used,) = usage["datasets"]
    assert 300_000 < used["stored"] == used["alone"] < 305_000
    assert 300_000 < usage["other"] < 305_000
    assert usage["bytes"] > 600_000


def test_from_python(maps: Path, kamld: Kamld) -> None:
    used = kamld_api.dataset("maps").du()
    told = kamld("du --json").json
    assert (used.stored, used.history) == (told["datasets"][0]["stored"], told["datasets"][0]["history"])
    usage = kamld_api.hub().du()
    assert (usage.total, list(usage.datasets)) == (told["bytes"], [used])
    assert "default/maps" in repr(usage.datasets)
