"""The store beside cp, git, git-lfs, restic, borg, DVC and Oxen: the same work, interleaved, in one run.

    ./dev bench store -- [--work small,csv] [--peers cp,git] [--rounds N] [--others N] [--scale 0.1]
                         [--json FILE]

For each tool and each round, in a fresh folder: first commit, nothing changed (status), one thing
changed (commit), 1 % changed (status, then commit), switch between those two, diff, checkout into a
new folder. `sync` before each; medians. Bytes stored and peak anonymous memory of each step are kept
too. Prints tables with ratios and writes all as JSON, into the file that has other works' figures
already, if they are of the same machine.
"""

import argparse
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

from _measured import Failed, measured, stored_bytes
from _peers import Tool, environment, shell, tools
from _work import WORKS, Work

STEPS = ("first commit", "status", "commit of one change", "switch", "diff", "checkout")
OURS = "kamld"
_INODES_LEFT = 6_000_000  # what one tool may need for a million files
_ROUNDS_LEFT = 1.5  # that the disk has room for, or it is cleared
_FORGOTTEN = 65  # seconds


def main() -> None:
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    words.add_argument("--work", default=",".join(WORKS), help="which works, of " + ", ".join(WORKS))
    words.add_argument("--peers", help="which tools beside; default: each work's own")
    words.add_argument("--rounds", type=int, help="default: each work's own (5 or 3)")
    words.add_argument(
        "--others", type=int, default=1, help="rounds of the tools that nobody is held against"
    )
    words.add_argument("--scale", type=float, default=1.0, help="part of the full size")
    words.add_argument("--json", type=Path, help="where the figures are written")
    words.add_argument("--dir", type=Path, help="a folder on the disk that is to be measured")
    asked = words.parse_args()
    results = _begun(asked.json, {"scale": asked.scale, **_machine()})
    for name in asked.work.split(","):
        work = WORKS[name]
        beside = list(work.peers) if asked.peers is None else [p for p in asked.peers.split(",") if p]
        found = tools([OURS, *beside])
        results["tools"] |= {tool.name: _version(tool) for tool in found}
        with tempfile.TemporaryDirectory(dir=asked.dir) as top:
            rounds = asked.rounds or work.rounds
            taken = _rounds(work, found, Path(top), rounds, asked.others, asked.scale)
            results["works"][name] = {
                "about": work.about, "date": time.strftime("%Y-%m-%d"), "on": _file_system(top),
                "tools": taken,
            }  # fmt: skip
            _show(work, taken)  # before all is removed, which may take minutes
            if asked.json:
                asked.json.parent.mkdir(parents=True, exist_ok=True)
                asked.json.write_text(json.dumps(results, indent=1) + "\n")


def _begun(path: Path | None, about: dict[str, Any]) -> dict[str, Any]:
    """What the file has of other works stays, where it was measured on such a machine and size."""
    if path and path.exists():
        results: dict[str, Any] = json.loads(path.read_text())
        if about.items() <= results.items():
            return results
    return {**about, "tools": {}, "works": {}}


def _machine() -> dict[str, Any]:
    return {"cores": os.cpu_count(), "python": platform.python_version(), "system": platform.platform()}


def _file_system(place: str) -> str:
    asked = ["stat", "-f", "-c", "%T", place]
    return subprocess.run(asked, capture_output=True, text=True, check=True).stdout.strip()


def _version(tool: Tool) -> str:
    done = subprocess.run(["sh", "-c", tool.version], capture_output=True, text=True, check=False)
    return (done.stdout or done.stderr).strip().splitlines()[0]


def _rounds(
    work: Work, found: list[Tool], top: Path, rounds: int, others: int, scale: float
) -> dict[str, Any]:  # fmt: skip
    """Every tool's figures, step by step, a list of one a round."""
    source = top / "source"
    work.make(source, scale)
    taken: dict[str, Any] = {tool.name: {"steps": {}, "stored": [], "added": []} for tool in found}
    for number in range(rounds):
        free = shutil.disk_usage(top).free
        here = [one for one in found if number < others or one.name in (OURS, *work.close)]
        turn = here[number % len(here) :] + here[: number % len(here)]
        for tool in turn:
            place = top / f"round-{number}" / tool.name
            place.mkdir(parents=True)
            started = time.perf_counter()
            try:
                _one(work, tool, place, source, taken[tool.name])
            except Failed as failed:
                taken[tool.name]["failed"] = str(failed)
                print(f"{tool.name}: {failed}", file=sys.stderr)
            spent = time.perf_counter() - started
            print(f"{work.name}, round {number + 1}: {tool.name} {spent:.0f} s", file=sys.stderr)
            if os.statvfs(top).f_favail < _INODES_LEFT:
                _clear(top)
        left = shutil.disk_usage(top).free
        if left < _ROUNDS_LEFT * (free - left):
            _clear(top)
    return taken


