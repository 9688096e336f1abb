"""What a page of a list costs by the size of the folder: whole `kamld ls` processes, at the folder's
beginning, middle and end, and one file of it. Nothing may grow with the folder."""

import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from kamld.blobs import FolderBlobs
from kamld.records.kinds import FILE
from kamld.records.names import Name
from kamld.store import open_hub
from kamld.store.trees.entries import Entry, entries_of

SIZES = (10_000, 1_000_000)
LINES = 1000
TIMES = 5


def make(place: Path, files: int) -> None:
    repository = open_hub(FolderBlobs(place))
    dataset = repository.create(Name("default", "photos"), "dataset")
    with repository.writer() as writer:
        content = writer.put(b"x")
        rows = [Entry(b"all/%07d.png" % number, FILE, 1, content) for number in range(files)]
        made = repository.write_version(writer, entries_of(rows), parents=(), author="a", message="m")
    repository.land_version(dataset, "main", made, author="a")


def seconds(hub: Path, *words: str) -> float:
    command, taken = [sys.executable, "-m", "kamld", "--hub", str(hub), *words], []
    for _ in range(TIMES):
        start = time.perf_counter()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        taken.append(time.perf_counter() - start)
    return statistics.median(taken)


def main() -> None:
    print(f"median of {TIMES}, seconds of the whole process; pages of {LINES:,} lines")
    print(f"{'files':>10}  {'first':>6}  {'middle':>6}  {'last':>6}  {'folders':>7}  {'one file':>8}")
    for files in SIZES:
        with tempfile.TemporaryDirectory() as place:
            hub = Path(place)
            make(hub, files)
            page = ("ls", "photos:all", "--limit", str(LINES))
            ends = [
                seconds(hub, *page, "--after", f"{after:07}.png") for after in (0, files // 2, files - LINES)
            ]
            rest = [seconds(hub, "ls", "photos"), seconds(hub, "cat", f"photos:all/{files - 1:07}.png")]
            print(
                f"{files:>10,}  "
                + "  ".join(f"{s:>{w}.2f}" for s, w in zip(ends + rest, (6, 6, 6, 7, 8), strict=True))
            )


if __name__ == "__main__":
    main()
