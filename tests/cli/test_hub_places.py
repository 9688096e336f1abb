"""Hubs that are not there, that were moved, or that are not the folder's."""

import json
import shutil
from pathlib import Path

import pytest

import kamld as python
from kamld.errors import KamldError
from tests.cli.conftest import Kamld

LOOKING = (
    "log g", "status x", "show g", "diff g", "runs --compare 1 2", "du", "fsck", "why g", "checkout g",
    "cat g:a", "gc", "rebuild", "tag g", "undo g", "rm g", "mv g h", "purge g:a --yes", "export g out",
)  # fmt: skip


@pytest.mark.parametrize("words", LOOKING)
def test_looking_makes_no_hub(kamld: Kamld, here: Path, hub: Path, words: str) -> None:
    (here / "x").mkdir()
    assert "not_bound" in (said := kamld(words, status=1).err) or "no_hub" in said
    assert not hub.exists()


def test_no_hub_yet_is_told_kindly(kamld: Kamld, hub: Path) -> None:
    assert kamld("ls").out.startswith("Nothing here yet")
    assert kamld("ls --json").json == []
    assert "The first kamld commit makes it" in kamld("hub").out
    assert kamld("hub --json").json["id"] is None
    assert list(python.hub().ls()) == []
    assert "No run yet" in kamld("runs").out
    assert "Nothing is deployed" in kamld("deployments").out
    assert not hub.exists()


@pytest.fixture
def moved(kamld: Kamld, here: Path, hub: Path) -> Path:
    """`g` was committed; then its hub was moved, and another made in its place."""
    (here / "g").mkdir()
    (here / "g/a").write_text("a")
    kamld("commit g -m one")
    shutil.move(hub, here / "moved")
    (here / "n").mkdir()
    (here / "n/a").write_text("n")
    kamld("commit n -m n")
    return here / "moved"


@pytest.mark.parametrize("old", [False, True], ids=["now", "an older record"])
def test_another_hub_in_its_place(kamld: Kamld, here: Path, moved: Path, *, old: bool) -> None:
    record = here / "g/.kamld/folder.json"
    if old:
        fields = json.loads(record.read_text())
        del fields["hub_id"]
        record.write_text(json.dumps(fields))
    else:
        said = kamld("status g", status=1).err
        assert "other_hub" in said
        assert f"kamld --hub PLACE init {here / 'g'} --bind g" in said
        (here / "g/a").write_text("changed")
        assert "other_hub" in kamld("commit g -m two", status=1).err
        (here / "g/a").write_text("a")
    kamld(f"--hub {moved} init g --bind g")
    assert "Nothing has changed" in kamld("status g").out
    assert json.loads(record.read_text())["hub"] == str(moved)


def test_a_restored_copy_is_the_same_hub(kamld: Kamld, here: Path, moved: Path, hub: Path) -> None:
    shutil.rmtree(hub)
    shutil.copytree(moved, hub)
    assert "Nothing has changed" in kamld("status g").out
    assert "bound_elsewhere" in kamld(f"--hub {moved} init g --bind g", status=1).err


def test_another_hub_by_name_is_refused(kamld: Kamld, here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (here / "g").mkdir()
    (here / "g/a").write_text("a")
    kamld("--hub mine commit g -m one")
    some = ("commit g -m two", "status g", "log ./g", "diff g", "switch g main", "restore g .", "init g")
    for words in some:
        said = kamld(f"--hub other {words}", status=1).err
        assert "bound_elsewhere" in said, words
        assert str(here / "mine") in said
    assert not (here / "other").exists()
    with pytest.raises(KamldError, match="in the hub at"):
        python.dataset("g", hub=here / "other").commit(here / "g", "two")
    (here / "same").symlink_to("mine")
    assert "Nothing has changed" in kamld("--hub same status g").out
    monkeypatch.setenv("KAMLD_HUB", "other")
    assert "Nothing has changed" in kamld("status g").out


def test_a_file_is_no_hub(kamld: Kamld, here: Path) -> None:
    (here / "raw.zip").write_bytes(b"PK")
    for words in ("ls", "log g", "hub", "import raw.zip"):
        said = kamld(f"--hub raw.zip {words}", status=1).err
        assert "not_a_hub" in said
        assert "is a file" in said
    (here / "full").mkdir()
    (here / "full/a").write_text("a")
    assert "not_a_hub" in kamld("--hub full ls", status=1).err


def test_a_damaged_hub_record_has_a_name_that_people_know(kamld: Kamld, moved: Path, hub: Path) -> None:
    for data in ("", "{", "[]"):
        (hub / "kamld-hub.json").write_text(data)
        assert "kamld-hub.json is not a valid Hub record" in kamld("ls", status=3).err


def test_lost_refs_are_told(kamld: Kamld, here: Path, digits: Path, hub: Path) -> None:
    kamld("commit digits -m one")
    assert kamld("ls").err == ""
    for ref in hub.glob("refs/*/main"):
        ref.unlink()
    said = kamld("ls")
    assert "Nothing here yet" not in said.out
    assert "No version is known of digits: lost" in said.err
    assert "kamld fsck" in said.err
    status = kamld("status digits").out
    assert "lost" in status
    assert "kamld fsck" in status
    assert "removed" not in status
    assert kamld("status digits --json").json["standing"] == "lost"
    assert "versions" in kamld("doctor").out
    found = {check["name"]: check for check in kamld("doctor --json").json["checks"]}
    assert found["versions"]["state"] == "note"  # as where a first commit was stopped
    assert "default/digits" in found["versions"]["what"]


def test_a_branch_that_was_removed_is_not_lost(kamld: Kamld, digits: Path) -> None:
    kamld("commit digits -m one")
    kamld("commit digits -b new -m two")
    kamld("branch digits new --remove")
    assert kamld("status digits --json").json["standing"] == "removed"


def test_doctor_sees_a_pack_that_is_gone(kamld: Kamld, digits: Path, hub: Path) -> None:
    kamld("commit digits -m one")
    assert kamld("doctor").out.splitlines()[-1] == "All is well."
    pack = next(hub.glob("packs/*/*.pack"))
    pack.unlink()
    said = kamld("doctor", status=3).out
    assert f"1 pack lost, such as {pack.relative_to(hub)}" in said
    assert "kamld fsck" in said


def test_a_hub_that_lost_its_record_is_told_alike_everywhere(
    kamld: Kamld, digits: Path, here: Path, hub: Path
) -> None:
    kamld("commit digits -m one")
    shutil.copytree(hub, here / "copy")
    record = (hub / "kamld-hub.json").read_bytes()
    (hub / "kamld-hub.json").unlink()
    for words in ("ls", "hub", "log digits", "status digits", "commit digits -m two", "fsck", "runs",
                  "show digits", "deployments", "fsck --repair"):  # fmt: skip
        said = kamld(words, status=3).err
        assert f"The hub at {hub} has lost its kamld-hub.json" in said, words
        assert "kamld fsck --repair --from COPY" in said, words
    assert "has lost its kamld-hub.json" in kamld("doctor", status=3).out
    with pytest.raises(KamldError, match="has lost its"):
        list(python.hub().ls())
    kamld("fsck --repair --from copy")
    assert (hub / "kamld-hub.json").read_bytes() == record
    kamld("status digits")