def _clear(top: Path) -> None:
    """Remove what rounds left, and wait until that is forgotten: ext4 does not give away the inodes of
    the last minute's deletions, and looks past each of them, which makes others' new files slow."""
    for place in top.glob("round-*/*"):
        shutil.rmtree(place, ignore_errors=True)
    os.sync()
    time.sleep(_FORGOTTEN)


def _one(work: Work, tool: Tool, place: Path, source: Path, into: dict[str, Any]) -> None:
    """One tool does the whole work once."""
    around = environment(place)
    data = place / "data"

    def run(line: str, number: int) -> None:
        subprocess.run(shell(line, number), cwd=place, env=around, check=True, capture_output=True)

    def step(name: str, line: str | None, number: int) -> None:
        if line is not None:
            seen = measured(shell(line, number), place, around).as_json()
            into["steps"].setdefault(name, []).append(seen)

    def kept(number: int) -> int:
        if tool.after:
            run(tool.after, number)
        return stored_bytes(place / tool.store)

    _copy_first(tool, run, source, data)
    step("first commit", tool.commit, 1)
    first = kept(1)
    step("status", tool.status, 1)
    work.edit(data)
    step("commit of one change", tool.commit, 2)  # at once: a status before it does some tools' work
    second = kept(2)
    last = 2
    if work.edit_more:
        work.edit_more(data)
        step("status of 1 %", tool.status, 2)
        step("commit of 1 %", tool.commit, 3)
        kept(3)
        last = 3
    into["stored"].append(first)
    into["added"].append(second - first)
    step("diff", tool.diff, 2)
    if not work.edit_more:
        step("diff of what is inside", tool.look, 2)
    step("switch", tool.switch, last - 1)
    step("switch", tool.switch, last)
    step("checkout", tool.checkout, last)


def _copy_first(tool: Tool, run: Any, source: Path, data: Path) -> None:
    """Tools that live in the folder that they keep are set up in it first."""
    data.mkdir()
    run(tool.set_up, 0)
    subprocess.run(["cp", "-rT", source, data], check=True)


def _median(figures: list[dict[str, float]], key: str) -> float:
    return statistics.median(figure[key] for figure in figures)


def _show(work: Work, taken: dict[str, Any]) -> None:
    steps = [s for s in taken[OURS]["steps"] if any(s in of["steps"] for of in taken.values())]
    print(f"\n{work.about}: seconds (and × ours), median")
    print(f"{'':<24}" + "".join(f"{name:>16}" for name in taken))
    for step in steps:
        ours = _median(taken[OURS]["steps"][step], "seconds") if step in taken[OURS]["steps"] else None
        cells = []
        for of in taken.values():
            if step not in of["steps"]:
                cells.append("–")
                continue
            theirs = _median(of["steps"][step], "seconds")
            cells.append(f"{theirs:.2f} ({theirs / ours:.1f}×)" if ours else f"{theirs:.2f}")
        print(f"{step:<24}" + "".join(f"{cell:>16}" for cell in cells))
    for title, key in (("MB stored first", "stored"), ("MB added by the edit", "added")):
        cells = [f"{statistics.median(of[key]) / 1e6:.1f}" if of[key] else "–" for of in taken.values()]
        print(f"{title:<24}" + "".join(f"{cell:>16}" for cell in cells))
    peaks = [
        max((f["peak_mb"] for some in of["steps"].values() for f in some), default=0.0)
        for of in taken.values()
    ]
    print(f"{'peak anonymous MB':<24}" + "".join(f"{peak:>16.0f}" for peak in peaks))


if __name__ == "__main__":
    main()
