"""Mounts begin, end and are found again, whatever becomes of those who serve them."""

import ctypes
import importlib.util
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

import kamld
from kamld.mount import check_possible, launch
from kamld.mount.journal import Journal
from kamld.mount.names import Gone, Put, Start
from kamld.mount.records import mounted_folders
from kamld.records.kinds import FILE
from tests.cli.conftest import process
from tests.conftest import Unprivileged
from tests.mount.conftest import Hub, kill, server_of

fuse = pytest.mark.needs("fuse")

Make = Callable[..., Path]


def listed(hub: Hub) -> dict[str, str]:
    found = json.loads(hub("mount --json"))
    return {Path(m["folder"]).name: m["state"] + (", uncommitted" if m["uncommitted"] else "") for m in found}


@fuse
def test_its_folder_goes_with_it_where_it_was_made_for_it(hub: Hub, make: Make) -> None:
    make({"a": b"one"})
    hub.mount(folder="made")
    (hub.here / "there").mkdir()
    hub.mount(folder="there")
    assert listed(hub) == {"made": "mounted", "there": "mounted"}
    hub("umount made")
    hub("umount there")
    assert [path.name for path in hub.here.iterdir() if path.name != "data"] == ["there"]
    assert hub("mount").startswith("Nothing is mounted")
    assert "not_mounted" in hub("umount there", status=1)


