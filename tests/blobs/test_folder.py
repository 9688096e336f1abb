"""Blobs in a folder: what every place must do, and what only a real disk can do to them."""

import errno
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kamld.blobs import FolderBlobs, Missing
from kamld.errors import SystemFault
from tests.blobs.conformance import Conformance, Open, count
from tests.conftest import SmallDisk, Unprivileged

LARGE = b"large" * 500_000  # written in the background


class TestFolder(Conformance):
    @pytest.fixture
    def open(self, tmp_path: Path) -> Open:
        return lambda: FolderBlobs(tmp_path / "some" / "hub")


@pytest.fixture
def hub(tmp_path: Path) -> Path:
    return tmp_path / "hub"


def put_and_flush(blobs: FolderBlobs, objects: dict[str, bytes]) -> None:
    for key, value in objects.items():
        blobs.put(key, [value])
    blobs.flush()


def leftovers(hub: Path) -> list[str]:
    return os.listdir(hub / "tmp") if (hub / "tmp").exists() else []


def test_a_counter_among_processes(hub: Path) -> None:
    spawn = multiprocessing.get_context("spawn")
    processes = [spawn.Process(target=_count, args=(hub,)) for _ in range(8)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0] * 8
    assert FolderBlobs(hub).get("counter") == b"400"


def _count(hub: Path) -> None:
    count(FolderBlobs(hub), 50)


def test_a_killed_holder_leaves_no_lock(hub: Path) -> None:
    program = (
        "import fcntl, os, sys, time\n"
        "for n in range(256):\n"
        "    lock = os.open(f'{sys.argv[1]}/locks/{n:02x}', os.O_RDWR | os.O_CREAT)\n"
        "    fcntl.flock(lock, fcntl.LOCK_EX)\n"
        "print('held', flush=True)\n"
        "time.sleep(60)\n"
    )
    (hub / "locks").mkdir(parents=True)
    with subprocess.Popen([sys.executable, "-c", program, hub], stdout=subprocess.PIPE) as holder:
        assert holder.stdout
        assert holder.stdout.readline() == b"held\n"
        swap = threading.Thread(target=FolderBlobs(hub).swap, args=("k", None, b"v"))
        swap.start()
        swap.join(0.3)
        assert swap.is_alive()
        holder.kill()
    swap.join(10)
    assert FolderBlobs(hub).get("k") == b"v"


# --- the order in which things reach the disk


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """(call, path) of all syncs, renames and new folders, as they happen."""
    told: list[tuple[str, str]] = []
    for name in ("fsync", "rename", "mkdir"):
        monkeypatch.setattr(os, name, _telling(name, getattr(os, name), told))
    return told


def _telling(name: str, real: Callable[..., Any], told: list[tuple[str, str]]) -> Callable[..., Any]:
    def call(*arguments: Any, **more: Any) -> Any:
        first = arguments[0]
        where = os.readlink(f"/proc/self/fd/{first}") if isinstance(first, int) else str(arguments[-1])
        told.append((name, str(first) if name == "mkdir" else where))
        return real(*arguments, **more)

    return call


@pytest.mark.parametrize("value", [b"small", LARGE], ids=["small", "large"])
def test_put_is_durable_after_flush(hub: Path, calls: list[tuple[str, str]], value: bytes) -> None:
    blobs = FolderBlobs(hub)
    blobs.put("packs/ab/x.pack", [value])
    blobs.flush()
    _check_order(hub, calls, "packs/ab/x.pack")
    assert ("fsync", str(hub.parent)) in calls  # the hub itself is in its folder
    assert ("fsync", str(hub)) in calls
    assert ("fsync", str(hub / "packs")) in calls


def test_swap_is_durable_when_it_returns(hub: Path, calls: list[tuple[str, str]]) -> None:
    blobs = FolderBlobs(hub)
    blobs.swap("refs/1/main", None, b"one")
    calls.clear()
    blobs.swap("refs/1/main", b"one", b"two")
    _check_order(hub, calls, "refs/1/main")


def _check_order(hub: Path, calls: list[tuple[str, str]], key: str) -> None:
    renamed = calls.index(("rename", str(hub / key)))
    name, where = calls[renamed - 1]
    assert (name, Path(where).parent) == ("fsync", hub / "tmp"), "its bytes come first"
    assert ("fsync", str((hub / key).parent)) in calls[renamed:], "then its name"


def test_what_another_wrote_is_made_durable_too(hub: Path, calls: list[tuple[str, str]]) -> None:
    FolderBlobs(hub).put("packs/x", [b"v"])
    calls.clear()
    again = FolderBlobs(hub)
    again.put("packs/x", [b"v"])
    assert ("fsync", str(hub / "packs")) in calls
    calls.clear()
    again.batch().put("packs/x", [b"v"])
    assert calls == [("fsync", str(hub / "packs"))]


