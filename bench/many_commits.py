"""A hub after thousands of small commits beside one with a few: every figure must be about the same.

    ./dev bench many_commits -- [--commits 10000] [--files 300] [--rounds 15] [--json FILE] [--dir PLACE]

Both hubs keep the same folder; each commit changes one file of it. Then each step, a `kamld` command as
its own process would run it but for the interpreter's start, which would hide differences, is done in pairs:
in the one hub and at once in the other, now this one first and now that. What others do on the machine
meanwhile falls on both; a step that changes nothing is done several times a round, of which the fastest
counts. Then both get folders that are large, new ones each round. Prints the medians and the median of the
pairs' ratios; says what is in each hub.
"""

import argparse
import contextlib
import io
import json
import os
import platform
import shutil
import statistics
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kamld.blobs import FolderBlobs
from kamld.cli.main import run
from kamld.records.kinds import FILE
from kamld.records.names import Name
from kamld.store import open_hub
from kamld.store.trees.entries import Entry, entries_of

FEW = 30  # commits of the fresh hub
LIMIT = 1.2
SLACK_S = 0.0005  # of the 150 ms that a command takes from its start to its end; opening a few more files
AGAIN = 5  # times that a step which changes nothing is done in each round
CHANGES = ("commit", "checkout", "switch", "tag")  # first words of the others
STEPS = {
    "commit of one file": "commit data -m more",
    "status": "status data",
    "log of 20": "log data -n 20",
    "ls": "ls data --json",
    "ls of datasets": "ls",
    "show": "show data",
    "cat": "cat data:3/000003.txt",
    "diff of the last": "diff data@main~1 data@main",
    "diff of the last 20": "diff data@main~20 data@main",
    "checkout": "checkout data new",
    "checkout of main~20": "checkout data@main~20 new",
    "switch back and forth": "switch data main~20; switch data main",
    "tag": "tag data t{number}",
    "hub": "hub",
    "why": "why data",
    "gc --dry-run": "gc --dry-run",
}
LONGER_ROUNDS = 3
LARGE_FILES = 20_000
LARGE_STEPS = {  # the folder of which a file is changed before, if any; the command
    "first commit, 20,000 files": ("", "commit many{number} -m first"),
    "status, 20,000 files": ("", "status many{number}"),
    "commit of one of them": ("many", "commit many{number} -m more"),
    "checkout, 20,000 files": ("", "checkout many{number} new"),
    "first commit, 100 MB": ("", "commit table{number} -m first"),
    "commit of it, edited": ("table", "commit table{number} -m more"),
    "checkout, 100 MB": ("", "checkout table{number} new"),
}
LONGER = ("hub", "why", "gc --dry-run")  # look at all that there is: shown, but held to nothing
Pair = dict[str, float]  # seconds by place


