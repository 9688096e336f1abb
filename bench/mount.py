"""A mount beside a plain folder with the same files: reading, listing, writing.

One file of 100 MB that cannot be compressed, one of 60 MB of rows that can, 10,000 files of 5 KB. All is in
memory (nothing comes from the disk itself), so this measures what the mount adds: first what its process has
to give, on a mount that is new each time, then what the kernel still knows. Interleaved, median of five.
"""

import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import kamld

ROUNDS, SMALL = 5, 10_000
Work = Callable[[Path], object]


def made(folder: Path) -> None:
    source = random.Random(1)
    (folder / "small").mkdir(parents=True)
    for number in range(SMALL):
        (folder / f"small/{number:05}.bin").write_bytes(source.randbytes(5000))
    (folder / "noise.bin").write_bytes(b"".join(source.randbytes(1_000_000) for _ in range(100)))
    rows = (f"{number},{source.random():.6f},row {number % 97}\n" for number in range(2_600_000))
    (folder / "rows.csv").write_text("".join(rows))


def in_order(name: str) -> Work:
    def read(folder: Path) -> None:
        with open(folder / name, "rb", buffering=0) as file:
            while file.read(1 << 20):
                pass

    return read


def at_random(folder: Path) -> None:
    pick = random.Random(2)
    with open(folder / "noise.bin", "rb", buffering=0) as file:
        for _ in range(2000):
            os.pread(file.fileno(), 4096, pick.randrange(100_000_000 - 4096))


def each_small(folder: Path) -> None:
    for number in range(SMALL):
        with open(folder / f"small/{number:05}.bin", "rb", buffering=0) as file:
            file.readall()


def listed(folder: Path) -> None:
    assert sum(entry.stat().st_size for entry in os.scandir(folder / "small")) == SMALL * 5000


def write_small(folder: Path) -> None:
    (folder / "new").mkdir()
    for number in range(2000):
        (folder / f"new/{number}").write_bytes(b"x" * 5000)


def write_large(folder: Path) -> None:
    piece = random.Random(3).randbytes(1 << 20)
    with open(folder / "written.bin", "wb", buffering=0) as file:
        file.writelines(piece for _ in range(100))


WORKS: dict[str, Work] = {
    "100 MB of noise, in order": in_order("noise.bin"),
    "60 MB of rows, in order": in_order("rows.csv"),
    "2,000 × 4 KB anywhere": at_random,
    "10,000 files listed": listed,
    "10,000 files read": each_small,
}
CHANGES: dict[str, Work] = {"100 MB written": write_large, "2,000 files written": write_small}


def seconds(work: Work, folder: Path) -> float:
    start = time.perf_counter()
    work(folder)
    return time.perf_counter() - start


def reading(plain: Path, place: Path) -> dict[str, list[tuple[float, float, float]]]:
    """For each work, what each round took: (plain, mounted first, mounted again)."""
    found: dict[str, list[tuple[float, float, float]]] = {name: [] for name in WORKS}
    for _ in range(ROUNDS):
        for name, work in WORKS.items():
            with kamld.dataset("data").at().mount(place / "m") as mounted:
                work(plain)
                found[name].append((seconds(work, plain), seconds(work, mounted), seconds(work, mounted)))
    return found


def writing(place: Path) -> dict[str, list[tuple[float, float]]]:
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in CHANGES}
    for number in range(ROUNDS):
        mounted = kamld.dataset("data").at("main").mount(place / "m", write=True)
        beside = place / f"written{number}"
        beside.mkdir()
        for name, work in CHANGES.items():
            found[name].append((seconds(work, beside), seconds(work, mounted.folder)))
        mounted.umount(discard=True)
        subprocess.run(["rm", "-r", beside], check=True)
    return found


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        os.environ["KAMLD_HUB"] = f"{place}/hub"
        made(place / "data")
        kamld.dataset("data").commit(place / "data", "made")
        print(f"{'':28}{'plain':>9}{'mount':>9}{'again':>9}")
        for what, rounds in reading(place / "data", place).items():
            plain, first, again = (statistics.median(column) for column in zip(*rounds, strict=True))
            print(
                f"{what:28}{plain:8.3f} s{first:8.3f} s{again:8.3f} s"
                f"   {first / plain:.1f} × and {again / plain:.1f} × the folder's time"
            )
            sys.stdout.flush()
        for what, pairs in writing(place).items():
            plain, first = (statistics.median(column) for column in zip(*pairs, strict=True))
            print(f"{what:28}{plain:8.3f} s{first:8.3f} s{'':11}{first / plain:.1f} × the folder's time")


if __name__ == "__main__":
    main()
