"""Writes docs/performance.md from docs/figures/, what the scripts in bench/ measured and wrote there.

`./dev docs` runs it; with --check, as `./dev check` calls it, it only says if the page is stale. No
figure in that page is written by hand.
"""

import json
import statistics
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
PAGE = HERE / "performance.md"
OURS = "kamld"
KEPT_MB = 600  # of memory of its own, that no step may go over

HEAD = """\
# Performance

The store beside other tools that keep versions of files: the same work on one machine, in the same run,
in turns. Written by `./dev docs` from what these measured:

    ./dev bench store -- --json docs/figures/store.json
    ./dev bench many_commits -- --json docs/figures/many_commits.json

Seconds are medians of the rounds; in brackets, how many times as long as kamld: 1.0 and more is where
kamld was as fast or faster. `sync` ran before each step. kamld's commit syncs what it keeps to the disk
before it says that it is done; cp, Git and DVC leave that to the system. –: the tool has no such step.
"""

NOTES = {
    "parquet": """\
What can be kept is up to the writer's layout. A Parquet file is row groups one after the other, each with its
columns one after the other: with one column more, all that follows it moves, and chunks that are cut by
content find it again. The pages of the other columns must be the same bytes, as they are when the same writer
writes the same rows in the same row groups. Rows inserted in the middle, or row groups of another size, shift
the rows of every page behind them, and nearly all of it is new.""",
    "parquet-cdc": """\
`pyarrow.parquet.write_table(table, path, use_content_defined_chunking=True)` (PyArrow 21 or later) lets the
content say where pages end: write tables so where rows are inserted or removed between versions.""",
}


@dataclass(frozen=True, slots=True)
class Target:
    """What the store must reach. `figure` is ours, in the unit of `limit`; None: not measured."""

    what: str
    limit: float
    unit: str
    figure: float | None
    why: str = ""  # it cannot be better, where it is missed

    @property
    def is_missed(self) -> bool:
        return self.figure is not None and self.figure > self.limit

    def row(self) -> str:
        if self.figure is None:
            return f"| {self.what} | ≤ {self.limit:g} {self.unit} | not measured | |"
        reached = "**missed**" if self.is_missed else "reached"
        return f"| {self.what} | ≤ {self.limit:g} {self.unit} | {self.figure:.3g} {self.unit} | {reached} |"


class Works:
    """The figures of bench/store.py, by work, tool and step."""

    def __init__(self, figures: dict[str, Any]) -> None:
        self._works = figures["works"]

    def seconds(self, work: str, step: str, tool: str = OURS) -> float | None:
        taken = self._works.get(work, {}).get("tools", {}).get(tool, {}).get("steps", {}).get(step)
        return _median(taken, "seconds") if taken else None

    def beside(self, work: str, step: str, tool: str) -> float | None:
        """Our time in theirs."""
        ours, theirs = self.seconds(work, step), self.seconds(work, step, tool)
        return None if ours is None or not theirs else ours / theirs

    def added_mb(self, work: str) -> float | None:
        added = self._works.get(work, {}).get("tools", {}).get(OURS, {}).get("added")
        return statistics.median(added) / 1e6 if added else None

    def peak_mb(self, *, but: tuple[str, ...] = (), only: str = "") -> float | None:
        peaks = [
            _peak(work["tools"][OURS])
            for name, work in self._works.items()
            if name not in but and only in ("", name)
        ]
        return max(peaks, default=None)


def page(store: dict[str, Any], many: dict[str, Any] | None) -> str:
    return "\n".join([HEAD, *_about(store), *_targets(Works(store), many), *_works(store), *_growth(many)])


def _about(figures: dict[str, Any]) -> Iterator[str]:
    yield f"{figures['cores']} cores, Python {figures['python']}, {figures['system']}.\n"
    if figures["scale"] != 1:
        yield f"At {figures['scale']:g} of the full size.\n"
    for name, version in figures["tools"].items():
        yield f"- {name}: {version}"
    yield ""


def _targets(works: Works, many: dict[str, Any] | None) -> Iterator[str]:
    yield "## What it must reach\n"
    yield "| | must be | is | |\n|---|---|---|---|"
    targets = (
        Target("100,000 files: first commit", 0.8, "× cp -r", works.beside("small", "first commit", "cp")),
        Target("100,000 files: checkout", 1.1, "× cp -r", works.beside("small", "checkout", "cp")),
        Target("100,000 files: status", 3, "× Git", works.beside("small", "status", "git")),
        Target("100,000 files: commit of one change", 0.25, "× restic",
               works.beside("small", "commit of one change", "restic")),
        Target("1,000,000 files: status", 6, "s", works.seconds("tiny", "status")),
        Target("1,000,000 files: diff of one change", 0.3, "s", works.seconds("tiny", "diff")),
        Target("CSV of 1 GB: first commit", 1, "× DVC", works.beside("csv", "first commit", "dvc"),
               "half of the processors' time goes into compressing to two fifths of the size (zstd's level 1,"
               " some 450 MB/s a processor), which DVC leaves out; level -1 would keep three quarters. The"
               " rest is cutting, hashing and reading, on both processors."),
        Target("CSV of 1 GB: commit after an edit", 0.4, "× DVC",
               works.beside("csv", "commit of one change", "dvc"),
               "all of the file is read and hashed twice, as a whole and by its chunks, on both processors,"
               " after 0.16 s that a command takes to start."),
        Target("CSV of 1 GB: checkout", 1.6, "× DVC", works.beside("csv", "checkout", "dvc")),
        Target("CSV of 1 GB: added by the edit", 1, "MB", works.added_mb("csv")),
        Target("Parquet, one column more: added (a column of 80 MB + 10 % of the file)", 180, "MB",
               works.added_mb("parquet")),
        Target("Checkpoint, 50 of 500 MB changed: added", 65, "MB", works.added_mb("checkpoint")),
        Target("most memory of its own in any of these", KEPT_MB, "MB", works.peak_mb(but=("huge",))),
        Target("most memory of its own with a file of 10 GB", KEPT_MB, "MB", works.peak_mb(only="huge")),
        Target("after 10,000 commits: the slowest-grown step", 1.2, "× a fresh hub", _worst(many),
               "see the last table: of commands that take some 170 ms as a process, `ls` takes 1.5 ms more,"
               " for the pages of a tree may be in any of a dozen packs, each of which is opened."),
    )  # fmt: skip
    yield from (target.row() for target in targets)
    yield ""
    yield from (f"Missed, {target.what}: {target.why}\n" for target in targets if target.is_missed)


