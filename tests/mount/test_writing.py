"""What is written into a mount: by what programs, in what commits, kept through what."""

import json
import os
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import pytest

from kamld.blobs import FolderBlobs
from kamld.mount import kept_for_layers
from kamld.store import open_hub
from kamld.store.gc import collect
from tests.cli.conftest import process
from tests.conftest import SmallDisk
from tests.mount.conftest import Hub, kill, python, server_of
from tests.mount.test_as_a_folder import kept, state_of
from tests.mount.test_reading import large

pytestmark = pytest.mark.needs("fuse")

Make = Callable[..., Path]


# --- programs


@pytest.mark.needs("git")
def test_git(hub: Hub, make: Make) -> None:
    mounted = (make({"a": b"one\n", "d/b": b"two\n"}), hub.mount(write=True))[1]

    def git(*words: str) -> str:
        settings = ["-c", "user.name=Ann", "-c", "user.email=ann@example.org"]
        command = ["git", *settings, *words]
        return subprocess.run(command, cwd=mounted, check=True, capture_output=True, text=True).stdout

    git("init", "-b", "main")
    git("add", "-A")
    git("commit", "-m", "in a mount")
    (mounted / "a").write_text("changed\n")
    assert git("status", "--short") == " M a\n"
    git("commit", "-a", "-m", "more")
    git("gc")
    git("fsck", "--strict")
    git("checkout", "-b", "other", "HEAD~1")
    assert (mounted / "a").read_text() == "one\n"
    hub("commit m -m 'with its history'")
    assert git("status", "--short") == ""


def test_sqlite(hub: Hub, make: Make) -> None:
    """In both ways that it keeps a journal; the second maps memory that processes share."""
    make({"a": b"one"})
    mounted = hub.mount(write=True)
    script = """if True:
        import sqlite3, sys
        for mode in ("delete", "wal"):
            base = sqlite3.connect(f"{sys.argv[1]}/{mode}.sqlite")
            base.execute(f"pragma journal_mode={mode}")
            base.execute("create table t (n integer primary key, text)")
            for n in range(40):
                with base:
                    base.executemany("insert into t (text) values (?)", [(str(n) * 50,)] * 25)
            base.execute("delete from t where n % 2")
            base.commit()
            base.execute("vacuum")
            print(*base.execute("pragma integrity_check"), *base.execute("select count(*) from t"))
            base.close()
    """
    assert python(script, mounted) == "('ok',) (500,)\n" * 2
    kill(server_of(hub, mounted))
    hub("umount m")
    check = "import sqlite3, sys; print(*sqlite3.connect(sys.argv[1]).execute('select count(*) from t'))"
    assert python(check, hub.mount(write=True) / "wal.sqlite") == "(500,)\n"


def test_a_copy_with_all_that_cp_keeps(hub: Hub, make: Make, tmp_path: Path) -> None:
    source = tmp_path / "source"
    for name in ("a", "b/c", "b/d/e"):
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_bytes(random.Random(name).randbytes(3000))
        os.utime(source / name, ns=(10**18, 10**18))
    (source / "b/c").chmod(0o755)
    (source / "link").symlink_to("b/c")
    make({"first": b"1"})
    target = hub.mount(write=True) / "copied"
    subprocess.run(["cp", "-a", source, target], check=True, capture_output=True)
    assert state_of(target) == state_of(source)
    assert (target / "b/c").stat().st_mtime_ns == 10**18
    hub("commit m -m copied")
    assert (target / "b/c").stat().st_mtime_ns == 10**18  # a commit changes nothing that is seen
    subprocess.run(["tar", "-cf", target.parent / "all.tar", "-C", target, "."], check=True)
    subprocess.run(["tar", "-tf", target.parent / "all.tar"], check=True, capture_output=True)


def test_many_writers_at_once(hub: Hub, make: Make) -> None:
    make({f"d{n}/x": b"x" for n in range(4)})
    mounted = hub.mount(write=True)

    def work(number: int) -> None:
        folder = mounted / f"d{number % 4}"
        for n in range(60):
            path = folder / f"{number}-{n}"
            path.write_bytes(b"%d" % n * 100)
            path.rename(path.with_suffix(".done"))

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(8)))
    found = state_of(mounted)
    assert len([path for path in found if path.endswith(".done")]) == 480
    hub("commit m -m all")
    hub("checkout data copy")
    assert kept(state_of(hub.here / "copy")) == kept(found)


