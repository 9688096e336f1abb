"""What `kamld mount` and `kamld umount` print; what they do is in tests/mount."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from kamld.mount.launch import unmount
from kamld.mount.records import mounted_folders
from tests.cli.conftest import Kamld

pytestmark = pytest.mark.needs("fuse")


@pytest.fixture(autouse=True)
def nothing_stays(here: Path) -> Iterator[None]:
    yield
    for mounted in mounted_folders():
        if mounted.startswith(f"{here}/"):
            unmount(Path(mounted), gone=True)


def test_as_json(kamld: Kamld, here: Path, digits: Path) -> None:
    commit = kamld(f"commit {digits.name} -m first --json").json["id"]
    assert kamld("mount --json").json == []
    made = kamld("mount digits there --write --json").json
    size = sum(path.stat().st_size for path in digits.rglob("*.*") if ".kamld" not in path.parts)
    assert made.pop("pid") > 0
    assert made == {
        "id": commit, "folder": str(here / "there"), "writable": True, "files": 7, "bytes": size,
        "changes": 0,
    }  # fmt: skip
    (here / "there/new").write_text("new")
    (listed,) = kamld("mount --json").json
    assert {key: listed[key] for key in ("folder", "project", "name", "revision", "commit", "state")} == {
        "folder": str(here / "there"), "project": "default", "name": "digits", "revision": "main",
        "commit": commit, "state": "mounted",
    }  # fmt: skip
    assert (listed["writable"], listed["uncommitted"]) == (True, True)
    ended = kamld("umount there --json").json
    assert Path(ended.pop("layer")).is_dir()
    assert ended == {"folder": str(here / "there"), "commit": commit, "was": "mounted", "uncommitted": True}
    assert kamld("umount there --discard --json").json["layer"] is None


def test_for_people(kamld: Kamld, digits: Path) -> None:
    kamld(f"commit {digits.name} -m first")
    assert kamld("mount digits 'a place'").out.splitlines()[-1] == "kamld umount 'a place' ends it."
    assert "  a mount, read-only" in kamld("status 'a place'").out.splitlines()
    assert "mounted  read-only" in kamld("mount").out
    assert kamld("umount 'a place'").out == "a place is unmounted.\n"


def test_without_a_name(kamld: Kamld) -> None:
    assert "usage" in kamld("mount --write", status=2).err
