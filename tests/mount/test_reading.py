"""What a mount shows is what a checkout would have, however it is read."""

import mmap
import os
import random
import stat
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from functools import partial
from pathlib import Path

import pytest

from kamld.blobs import FolderBlobs
from kamld.store import open_hub
from kamld.store.gc import collect
from tests.mount.conftest import Hub, python
from tests.mount.test_as_a_folder import state_of

pytestmark = pytest.mark.needs("fuse")

Make = Callable[..., Path]


def large(size: int = 3_000_000) -> bytes:
    """Partly compressible, larger than the pieces that it is kept in."""
    some = random.Random(5)
    return b"".join(some.randbytes(500) + b"0" * 700 for _ in range(size // 1200))


FILES = {
    "large.bin": large(), "sub/table.csv": b"a,b\n" + b"1,2\n" * 40_000, "sub/deep/er/x": b"x", "none": b"",
    "run.sh": b"#!/bin/sh\necho it runs\n", "ä ö/名": b"name",
}  # fmt: skip


def test_the_same_as_a_checkout(hub: Hub, make: Make) -> None:
    make(
        FILES,
        links={"to": "sub/table.csv", "nowhere": "/no/such/thing"},
        empty=["e/f"],
        executable=["run.sh"],
    )
    hub("checkout data plain")
    mounted, plain = hub.mount(), hub.here / "plain"
    seen = state_of(mounted)
    assert {k: v[:3] for k, v in seen.items() if v[0] != "folder"} == {
        k: v[:3] for k, v in state_of(plain).items() if v[0] != "folder"
    }
    assert {k for k, v in seen.items() if v[0] == "folder"} == {
        k for k, v in state_of(plain).items() if v[0] == "folder"
    }
    assert python("import subprocess, sys; print(subprocess.check_output(sys.argv[1]))", mounted / "run.sh")


def test_attributes(hub: Hub, make: Make) -> None:
    make(FILES, links={"to": "none"}, executable=["run.sh"])
    mounted = hub.mount()
    about = {name: (mounted / name).lstat() for name in ("none", "run.sh", "sub", "to", "large.bin")}
    modes = {name: stat.filemode(found.st_mode) for name, found in about.items()}
    assert modes == {
        "none": "-r--r--r--", "run.sh": "-r-xr-xr-x", "sub": "dr-xr-xr-x", "to": "lrwxrwxrwx",
        "large.bin": "-r--r--r--",
    }  # fmt: skip
    assert len({found.st_ino for found in about.values()}) == 5
    assert {found.st_uid for found in about.values()} == {os.getuid()}
    assert about["large.bin"].st_size == len(FILES["large.bin"]) <= about["large.bin"].st_blocks * 512
    assert abs(about["none"].st_mtime - time.time()) < 60  # when it was committed
    numbers = {entry.name: entry.inode() for entry in os.scandir(mounted)}
    assert all(numbers[name] == found.st_ino for name, found in about.items())
    room = os.statvfs(mounted)
    assert room.f_blocks * room.f_frsize >= sum(map(len, FILES.values()))
    hub("umount m")
    again = {name: (hub.mount() / name).lstat().st_ino for name in ["none"]}
    assert again["none"] == about["none"].st_ino


def test_any_part_of_a_file(hub: Hub, make: Make) -> None:
    make(FILES)
    data, path, pick = FILES["large.bin"], hub.mount() / "large.bin", random.Random(1)
    with open(path, "rb", buffering=0) as file:
        for _ in range(300):
            at, length = pick.randrange(len(data) + 100), pick.choice([1, 100, 5000, 400_000])
            assert os.pread(file.fileno(), length, at) == data[at : at + length]
        with mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as mapped:
            for _ in range(100):
                at = pick.randrange(len(data))
                assert mapped[at : at + 999] == data[at : at + 999]


def test_many_readers_at_once(hub: Hub, make: Make) -> None:
    many = {f"many/{n:03}": random.Random(n).randbytes(n * 50) for n in range(400)}
    make(many | FILES)
    mounted = hub.mount()

    def read(seed: int) -> None:
        pick = random.Random(seed)
        for _ in range(150):
            name = pick.choice(sorted(many))
            assert (mounted / name).read_bytes() == many[name]
        assert (mounted / "large.bin").read_bytes() == FILES["large.bin"]

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(read, range(8)))


def test_a_large_folder_in_parts(hub: Hub, make: Make) -> None:
    names = [f"file with a long name {n:05}" for n in range(5000)]
    make({f"many/{name}": b"" for name in names} | {"many/sub/x": b"", "z": b"z"})
    folder = hub.mount() / "many"
    assert sorted(os.listdir(folder)) == sorted([*names, "sub"])
    assert sorted(os.listdir(folder)) == sorted([*names, "sub"])
    with os.scandir(folder) as first:
        some = [next(first).name for _ in range(10)]
        assert sorted(os.listdir(folder)) == sorted([*names, "sub"])  # between two looks of somebody else's
        assert sorted(some + [entry.name for entry in first]) == sorted([*names, "sub"])
    assert all(entry.stat().st_size == 0 for entry in os.scandir(folder) if entry.is_file())


def test_it_stays_the_version_it_was(hub: Hub, make: Make) -> None:
    plain = make({"a": b"one"})
    mounted = hub.mount()
    (plain / "a").write_bytes(b"another")
    hub("commit data -m second")
    assert (mounted / "a").read_bytes() == b"one"
    older = hub.mount("data@main~1", "older")
    newer = hub.mount("data@main", "newer")
    assert [(folder / "a").read_bytes() for folder in (older, newer)] == [b"one", b"another"]


def test_nothing_can_be_written(hub: Hub, make: Make) -> None:
    make({"a": b"one"})
    mounted = hub.mount()
    a = mounted / "a"
    changes: list[Callable[[], object]] = [
        partial(a.write_bytes, b"x"), partial(a.rename, mounted / "b"), partial(a.chmod, 0o777),
        a.unlink, (mounted / "new").touch, (mounted / "d").mkdir,
    ]  # fmt: skip
    for change in changes:
        with pytest.raises(OSError, match="Read-only file system"):
            change()
    assert "read_only" in hub("commit m -m x", status=1)
    assert "Nothing has changed" in hub("status m")


def test_collection_beside_it_leaves_what_it_shows(hub: Hub, make: Make, tmp_path: Path) -> None:
    """No branch leads to what is mounted any more, and its time is over; the mount keeps just that."""
    make({"a": b"one"})
    hub("branch data side")
    hub("checkout data@side side")
    (hub.here / "side/large").write_bytes(FILES["large.bin"])
    hub("commit side -m 'on the side'")
    mounted = hub.mount("data@side")
    hub("branch data side --remove")

    def collected() -> int:
        repository = open_hub(FolderBlobs(tmp_path / "hub"))
        for _ in range(3):
            collect(repository, 0, timedelta(0))
        return sum(path.stat().st_size for path in (tmp_path / "hub/packs").rglob("*.pack"))

    assert collected() > 1_000_000
    assert (mounted / "large").read_bytes() == FILES["large.bin"]
    assert (mounted / "a").read_bytes() == b"one"
    hub("umount m")
    assert collected() < 1_000_000


def test_damage_is_an_error_not_other_bytes(hub: Hub, make: Make, tmp_path: Path) -> None:
    make({"large": FILES["large.bin"], "fine": b"fine"})
    for pack in (tmp_path / "hub/packs").rglob("*.pack"):
        data = bytearray(pack.read_bytes())
        data[len(data) // 2] ^= 1
        pack.chmod(0o644)
        pack.write_bytes(data)
    mounted = hub.mount()
    with pytest.raises(OSError, match="Input/output error"):
        (mounted / "large").read_bytes()
    assert "damaged" in (hub.layer(mounted).parent / "log").read_text()


def test_what_others_read_tables_with(hub: Hub, make: Make) -> None:
    rows = "".join(f"{n},{n * n}\n" for n in range(20_000))
    make({"t.csv": f"n,square\n{rows}".encode()})
    mounted = hub.mount(write=True)
    script = """if True:
        import sys, pathlib, pandas, pyarrow.parquet
        top = pathlib.Path(sys.argv[1])
        table = pandas.read_csv(top / "t.csv")
        table.to_parquet(top / "t.parquet")
        back = pyarrow.parquet.read_table(top / "t.parquet", memory_map=True)
        print(back.num_rows, table.square.sum() == sum(back["square"].to_pylist()))
    """
    assert python(script, mounted) == "20000 True\n"


def test_readers_of_one_small_part_do_not_wait_for_each_other(hub: Hub, make: Make) -> None:
    make({f"d/{n}": b"%d" % n for n in range(3000)})
    mounted, errors = hub.mount(), list[int]()

    def check(start: int) -> None:
        wrong = [n for n in range(start, 3000, 4) if (mounted / f"d/{n}").read_bytes() != b"%d" % n]
        errors.extend(wrong)

    threads = [threading.Thread(target=check, args=(start,)) for start in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