@fuse
def test_the_command_ends_and_the_mount_stays(hub: Hub, make: Make) -> None:
    make({"a": b"one"})
    command = [sys.executable, "-W", "error::ResourceWarning", "-m", "kamld", "mount", "data", "m"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert (hub.here / "m/a").read_bytes() == b"one"


@fuse
def test_what_is_not_committed_waits(hub: Hub, make: Make) -> None:
    make({"a": b"one"})
    mounted = hub.mount(write=True)
    (mounted / "b").write_bytes(b"two")
    said = hub("umount m")
    assert "1 change is not committed" in said
    assert "kamld mount data@main m --write" in said
    assert listed(hub) == {"m": "kept, uncommitted"}
    assert "uncommitted_layer" in hub("mount data m", status=1)
    hub("branch data other")
    assert "uncommitted_layer" in hub("mount data@other m --write", status=1)
    said = hub("mount data m --write")
    assert "1 change of before" in said
    assert (mounted / "b").read_bytes() == b"two"
    hub("commit m -m second")
    assert hub("umount m") == "m is unmounted.\n"
    assert listed(hub) == {}


@fuse
def test_discard(hub: Hub, make: Make) -> None:
    make({"a": b"one"})
    (hub.mount(write=True) / "b").write_bytes(b"two")
    layer = hub.layer(hub.here / "m")
    said = hub("umount m --discard")
    assert said.splitlines() == [
        "m is unmounted.", "Thrown away: 1 change that was not committed, 3 B."
    ]  # fmt: skip
    assert not layer.exists()
    assert os.listdir(hub.mount(write=True)) == ["a"]
    (hub.here / "m/b").write_bytes(b"three")
    hub("umount m")
    assert "Thrown away: changes that were not committed, 5 B." in hub("umount m --discard")
    assert "Thrown away" not in hub(f"umount {hub.mount(write=True)} --discard")
    assert listed(hub) == {}


@fuse
def test_where_a_server_was_killed(hub: Hub, make: Make) -> None:
    make({"a": b"one"})
    mounted = hub.mount(write=True)
    (mounted / "b").write_bytes(b"two")
    kill(server_of(hub, mounted))
    assert listed(hub) == {"m": "broken, uncommitted"}
    for words in ("status m", "commit m -m x", "diff m"):
        assert "kamld umount" in hub(words, status=3)
    assert "already_mounted" in hub("mount data m --write", status=1)
    said = hub("umount m")
    assert "Nobody served it any more" in said
    assert "are not committed" in said
    assert (hub.mount(write=True) / "b").read_bytes() == b"two"


@fuse
def test_what_is_in_use_stays(hub: Hub, make: Make) -> None:
    make({"a": b"one"})
    mounted = hub.mount()
    with open(mounted / "a", "rb"):
        said = hub("umount m", status=1)
        assert f"({os.getpid()})" in said
        assert (mounted / "a").read_bytes() == b"one"
    hub("umount m")


@fuse
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_server_that_is_told_to_end_unmounts(hub: Hub, make: Make, number: int) -> None:
    make({"a": b"one"})
    with process("mount data m --foreground --write", cwd=hub.here) as server:
        deadline = time.monotonic() + 30
        while not (hub.here / "m/a").exists():
            assert time.monotonic() < deadline
            time.sleep(0.02)
        (hub.here / "m/b").write_bytes(b"two")
        server.send_signal(number)
        said, errors = server.communicate(timeout=60)
        assert (server.returncode, errors) == (0, "")
        assert said.splitlines()[-1] == f"{hub.here / 'm'} is unmounted."
    assert str(hub.here / "m") not in mounted_folders()
    assert listed(hub) == {"m": "kept, uncommitted"}


@fuse
def test_what_cannot_be_mounted(hub: Hub, make: Make) -> None:
    make({"a": b"one"})
    hub("tag data v-one")
    assert "not_a_branch" in hub("mount data@v-one m --write", status=1)
    assert "target_exists" in hub("mount data data", status=1)
    assert "unknown_name" in hub("mount nothing m", status=1)
    hub.mount()
    assert "already_mounted" in hub("mount data m", status=1)
    assert not (hub.here / "n").exists()


@fuse
def test_a_mount_that_cannot_start_says_why(hub: Hub, make: Make) -> None:
    """The process that was started for it fails; its reason is told here."""
    make({"a": b"one"})
    mounted = hub.mount(write=True)
    (mounted / "b").write_bytes(b"two")
    layer = hub.layer(mounted)
    hub("umount m")
    (layer / ".kamld/folder.json").write_bytes(b"not a record")
    assert "damaged_record" in hub("mount data m --write", status=3)


@fuse
def test_a_hub_deep_down(hub: Hub, make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A socket's name is short, a hub's need not be."""
    monkeypatch.setenv("KAMLD_HUB", str(tmp_path / ("a folder with a long name/" * 6) / "hub"))
    make({"a": b"one"})
    mounted = hub.mount(write=True)
    (mounted / "b").write_bytes(b"two")
    assert "new" in hub("status m")


@fuse
def test_from_python(hub: Hub, make: Make) -> None:
    make({"a": b"one"})
    data = kamld.dataset("data")
    with data.at().mount("there") as folder:
        assert (folder / "a").read_bytes() == b"one"
        with pytest.raises(OSError, match="Read-only"):
            (folder / "b").touch()
    mounted = data.at("main").mount("there", write=True)
    (mounted.folder / "b").write_bytes(b"two")
    assert [change.path for change in data.status("there")] == ["b"]
    assert data.commit("there", "second").changed
    (mounted.folder / "c").touch()
    assert mounted.umount()
    with pytest.raises(kamld.KamldError, match="not committed"):
        data.at().mount("there")
    with pytest.raises(kamld.KamldError, match="Only a branch"):
        data.at("main~1").mount("elsewhere", write=True)


@fuse
def test_whom_file_permissions_stop(hub: Hub, make: Make, unprivileged: Unprivileged) -> None:
    make({"a": b"one"})
    mounted = hub.mount()
    write = ["sh", "-c", 'echo x > "$0"', str(mounted / "a")]
    done = subprocess.run(unprivileged.command(*write), capture_output=True, check=False)
    assert done.returncode != 0


# --- what may be missing; nothing is mounted here


def test_without_mfusepy(monkeypatch: pytest.MonkeyPatch) -> None:
    def nothing(name: str) -> None:
        assert name == "mfusepy"

    monkeypatch.setattr(launch, "find_spec", nothing)
    with pytest.raises(kamld.KamldError, match=r"pip install 'kamld\[mount\]'") as raised:
        check_possible()
    assert (raised.value.code, raised.value.exit_status) == ("mount_unavailable", 3)


def test_without_libfuse(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(_: str) -> None:
        raise OSError("cannot open shared object file")

    monkeypatch.setattr(ctypes, "CDLL", missing)
    with pytest.raises(kamld.KamldError, match="apt install fuse3"):
        check_possible()


def test_without_the_device(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(ctypes, "CDLL", lambda _: None)
    monkeypatch.setattr(launch, "_DEVICE", tmp_path / "fuse")
    with pytest.raises(kamld.KamldError, match="--device /dev/fuse"):
        check_possible()


def test_without_fusermount(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(ctypes, "CDLL", lambda _: None)
    (tmp_path / "fuse").touch()
    monkeypatch.setattr(launch, "_DEVICE", tmp_path / "fuse")
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(kamld.KamldError, match="fusermount3 is not installed"):
        check_possible()


def test_no_command_but_the_server_loads_the_library() -> None:
    rooms = "kamld.cli.verb_mount, kamld.cli.verb_umount, kamld.api.version"
    script = f"import sys, {rooms}; print('mfusepy' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
    assert importlib.util.find_spec("mfusepy")


# --- the journal


def test_a_journal_that_was_cut_off(tmp_path: Path) -> None:
    """At any byte: what is before is there, what was cut never happened, and writing goes on behind."""
    path = tmp_path / "journal"
    ops = [Start("c" * 64, 1), Put(b"a", FILE, 0o644, 5, 6, 7), Gone(b"a/\xff", 8)]
    journal = Journal(path)
    for op in ops:
        journal.append(op)
    journal.close()
    whole = path.read_bytes()
    seen = set()
    for length in range(len(whole) + 1):
        path.write_bytes(whole[:length])
        journal = Journal(path)
        found = journal.read()
        assert found == ops[: len(found)]
        journal.append(ops[2])
        journal.close()
        journal = Journal(path)
        assert journal.read() == [*found, ops[2]]
        journal.close()
        seen.add(len(found))
    assert seen == {0, 1, 2, 3}


def test_a_journal_with_a_flipped_bit(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    journal = Journal(path)
    for number in range(5):
        journal.append(Gone(b"path", number))
    journal.close()
    whole = path.read_bytes()
    for at in range(len(whole)):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 4]) + whole[at + 1 :])
        journal = Journal(path)
        assert len(journal.read()) == at * 5 // len(whole)
        journal.close()


@fuse
def test_a_mount_knows_its_hub_by_more_than_its_place(hub: Hub, make: Make, tmp_path: Path) -> None:
    make({"a": b"one"})
    mounted = hub.mount(write=True)
    (mounted / "a").write_bytes(b"two")
    made = tmp_path / "hub/kamld-hub.json"
    own = made.read_bytes()
    hub(f"--hub {tmp_path}/other commit data --name theirs -m other", status=1)
    (hub.here / "theirs").mkdir()
    (hub.here / "theirs/a").touch()
    hub(f"--hub {tmp_path}/other commit theirs -m other")
    made.write_bytes((tmp_path / "other/kamld-hub.json").read_bytes())
    assert "other_hub" in hub("status m", status=1)
    assert "other_hub" in hub("commit m -m two", status=1)
    hub("umount m")
    refused = hub("mount data m --write", status=1)
    assert "layer_of_another" in refused
    made.write_bytes(own)
    hub("mount data m --write")
    hub("commit m -m two")
    assert hub("cat data:a") == "two"


@fuse
def test_what_was_written_goes_on_in_a_hub_that_was_moved(
    hub: Hub, make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make({"a": b"one"})
    mounted = hub.mount(write=True)
    (mounted / "a").write_bytes(b"two")
    hub("umount m")
    (tmp_path / "hub").rename(tmp_path / "moved")
    monkeypatch.setenv("KAMLD_HUB", str(tmp_path / "moved"))
    hub("mount data m --write")
    assert "changed  a" in hub("status m")
    hub("commit m -m two")
    assert hub("cat data:a") == "two"