def test_a_folder_that_another_made_is_made_durable_too(hub: Path, calls: list[tuple[str, str]]) -> None:
    (hub / "packs" / "ab").mkdir(parents=True)
    calls.clear()
    FolderBlobs(hub).put("packs/ab/x.pack", [b"v"])
    renamed = next(at for at, (name, _) in enumerate(calls) if name == "rename")
    for folder in (hub, hub / "packs"):  # each has the entry of the next, which may not be synced yet
        assert ("fsync", str(folder)) in calls[:renamed]


# --- refusals


@pytest.mark.parametrize("value", [b"small", LARGE], ids=["small", "large"])
@pytest.mark.parametrize("call", ["fsync", "rename", "writev"])
def test_a_failing_disk(hub: Path, monkeypatch: pytest.MonkeyPatch, call: str, value: bytes) -> None:
    blobs = FolderBlobs(hub)
    blobs.put("there", [b"before"])

    def refuse(*_: object) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, call, refuse)
    with pytest.raises(SystemFault) as fault:
        put_and_flush(blobs, {"packs/x": value})
    monkeypatch.undo()
    assert fault.value.code == "io_error"
    assert leftovers(hub) == []
    with pytest.raises(Missing):
        blobs.get("packs/x")
    blobs.flush()  # said once
    blobs.put("packs/x", [value])
    blobs.flush()
    assert blobs.get("packs/x") == value