def _worst(many: dict[str, Any] | None) -> float | None:
    """As bench/many_commits.py judges: what is not even half a millisecond slower has not grown."""
    if many is None:
        return None
    grown = [of["old"] > of["fresh"] + many["slack"] for of in many["seconds"].values()]
    ratios = [many["ratios"][step] for step, yes in zip(many["seconds"], grown, strict=True)
              if yes and step not in many["longer"]]  # fmt: skip
    return max([1.0, many["ratios"]["bytes a commit"], *ratios])


def _works(figures: dict[str, Any]) -> Iterator[str]:
    for name, work in figures["works"].items():
        tools = work["tools"]
        yield f"## {work['about'][0].upper()}{work['about'][1:]}\n"
        if name in NOTES:
            yield f"{NOTES[name]}\n"
        yield f"| | {' | '.join(tools)} |"
        yield f"|---|{'---:|' * len(tools)}"
        for step in tools[OURS]["steps"]:
            ours = _median(tools[OURS]["steps"][step], "seconds")
            cells = [_beside(of["steps"].get(step), ours, name) for name, of in tools.items()]
            yield f"| {step} | {' | '.join(cells)} |"
        for title, key in (("stored first", "stored"), ("added by the change", "added")):
            cells = [_bytes(statistics.median(of[key])) if of[key] else "–" for of in tools.values()]
            yield f"| {title} | {' | '.join(cells)} |"
        yield f"| most memory of its own | {' | '.join(_bytes(_peak(of) * 1e6) for of in tools.values())} |"
        yield ""
        yield f"{work['date']}, {_rounds(tools)}, on {work['on']}.\n"
        for tool, of in tools.items():
            if "failed" in of:
                yield f"{tool} could not: {of['failed'].splitlines()[0]}\n"


def _rounds(tools: dict[str, Any]) -> str:
    """How many, and who was there only in some."""
    most = len(tools[OURS]["stored"])
    fewer = [f"{name} {len(of['stored'])}" for name, of in tools.items() if len(of["stored"]) < most]
    rest = f" (of these: {', '.join(fewer)})" if fewer else ""
    return f"{most} round{'s' * (most != 1)}{rest}"


def _growth(many: dict[str, Any] | None) -> Iterator[str]:
    if many is None:
        return
    yield f"## After {many['commits']:,} commits\n"
    yield (
        f"{many['date']}. A hub with {many['commits']:,} small commits beside a fresh one, of {many['files']}"
        " files, and then both with large folders; without the start of a process, which would hide"
        f" differences. These look at all that there is, and may grow with it: {', '.join(many['longer'])}.\n"
    )
    yield "| | fresh | after | ratio |\n|---|---:|---:|---:|"
    for step, of in many["seconds"].items():
        yield (
            f"| {step} | {1000 * of['fresh']:.1f} ms | {1000 * of['old']:.1f} ms "
            f"| {many['ratios'][step]:.2f}× |"
        )
    added = many["bytes a commit"]
    ratio = many["ratios"]["bytes a commit"]
    yield f"| bytes a commit | {_bytes(added['fresh'])} | {_bytes(added['old'])} | {ratio:.2f}× |"
    yield ""


def _beside(taken: list[dict[str, float]] | None, ours: float, name: str) -> str:
    if not taken:
        return "–"
    seconds = _median(taken, "seconds")
    shown = f"{seconds:.2f} s" if seconds < 10 else f"{seconds:.0f} s"
    return shown if name == OURS else f"{shown} ({seconds / ours:.1f}×)"


def _median(taken: list[dict[str, float]], key: str) -> float:
    return statistics.median(one[key] for one in taken)


def _peak(of: dict[str, Any]) -> float:
    return max((one["peak_mb"] for taken in of["steps"].values() for one in taken), default=0.0)


def _bytes(count: float) -> str:
    for unit, size in (("GB", 1e9), ("MB", 1e6), ("KB", 1e3)):
        if abs(count) >= size:
            return f"{count / size:.3g} {unit}"
    return f"{count:.0f} B"


def _figures(name: str) -> dict[str, Any] | None:
    path = HERE / "figures" / f"{name}.json"
    return json.loads(path.read_text("utf-8")) if path.exists() else None


def main() -> int:
    store = _figures("store")
    if store is None:
        print("no docs/performance.md without figures: ./dev bench store -- --json docs/figures/store.json")
        return 1
    wanted = page(store, _figures("many_commits"))
    written = PAGE.read_text("utf-8") if PAGE.exists() else ""
    if written == wanted:
        return 0
    if "--check" in sys.argv[1:]:
        print("docs/performance.md is not what docs/figures says: ./dev docs")
        return 1
    PAGE.write_text(wanted, "utf-8")
    print("docs/performance.md is written")
    return 0


if __name__ == "__main__":
    sys.exit(main())
