"""How long the lightest commands take as whole processes, beside Python itself and Git.

Medians of interleaved runs. The promises: --help under 0.15 s, status of a small folder under
0.3 s, ./dev under 0.3 s on top of what it starts.
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

RUNS = 15
FILES = 100
ROOT = Path(__file__).resolve().parent.parent


def seconds(command: list[str], folder: Path) -> float:
    start = time.perf_counter()
    subprocess.run(command, cwd=folder, check=True, capture_output=True)
    return time.perf_counter() - start


def main() -> None:
    kamld = str(Path(sys.executable).parent / "kamld")
    with tempfile.TemporaryDirectory() as top:
        folder = Path(top, "photos")
        folder.mkdir()
        for number in range(FILES):
            (folder / f"{number}.bin").write_bytes(os.urandom(5000))
        os.environ["KAMLD_HUB"] = str(Path(top, "hub"))
        subprocess.run([kamld, "commit", ".", "-m", "first"], cwd=folder, check=True, capture_output=True)
        for words in (
            ["init", "-q"],
            ["add", "."],
            ["-c", "user.name=a", "-c", "user.email=a", "commit", "-qm", "x"],
        ):
            subprocess.run(["git", *words], cwd=folder, check=True, capture_output=True)
        commands = {
            "python -c pass": [sys.executable, "-c", "pass"],
            "kamld --help": [kamld, "--help"],
            f"git status, {FILES} files": ["git", "status"],
            f"kamld status, {FILES} files": [kamld, "status"],
            "kamld log": [kamld, "log"],
            "./dev run true": [str(ROOT / "dev"), "run", "true"],
        }
        times: dict[str, list[float]] = {name: [] for name in commands}
        for _ in range(RUNS + 1):
            for name, command in commands.items():
                times[name].append(seconds(command, folder))
    print(f"{'median of ' + str(RUNS):<28}{'ms':>8}{'× python':>10}")
    base = statistics.median(times["python -c pass"][1:])
    for name, taken in times.items():
        median = statistics.median(taken[1:])
        print(f"{name:<28}{median * 1000:>8.0f}{median / base:>10.1f}")


if __name__ == "__main__":
    main()
