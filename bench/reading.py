"""Reading for training against reading the same files from a folder, in the same order.

20,000 files of 4.8 KB and eight of 20 MB; both are in memory (nothing is read from the disk itself),
so this measures what kamld adds. Interleaved, median of five.
"""

import os
import random
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import kamld

ROUNDS = 5


def made(folder: Path, count: int, size: int) -> None:
    source = random.Random(count)
    for number in range(count):
        path = folder / f"{number % 20:02}" / f"{number:06}.bin"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(source.randbytes(size))


def seconds(work: Callable[[], int], size: int) -> float:
    start = time.perf_counter()
    assert work() == size
    return time.perf_counter() - start


def compare(folder: Path, seed: int | None) -> tuple[float, float]:
    version = kamld.dataset(folder.name).at()
    paths = [example.path for example in version.iter(shuffle=seed)]

    def from_hub() -> int:
        return sum(len(example.data) for example in version.iter(shuffle=seed))

    def from_folder() -> int:
        total = 0
        for path in paths:
            with open(folder / path, "rb") as file:
                total += len(file.read())
        return total

    pairs = [(seconds(from_hub, version.bytes), seconds(from_folder, version.bytes)) for _ in range(ROUNDS)]
    hub, plain = (statistics.median(column) for column in zip(*pairs, strict=True))
    return hub, plain


def main() -> None:
    with tempfile.TemporaryDirectory() as place:
        os.environ["KAMLD_HUB"] = f"{place}/hub"
        for name, count, size in (("small", 20_000, 4_800), ("large", 8, 20_000_000)):
            made(Path(place, name), count, size)
            kamld.dataset(name).commit(Path(place, name), "made")
            for seed in (None, 7):
                hub, plain = compare(Path(place, name), seed)
                order = "shuffled" if seed else "in order"
                megabytes = count * size / 1e6
                print(
                    f"{name}  {order}  kamld {hub:.3f} s ({megabytes / hub:,.0f} MB/s)"
                    f"  folder {plain:.3f} s  {plain / hub:.2f} × the folder's speed"
                )


if __name__ == "__main__":
    main()