@dataclass
class Place:
    """A person's home with one hub, and a folder of data in it."""

    home: Path
    files: int
    commits: int = 0
    seconds: float = 0.0

    @property
    def data(self) -> Path:
        return self.home / "data"

    @property
    def hub(self) -> Path:
        return self.home / "hub"

    def make(self) -> None:
        for number in range(self.files):
            path = self.data / f"{number % 10}" / f"{number:06}.txt"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"%d\n" % number * 40)
        self.do("commit data -m first")

    def make_large(self, number: int) -> None:
        for at in range(LARGE_FILES):
            path = self.home / f"many{number}" / f"{at % 20:02}" / f"{at:06}.bin"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(os.urandom(1000))
        (self.home / f"table{number}").mkdir()
        with open(self.home / f"table{number}" / "table.csv", "w", encoding="ascii") as table:
            table.writelines(f"{row:09},{os.urandom(40).hex()},some\n" for row in range(1_050_000))

    def edit_large(self, folder: str) -> None:
        path = min((self.home / folder).glob("*.csv"), default=self.home / folder / "00" / "000000.bin")
        new, middle = path.with_suffix(".new"), path.stat().st_size // 2
        with open(path, "rb") as old, open(new, "wb") as file:
            file.write(old.read(middle) + b"more")
            shutil.copyfileobj(old, file)
        new.replace(path)

    def edit(self) -> None:
        number = self.commits * 7919 % self.files
        path = self.data / f"{number % 10}" / f"{number:06}.txt"
        path.write_bytes(os.urandom(8).hex().encode() * 20)
        self.commits += 1

    def commit(self, times: int) -> None:
        for _ in range(times):
            self.edit()
            self.do("commit data -m more")

    def grow(self, times: int) -> None:
        """The same commits, made without the folder, which is checked out anew in the end."""
        started = time.perf_counter()
        for number in range(times):
            if number % 100 == 0:  # as another process
                repository = open_hub(FolderBlobs(self.hub))
                dataset = repository.names.get(Name("default", "data"))
                main = repository.refs.find(dataset, "main")
                assert main
                assert main.commit
                head, rows = (
                    main.commit,
                    list(repository.tree(repository.commit(main.commit)).entries().rows()),
                )
            at = self.commits * 7919 % self.files
            data = os.urandom(8).hex().encode() * 20
            with repository.writer() as writer:
                rows[at] = Entry(rows[at].path, FILE, len(data), writer.put(data))
                version = repository.write_version(
                    writer, entries_of(rows), parents=(head,), author="bench", message="more"
                )
            head = repository.land_version(dataset, "main", version, author="bench").commit_id
            self.commits += 1
        self.seconds += time.perf_counter() - started
        shutil.rmtree(self.data)
        self.do("checkout data data")

    def do(self, words: str) -> float:
        """Seconds that a command, or several with `;` between, took."""
        os.chdir(self.home)
        os.environ["KAMLD_HUB"] = str(self.hub)
        os.environ["HOME"] = str(self.home)
        said, spent = io.TextIOWrapper(io.BytesIO(), "utf-8"), 0.0
        for one in words.split(";"):
            with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
                started = time.perf_counter()
                status = run(one.split())
                spent += time.perf_counter() - started
            if status:
                said.seek(0)
                raise RuntimeError(f"kamld {one} ended with {status}:\n{said.read()[-2000:]}")
        return spent

    def inside(self) -> dict[str, dict[str, int]]:
        """Files and bytes of each part of the hub."""
        files, size = Counter[str](), Counter[str]()
        for folder, _, names in os.walk(self.hub):
            part = Path(folder).relative_to(self.hub).parts
            for name in names:
                files[part[0] if part else "."] += 1
                size[part[0] if part else "."] += (Path(folder) / name).stat().st_size
        return {part: {"files": files[part], "bytes": size[part]} for part in sorted(files)}


def measure(places: dict[str, Place], rounds: int) -> dict[str, list[Pair]]:
    """How long each step took in each round, at each place."""
    taken: dict[str, list[Pair]] = {step: [] for step in STEPS}
    for number in range(-1, rounds):  # the first is not counted: it loads what they share
        for step, words in STEPS.items():
            if step in LONGER and number >= LONGER_ROUNDS:
                continue
            again = 1 if step in LONGER or step.startswith(CHANGES) else AGAIN
            pairs = [
                _pair(places, step, words.format(number=number + 1), turned=(number + time_) % 2 == 0)
                for time_ in range(again)
            ]
            if number >= 0:
                taken[step].append({name: min(pair[name] for pair in pairs) for name in places})
    return taken


def _pair(places: dict[str, Place], step: str, words: str, *, turned: bool) -> Pair:
    spent: Pair = {}
    for name, place in list(places.items())[:: -1 if turned else 1]:
        if step.startswith("commit"):
            place.edit()
        spent[name] = place.do(words)
        shutil.rmtree(place.home / "new", ignore_errors=True)
    return spent


def measure_large(places: dict[str, Place], rounds: int) -> dict[str, list[Pair]]:
    """As `measure`."""
    taken: dict[str, list[Pair]] = {step: [] for step in LARGE_STEPS}
    for number in range(rounds):
        for place in places.values():
            place.make_large(number)
        for step, (edited, words) in LARGE_STEPS.items():
            spent: Pair = {}
            for name, place in list(places.items())[:: -1 if number % 2 else 1]:
                if edited:
                    place.edit_large(f"{edited}{number}")
                os.sync()
                spent[name] = place.do(words.format(number=number))
                shutil.rmtree(place.home / "new", ignore_errors=True)
            taken[step].append(spent)
    return taken


