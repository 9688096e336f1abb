"""What `kamld mount` and `kamld umount` print; what they do is in tests/mount."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from kamld.mount.launch import unmount
from kamld.mount.records import mounted_folders
from tests.cli.conftest import Kamld
from tests.cli.vocabulary import wrong

pytestmark = pytest.mark.needs("fuse")


@pytest.fixture(autouse=True)
def nothing_stays(here: Path) -> Iterator[None]:
    yield
    for mounted in mounted_folders():
        if mounted.startswith(f"{here}/"):
            unmount(Path(mounted), gone=True)


def test_as_json(kamld: Kamld, here: Path, digits: Path) -> None:
    commit = kamld(f"commit {digits.name} -m first --json").json["commit"]
    assert kamld("mount --json").json == []
    made = kamld("mount digits there --write --json").json
    size = sum(path.stat().st_size for path in digits.rglob("*.*") if ".kamld" not in path.parts)
    assert made.pop("pid") > 0
    assert made.pop("since")
    assert made == {
        "project": "default", "name": "digits", "kind": "dataset", "revision": "main", "commit": commit,
        "folder": str(here / "there"), "writable": True, "files": 7, "bytes": size, "change_count": 0,
        "state": "mounted", "uncommitted": False,
    }  # fmt: skip
    (here / "there/new").write_text("new")
    (listed,) = kamld("mount --json").json
    assert {key: listed[key] for key in ("folder", "project", "name", "revision", "commit", "state")} == {
        "folder": str(here / "there"), "project": "default", "name": "digits", "revision": "main",
        "commit": commit, "state": "mounted",
    }  # fmt: skip
    assert (listed["writable"], listed["uncommitted"]) == (True, True)
    done = kamld("commit there -m second --json").json
    (other,) = kamld("mount --json").json
    assert (other["commit"], other["uncommitted"]) == (done["commit"], False)
    assert done["commit"][:12] in kamld("mount").out
    kamld("commit there -b side -m nothing")
    (here / "there/new").write_text("newer")
    (there,) = kamld("mount --json").json
    assert (there["revision"], there["uncommitted"]) == ("side", True)
    ended = kamld("umount there --json").json
    assert Path(ended.pop("layer")).is_dir()
    assert ended == {
        "project": "default", "name": "digits", "kind": "dataset", "folder": str(here / "there"),
        "commit": done["commit"], "old_state": "mounted", "uncommitted": True, "bytes_freed": 0,
    }  # fmt: skip
    commits = {commit, done["commit"]}
    assert [what for said in (made, listed, other, there, ended) for what in wrong(said, commits)] == []
    assert kamld("umount there --discard --json").json["layer"] is None


def test_for_people(kamld: Kamld, digits: Path) -> None:
    kamld(f"commit {digits.name} -m first")
    assert kamld("mount digits 'a place'").out.splitlines()[-1] == "kamld umount 'a place' ends it."
    assert "  a mount, read-only" in kamld("status 'a place'").out.splitlines()
    assert "mounted  read-only" in kamld("mount").out
    assert kamld("umount 'a place'").out == "a place is unmounted.\n"


def test_ended_from_inside(kamld: Kamld, digits: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kamld(f"commit {digits.name} -m first")
    kamld("mount digits there")
    monkeypatch.chdir(digits.parent / "there")
    assert kamld("umount .").out == ". is unmounted.\n"


def test_without_a_name(kamld: Kamld) -> None:
    assert "usage" in kamld("mount --write", status=2).err