def test_a_folder_of_the_version_moves_at_once(hub: Hub, make: Make) -> None:
    make({f"many/{n}": b"%d" % n for n in range(3000)})
    mounted = hub.mount(write=True)
    (mounted / "many").rename(mounted / "moved")
    assert sum(path.stat().st_size for path in hub.layer(mounted).glob("journal")) < 1000
    assert (mounted / "moved/17").read_bytes() == b"17"
    (mounted / "moved/17").unlink()
    assert "2,999 files" in hub("status m")
    hub("commit m -m moved")
    assert (mounted / "moved/18").read_bytes() == b"18"
    assert "2,999 files" in hub("status m")


def test_what_no_version_has_is_refused(hub: Hub, make: Make) -> None:
    make({"a": b"one"})
    mounted = hub.mount(write=True)
    for refused in (
        lambda: os.link(mounted / "a", mounted / "b"), lambda: os.mkfifo(mounted / "pipe"),
        lambda: (mounted / "sub/.kamld").mkdir(parents=True),
    ):  # fmt: skip
        with pytest.raises(PermissionError):
            refused()


def test_a_change_of_a_large_file(hub: Hub, make: Make) -> None:
    """It is copied when it is first written to; a commit adds what is new."""
    data = large(8_000_000)
    make({"large": data})
    mounted = hub.mount(write=True)
    with open(mounted / "large", "r+b") as file:
        assert not list((hub.layer(mounted) / "data").iterdir())
        file.seek(4_000_000)
        file.write(b"here")
    said = json.loads(hub("commit m -m changed --json"))
    assert said["bytes_added"] < 400_000
    assert not list((hub.layer(mounted) / "data").iterdir())
    expected = data[:4_000_000] + b"here" + data[4_000_004:]
    assert (mounted / "large").read_bytes() == expected


def test_a_file_that_stays_open_through_a_commit(hub: Hub, make: Make) -> None:
    make({"log": b"0\n"})
    mounted = hub.mount(write=True)
    with open(mounted / "log", "ab", buffering=0) as file, open(mounted / "log", "rb", buffering=0) as reader:
        for number in range(1, 4):
            file.write(b"%d\n" % number)
            hub(f"commit m -m 'line {number}'")
        file.write(b"4\n")
        assert reader.read(100) == b"0\n1\n2\n3\n4\n"
    assert hub("cat data:log") == "0\n1\n2\n3\n"
    assert "log" in hub("status m")


# --- commits


def test_a_commit_reads_the_layer_alone(hub: Hub, make: Make) -> None:
    """Of a version whose files cannot be read: nobody tries."""
    make({"large": large(), "a": b"one"})
    mounted = hub.mount(write=True)
    (mounted / "new").write_bytes(b"new")
    said = json.loads(hub("commit m -m added --json"))
    assert (said["files"], said["bytes_added"] < 5000) == (3, True)


def test_status_and_diff(hub: Hub, make: Make) -> None:
    make({"t.csv": b"id,v\n1,a\n2,b\n", "gone": b"1", "same": b"2", "touched": b"3", "d/x": b"4"})
    mounted = hub.mount(write=True)
    (mounted / "t.csv").write_bytes(b"id,v\n1,a\n2,c\n")
    (mounted / "gone").unlink()
    (mounted / "touched").write_bytes(b"3")  # as it was
    (mounted / "new").symlink_to("same")
    (mounted / "d/x").rename(mounted / "d/y")
    found = json.loads(hub("status m --json"))
    assert {(c["path"], c["change"]) for c in found["changes"]} == {
        ("t.csv", "changed"), ("gone", "removed"), ("new", "added"), ("d/x", "removed"), ("d/y", "added"),
    }  # fmt: skip
    assert "1 row changed" in hub("diff m t.csv --key id") or "~1" in hub("diff m t.csv --key id")
    monkey = os.getcwd()
    os.chdir(mounted / "d")
    try:
        assert "new" in hub("status")
    finally:
        os.chdir(monkey)