def test_a_failed_put_is_told_to_its_own_batch_only(hub: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    blobs = FolderBlobs(hub)
    mine, others = blobs.batch(), blobs.batch()
    monkeypatch.setattr(os, "writev", _refuse_large(os.writev))
    mine.put("mine", [LARGE])
    others.put("others", [b"small"])
    others.flush()
    with pytest.raises(SystemFault):
        mine.flush()
    assert others.get("others") == b"small"


def test_a_failure_that_put_told_is_told_by_flush_again(hub: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else a writer that has several threads could take its packs for durable."""
    blobs = FolderBlobs(hub)
    monkeypatch.setattr(os, "writev", _refuse_large(os.writev))
    with pytest.raises(SystemFault):
        put_and_flush(blobs, {f"packs/{number}": LARGE for number in range(10)})
    with pytest.raises(SystemFault):
        blobs.flush()


def _refuse_large(real: Callable[..., int]) -> Callable[..., int]:
    def writev(file: int, parts: list[memoryview]) -> int:
        if sum(map(len, parts)) > 1_000_000:
            raise OSError(errno.EIO, "Input/output error")
        return real(file, parts)

    return writev


def test_short_writes_are_completed(hub: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.writev
    monkeypatch.setattr(os, "writev", lambda file, parts: real(file, [bytes(parts[0][:7])]))
    blobs = FolderBlobs(hub)
    parts = [b"abc", b"", b"d" * 100, b"efghijk", b"l"]
    blobs.put("k", parts)
    assert blobs.get("k") == b"".join(parts)


def test_full_disk(small_disk: SmallDisk) -> None:
    """A real one. The program runs in a process of its own, since the disk may be there only."""
    program = """
import os, sys
from pathlib import Path
from kamld.blobs import FolderBlobs, Missing
from kamld.errors import SystemFault

hub = Path(sys.argv[1], "hub")
blobs = FolderBlobs(hub)
blobs.swap("refs/main", None, b"one")
for size in (900_000, 64_000_000):  # at once, and in the background
    value = os.urandom(1000) * (size // 1000)
    for number in range(64_000_000 // size):
        try:
            blobs.put(f"packs/{size}-{number}", [value])
            blobs.flush()
        except SystemFault as fault:
            assert fault.code == "no_space", fault.code
            break
    else:
        raise AssertionError("the disk is too large")
    assert os.listdir(hub / "tmp") == []
    assert all(listed.size == size for listed in blobs.list("packs/") if f"{size}-" in listed.key)
    try:
        blobs.swap("refs/main", b"one", b"t" * 9_000_000)
        raise AssertionError("it had room")
    except SystemFault as fault:
        assert fault.code == "no_space", fault.code
    assert blobs.get("refs/main") == b"one"
    for listed in list(blobs.list("packs/")):
        blobs.delete(listed.key)
blobs.swap("refs/main", b"one", b"two")
"""
    done = small_disk.run(sys.executable, "-c", program, small_disk.path)
    assert done.returncode == 0, done.stderr


def test_no_permission(hub: Path, unprivileged: Unprivileged) -> None:
    blobs = FolderBlobs(hub)
    blobs.put("packs/x", [b"v"])
    blobs.swap("refs/main", None, b"one")
    hub.joinpath("refs", "main").chmod(0)
    for folder in (hub / "packs", hub / "tmp"):
        folder.chmod(0)
    attempts: list[Callable[[], object]] = [
        lambda: FolderBlobs(hub).get("refs/main"),
        lambda: FolderBlobs(hub).get("packs/x"),
        lambda: FolderBlobs(hub).view("packs/x"),
        lambda: FolderBlobs(hub).put("packs/y", [b"v"]),
        lambda: FolderBlobs(hub).put("new", [b"v"]),
        lambda: FolderBlobs(hub).swap("refs/main", b"one", b"two"),
        lambda: FolderBlobs(hub).delete("packs/x"),
        lambda: list(FolderBlobs(hub).list("packs/")),
    ]
    with unprivileged.here():
        for attempt in attempts:
            with pytest.raises(SystemFault) as fault:
                attempt()
            assert fault.value.code == "no_permission"
            assert str(hub) in fault.value.message
    for path in (hub / "packs", hub / "tmp", hub / "refs" / "main"):
        path.chmod(0o700)
    assert leftovers(hub) == []
    assert FolderBlobs(hub).get("refs/main") == b"one"


def test_a_hub_that_cannot_be_made(tmp_path: Path, unprivileged: Unprivileged) -> None:
    (tmp_path / "file").write_text("")
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o500)
    with unprivileged.here():
        for place, code in ((tmp_path / "file" / "hub", "io_error"), (closed / "hub", "no_permission")):
            with pytest.raises(SystemFault) as fault:
                FolderBlobs(place).swap("k", None, b"v")
            assert fault.value.code == code
            assert str(place.parent) in fault.value.message
            with pytest.raises(Missing):
                FolderBlobs(place).get("k")


def test_a_hub_that_was_removed_meanwhile(hub: Path) -> None:
    blobs = FolderBlobs(hub)
    blobs.put("a/b", [b"v"])
    hub.rename(hub.with_name("elsewhere"))
    with pytest.raises(SystemFault) as fault:
        blobs.put("a/c", [b"v"])
    assert fault.value.code == "io_error"
    assert str(hub) in fault.value.message


def test_only_its_owner_can_look_inside(hub: Path) -> None:
    FolderBlobs(hub).put("k", [b"v"])
    assert hub.stat().st_mode & 0o077 == 0


def test_leftovers_of_the_killed_go_after_a_day(hub: Path) -> None:
    (hub / "tmp").mkdir(parents=True)
    for name, age in (("old", 25 * 3600), ("new", 60)):
        (hub / "tmp" / name).write_bytes(b"half")
        os.utime(hub / "tmp" / name, (time.time() - age,) * 2)
    FolderBlobs(hub).put("k", [b"v"])
    assert leftovers(hub) == ["new"]


def test_its_own_folders_hold_no_objects(hub: Path) -> None:
    blobs = FolderBlobs(hub)
    blobs.swap("local-things/a", None, b"")
    for name in ("tmp", "locks", "local"):
        (hub / name).mkdir(exist_ok=True)
        (hub / name / "file").write_bytes(b"")
    assert [listed.key for listed in blobs.list("")] == ["local-things/a"]


# --- turns

_HOLDER = """
import sys, time
from pathlib import Path
from kamld.blobs import FolderBlobs
with FolderBlobs(Path(sys.argv[1])).turn("index", 0) as alone:
    print(alone, flush=True)
    time.sleep(600)
"""


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSTOP])
def test_who_is_dead_or_stopped_is_not_waited_for(hub: Path, how: signal.Signals) -> None:
    with subprocess.Popen([sys.executable, "-c", _HOLDER, str(hub)], stdout=-1, text=True) as holder:
        assert holder.stdout
        assert holder.stdout.readline() == "True\n"
        blobs = FolderBlobs(hub)
        with blobs.turn("index", 0.05) as alone:
            assert not alone
        holder.send_signal(how)
        with blobs.turn("index", 60 if how == signal.SIGKILL else 0.2) as alone:
            assert alone == (how == signal.SIGKILL)
        holder.kill()
    with blobs.turn("index", 60) as alone:  # nobody who gave up waiting has it
        assert alone


@pytest.mark.parametrize("size", [0, 1, 128 * 1024, 128 * 1024 + 1])
def test_a_view_is_whole_however_large_and_outlives_its_file(hub: Path, size: int) -> None:
    blobs, value = FolderBlobs(hub), os.urandom(size)
    put_and_flush(blobs, {"some/thing": value})
    view = blobs.view("some/thing")
    blobs.delete("some/thing")
    assert view.readonly
    assert bytes(view) == value
    with pytest.raises(Missing):
        blobs.view("some/thing")
