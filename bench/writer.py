"""Why the writer works as it does: pack sizes, a second process, packs written past the system's cache,
threads that read small files, cuts guessed from before.

    ./dev bench writer -- [--scale 0.2] [--rounds 3]

Each choice beside its alternatives, taking turns; medians. No commands, only the writer, so that what
differs is what is measured. Memory is that of a process of its own.
"""

import argparse
import multiprocessing
import os
import resource
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from _work import WORKS

from kamld.blobs import FolderBlobs, folder
from kamld.store import Files, Source, open_hub, packs
from kamld.store.objects import files, write

PACKS_MIB = (4, 16, 32, 64, 256)
FULL_BYTES = 480_000_000  # of the small work


def main() -> None:
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    words.add_argument("--scale", type=float, default=0.2, help="part of the full size")
    words.add_argument("--rounds", type=int, default=3)
    asked = words.parse_args()
    with tempfile.TemporaryDirectory() as top:
        small, table = Path(top, "small"), Path(top, "csv")
        WORKS["small"].make(small, asked.scale)
        WORKS["csv"].make(table, asked.scale)
        _pack_sizes(small, Path(top), asked.rounds, asked.scale)
        _ways(small, Path(top), asked.rounds)
        _readers(small, Path(top), asked.rounds)
        _guesses(table, Path(top), asked.rounds)


def _pack_sizes(source: Path, top: Path, rounds: int, scale: float) -> None:
    """A pack is what is written, fetched, verified and collected as one."""
    print(f"pack of{'commit s':>12}{'read all s':>12}{'rebuild s':>12}{'peak MB':>12}{'a TB has':>12}")
    taken: dict[int, list[tuple[float, ...]]] = {size: [] for size in PACKS_MIB}
    for number in range(rounds):
        for size in PACKS_MIB:
            place = top / f"packs-{number}-{size}"
            with multiprocessing.get_context("spawn").Pool(1) as alone:
                taken[size].append(alone.apply(_with_packs, (source, place, size)))
    for size, rows in taken.items():
        commit, read, rebuild, peak, count = (statistics.median(column) for column in zip(*rows, strict=True))
        print(
            f"{size:>3} MiB{commit:>12.2f}{read:>12.2f}{rebuild:>12.3f}{peak:>12.0f}"
            f"{count * 1e12 / FULL_BYTES / scale:>12,.0f}"
        )


def _with_packs(source: Path, place: Path, mib: int) -> tuple[float, ...]:
    packs.TARGET = mib << 20
    commit = _seconds(lambda: _keep(_sources(source), place))
    hub = open_hub(FolderBlobs(place))
    ids = [found.id for found in _keep(_sources(source), place)]
    read = _seconds(lambda: sum(len(part) for _, parts in hub.objects.read_many(ids) for part in parts))
    shutil.rmtree(place / "index")
    rebuild = _seconds(open_hub(FolderBlobs(place)).rebuild_index)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000
    return commit, read, rebuild, peak, len(list(place.glob("packs/*/*.pack")))


def _ways(source: Path, top: Path, rounds: int) -> None:
    """A whole folder of small files, as a first commit keeps it, and with one thing else at a time."""
    paths = sorted(path for path in source.rglob("*") if path.is_file())
    seen = files.columns([path.stat() for path in paths])[:, :4]
    below = Files(os.fsencode(source) + b"/", [os.fsencode(p.relative_to(source)) for p in paths], seen)
    usual = write.may_fork, folder._LARGE

    def keep(place: Path) -> None:
        with open_hub(FolderBlobs(place)).writer() as writer:
            for _ in writer.put_below(below):
                pass

    def alone(place: Path) -> None:
        write.may_fork = lambda: False
        keep(place)
        write.may_fork = usual[0]

    def cached(place: Path) -> None:
        folder._LARGE = 1 << 62
        keep(place)
        folder._LARGE = usual[1]

    _compare(top, rounds, {"as it is": keep, "one process": alone, "through the cache": cached})


def _readers(source: Path, top: Path, rounds: int) -> None:
    """Small files from memory, read by one thread and compressed by others, or read by all of them."""
    sources, usual = _sources(source), write._WAITED

    def one(place: Path) -> None:
        write._WAITED = 1 << 30
        _keep(sources, place)

    def several(place: Path) -> None:
        write._WAITED = -1
        _keep(sources, place)

    _compare(top, rounds, {"one thread reads": one, "all threads read": several})
    write._WAITED = usual


def _guesses(source: Path, top: Path, rounds: int) -> None:
    """A large file after an edit, its earlier chunks tried at their places first, or cut anew."""
    (path,) = source.iterdir()
    kept = path.rename(path.with_suffix(".old"))
    path.hardlink_to(kept)
    WORKS["csv"].edit(source)

    def again(place: Path, *, guessed: bool) -> float:
        (first,) = _keep([Source(str(kept), kept.stat().st_size)], place)
        after = Source(str(path), path.stat().st_size, before=first.id if guessed else None)
        return _seconds(lambda: _keep([after], place))

    taken: dict[bool, list[float]] = {True: [], False: []}
    for number in range(rounds):
        for guessed in (True, False):
            taken[guessed].append(again(top / f"guess-{number}-{guessed}", guessed=guessed))
    print(f"\n{'after an edit, guessed':<26}{statistics.median(taken[True]):>8.2f} s")
    print(f"{'after an edit, cut anew':<26}{statistics.median(taken[False]):>8.2f} s")


def _compare(top: Path, rounds: int, ways: dict[str, Callable[[Path], None]]) -> None:
    taken: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(rounds):
        for name, way in ways.items():
            place = top / f"{name}-{number}"
            taken[name].append(_seconds(lambda way=way, place=place: way(place)))
    print()
    for name, all_ in taken.items():
        print(f"{name:<26}{statistics.median(all_):>8.2f} s")


def _sources(place: Path) -> list[Source]:
    return [Source(str(path), path.stat().st_size) for path in sorted(place.rglob("*")) if path.is_file()]


def _keep(sources: list[Source], place: Path) -> list[write.Written]:
    with open_hub(FolderBlobs(place)).writer() as writer:
        written = list(writer.put_files(sources))
        writer.flush()
    return written


def _seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