def test_what_kamldignore_names_stays_out_and_stays_there(hub: Hub, make: Make) -> None:
    make({"a": b"one", ".kamldignore": b"*.tmp\nscratch/\n"})
    mounted = hub.mount(write=True)
    (mounted / "x.tmp").write_bytes(b"t")
    (mounted / "scratch").mkdir()
    (mounted / "scratch/y").write_bytes(b"s")
    assert "Nothing has changed" in hub("status m")
    (mounted / "b").write_bytes(b"two")
    hub("commit m -m more")
    assert hub("ls data").count("tmp") == 0
    assert (mounted / "scratch/y").read_bytes() == b"s"
    hub("umount m")
    assert (hub.mount(write=True) / "x.tmp").read_bytes() == b"t"


def test_beside_others_who_commit(hub: Hub, make: Make) -> None:
    plain = make({"a": b"one", "b": b"two"})
    mounted = hub.mount(write=True)
    (plain / "a").write_bytes(b"theirs")
    hub("commit data -m theirs")
    (mounted / "b").write_bytes(b"mine")
    assert "merged in" in hub("commit m -m mine")
    assert (mounted / "a").read_bytes() == b"one"  # as every folder, it stays what it is
    (mounted / "a").write_bytes(b"mine, too")
    said = hub("commit m -m 'mine, too'")
    assert "kept as branch main-conflict-" in said
    assert hub("status m").startswith("data on main-conflict-")
    (mounted / "c").write_bytes(b"goes on there")
    hub("commit m -m more")


def test_amend_and_a_new_branch(hub: Hub, make: Make) -> None:
    make({"a": b"one"})
    mounted = hub.mount(write=True)
    (mounted / "a").write_bytes(b"two")
    hub("commit m -b try -m second")
    assert hub("status m").startswith("data on try")
    (mounted / "b").write_bytes(b"forgotten")
    hub("commit m --amend")
    assert len(hub("log data@try").splitlines()) == 2
    assert "Nothing has changed" in hub("status m")
    assert "is_a_mount" in hub("switch m main", status=1)
    assert "is_a_mount" in hub("restore m a", status=1)


def test_commits_that_are_killed(hub: Hub, make: Make) -> None:
    """At any moment; what is in the mount is the same, the next commit lands it, nothing is said twice."""
    make({f"d/{n}": b"%d" % n for n in range(300)})
    mounted = hub.mount(write=True)
    pick = random.Random(3)
    landed = 0
    for number in range(14):
        (mounted / f"new{number}").write_bytes(pick.randbytes(200_000))
        (mounted / f"d/{number}").unlink()
        before = state_of(mounted)
        with process(f"commit m -m 'number {number}'", cwd=hub.here) as one:
            time.sleep(pick.uniform(0.1, 0.75))
            kill(one.pid)
            one.communicate()
        assert state_of(mounted) == before
        landed += "Nothing has changed" in hub("status m")
    hub("commit m -m last")
    assert "Nothing has changed" in hub("status m")
    hub("checkout data copy")
    assert kept(state_of(hub.here / "copy")) == kept(state_of(mounted))
    hub("fsck")
    assert landed < 14, "none was killed before it landed"


def test_a_server_killed_while_it_is_committed(hub: Hub, make: Make) -> None:
    make({f"d/{n}": b"%d" % n for n in range(300)})
    pick = random.Random(4)
    for number in range(8):
        mounted = hub.mount(write=True)
        (mounted / f"new{number}").write_bytes(pick.randbytes(400_000))
        (mounted / f"d/{number}").unlink()
        before, server = state_of(mounted), server_of(hub, mounted)
        with process(f"commit m -m 'number {number}'", cwd=hub.here) as one:
            time.sleep(pick.uniform(0.2, 0.75))
            kill(server)
            one.communicate()
        hub("umount m")
        mounted = hub.mount(write=True)
        assert state_of(mounted) == before
        hub("commit m -m again")
        assert "Nothing has changed" in hub("status m")
        hub("umount m")
    hub("fsck")