def medians_of(taken: dict[str, list[Pair]]) -> tuple[dict[str, Pair], dict[str, float]]:
    """Seconds of each step at each place; ratios of what was done at the same time."""
    medians = {
        step: {name: statistics.median(pair[name] for pair in pairs) for name in pairs[0]}
        for step, pairs in taken.items()
    }
    ratios = {
        step: statistics.median(pair["old"] / pair["fresh"] for pair in pairs)
        for step, pairs in taken.items()
    }
    return medians, ratios


def bytes_a_commit(place: Place, times: int = 64) -> float:
    """What commits add, with all that they leave, joined packs and old records too."""
    before = sum(part["bytes"] for part in place.inside().values())
    place.commit(times)
    return (sum(part["bytes"] for part in place.inside().values()) - before) / times


def main() -> int:
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    words.add_argument("--commits", type=int, default=10_000)
    words.add_argument("--files", type=int, default=300)
    words.add_argument("--rounds", type=int, default=15)
    words.add_argument("--json", type=Path, help="where the figures are written")
    words.add_argument("--dir", type=Path, help="a folder on the disk that is to be measured")
    asked = words.parse_args()
    out = asked.json.resolve() if asked.json else None
    with tempfile.TemporaryDirectory(dir=asked.dir) as top:
        places = {name: Place(Path(top) / name, asked.files) for name in ("fresh", "old")}
        for name, place in places.items():
            place.make()
            place.grow(FEW if name == "fresh" else asked.commits)
            print(f"{name}: {place.commits:,} commits in {place.seconds:.0f} s,"
                  f" {1000 * place.seconds / place.commits:.1f} ms each", file=sys.stderr)  # fmt: skip
        inside = {name: place.inside() for name, place in places.items()}
        taken = measure(places, asked.rounds)
        added = {name: bytes_a_commit(place) for name, place in places.items()}
        medians, ratios = medians_of(taken | measure_large(places, max(3, asked.rounds // 3)))
        os.chdir("/")
    ratios["bytes a commit"] = added["old"] / added["fresh"]
    show(inside, medians, added, ratios)
    if out:
        figures: dict[str, Any] = {
            "date": time.strftime("%Y-%m-%d"), "cores": os.cpu_count(), "python": platform.python_version(),
            "system": platform.platform(), "commits": asked.commits, "files": asked.files,
            "rounds": asked.rounds, "seconds": medians, "bytes a commit": added, "ratios": ratios,
            "longer": LONGER, "slack": SLACK_S, "inside": inside,
        }  # fmt: skip
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(json.dumps(figures, indent=1) + "\n")
    over = [
        step for step, of in medians.items()
        if step not in LONGER and ratios[step] > LIMIT and of["old"] > of["fresh"] + SLACK_S
    ]  # fmt: skip
    over += ["bytes a commit"] if ratios["bytes a commit"] > LIMIT else []
    print(f"\nover {LIMIT} × and more than {1000 * SLACK_S:.1f} ms slower: {', '.join(over) or 'none'}")
    return bool(over)


def show(
    inside: dict[str, dict[str, dict[str, int]]], medians: dict[str, Pair], added: Pair,
    ratios: dict[str, float],
) -> None:  # fmt: skip
    print(f"{'':<24}{'fresh ms':>12}{'old ms':>12}{'ratio':>9}")
    for step, of in medians.items():
        print(f"{step:<24}{1000 * of['fresh']:>12.2f}{1000 * of['old']:>12.2f}{ratios[step]:>9.2f}")
    print(f"{'bytes a commit':<24}{added['fresh']:>12,.0f}{added['old']:>12,.0f}"
          f"{ratios['bytes a commit']:>9.2f}")  # fmt: skip
    print(f"\n{'in the hub: files':<24}{'fresh':>12}{'old':>12}{'MB, old':>9}")
    for part in inside["old"]:
        nothing = {"files": 0, "bytes": 0}
        one, other = inside["fresh"].get(part, nothing), inside["old"][part]
        print(f"{part:<24}{one['files']:>12,}{other['files']:>12,}{other['bytes'] / 1e6:>9.1f}")


if __name__ == "__main__":
    sys.exit(main())