def test_writers_wait_while_a_commit_reads(hub: Hub, make: Make) -> None:
    """Whatever a program writes meanwhile is in this commit or in the next, never half of it."""
    make({"a": b"one"})
    mounted = hub.mount(write=True)
    script = """if True:
        import pathlib, sys, time
        end = time.time() + 5
        n = 0
        while time.time() < end:
            n += 1
            path = pathlib.Path(sys.argv[1], "state")
            path.with_name("next").write_bytes(b"%d\\n" % n * 20_000)
            path.with_name("next").replace(path)
    """
    with subprocess.Popen([sys.executable, "-c", script, str(mounted)]) as writer:
        done = 0
        while writer.poll() is None:
            hub("commit m -m some")
            done += 1
    assert done > 3
    for commit in json.loads(hub("log data --json"))[:-1]:
        hub(f"export data@{commit['commit']} copy")
        data = (hub.here / "copy/state").read_bytes() if (hub.here / "copy/state").exists() else b""
        assert len(set(data.splitlines())) <= 1
        shutil.rmtree(hub.here / "copy")


def test_more_writers_than_the_mount_has_threads(hub: Hub, make: Make) -> None:
    """All wait while a commit reads; it ends all the same, and nothing of theirs is lost."""
    make({f"d{n}/x": b"x" for n in range(16)})
    mounted = hub.mount(write=True)
    script = """if True:
        import json, pathlib, sys, threading, time
        counts, end = {}, time.time() + 5
        def work(folder):
            n = 0
            while time.time() < end:
                n += 1
                (folder / str(n)).write_bytes(b"%d" % n * 1000)
                (folder / str(n)).rename(folder / f"{n}.done")
            counts[folder.name] = n
        folders = [pathlib.Path(sys.argv[1], f"d{n}") for n in range(16)]
        threads = [threading.Thread(target=work, args=(folder,)) for folder in folders]
        [thread.start() for thread in threads]
        [thread.join() for thread in threads]
        print(json.dumps(counts))
    """
    command = [sys.executable, "-c", script, str(mounted)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as writer:
        while writer.poll() is None:
            hub("commit m -m some")
        said, _ = writer.communicate()
    hub("commit m -m last")
    hub("checkout data copy")
    for name, count in json.loads(said).items():
        for number in range(1, count + 1):
            assert (hub.here / f"copy/{name}/{number}.done").read_bytes() == b"%d" % number * 1000


@pytest.mark.parametrize("small_disk", [24], indirect=True)
def test_where_the_disk_is_full(
    hub: Hub, make: Make, small_disk: SmallDisk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Programs are told so; what was written before is there, and writing goes on once there is room."""
    monkeypatch.setenv("KAMLD_HUB", str(small_disk.path / "hub"))
    make({"a": b"one", "large": large(2_000_000)})
    mounted = hub.mount(write=True)
    (mounted / "before").write_bytes(b"before")
    with pytest.raises(OSError, match="No space left"):
        (mounted / "big").write_bytes(b"x" * 30_000_000)
    with pytest.raises(OSError, match="No space left"):
        os.truncate(mounted / "large", 1_900_000)  # needs a copy of it
    assert (mounted / "large").read_bytes() == large(2_000_000)
    assert (mounted / "before").read_bytes() == b"before"
    assert "no_space" in hub("commit m -m 'too much'", status=3)
    (mounted / "big").unlink()
    (mounted / "after").write_bytes(b"after")
    hub("commit m -m 'after all'")
    assert hub("cat data:after") == "after"
    hub("umount m")


def test_collection_leaves_what_a_layer_is_over(hub: Hub, make: Make, tmp_path: Path) -> None:
    """Nothing is mounted at the moment, and no branch leads there any more; what was written does."""
    make({"a": b"one"})
    hub("branch data side")
    hub("checkout data@side side")
    (hub.here / "side/large").write_bytes(large())
    hub("commit side -m 'on the side'")
    mounted = hub.mount("data@side", write=True)
    (mounted / "b").write_bytes(b"two")
    hub("umount m")
    hub("branch data side --remove")
    repository = open_hub(FolderBlobs(tmp_path / "hub"))
    for _ in range(3):
        collect(repository, 0, timedelta(0), frozenset(kept_for_layers(tmp_path / "hub/local/mounts")))
    hub("undo data@side")
    mounted = hub.mount("data@side", write=True)
    assert (mounted / "large").read_bytes() == large()
    hub("commit m -m 'and it lands'")
    assert "what was written" not in hub("gc --why data@side")
