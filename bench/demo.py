"""The main job, whole, as a process of its own: the promise is under 60 s on two cores.

There is no peer that goes the same way; the share that training alone takes is printed beside it.
"""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

RUNS = 3


def main() -> None:
    kamld = str(Path(sys.executable).parent / "kamld")
    environment = {key: value for key, value in os.environ.items() if not key.startswith("KAMLD_")}
    print(f"{'kamld demo':<14}{'s':>8}{'training, s':>14}")
    for number in range(RUNS):
        with tempfile.TemporaryDirectory() as top:
            start = time.perf_counter()
            demo = [kamld, "demo", "--dir", "demo"]
            said = subprocess.run(
                demo, cwd=top, env=environment, check=True, capture_output=True, text=True
            ).stdout
            taken = time.perf_counter() - start
        ended = [line for line in said.splitlines() if "succeeded in" in line]
        training = sum(float(line.split("succeeded in ")[1].split(" s")[0]) for line in ended)
        print(f"{number + 1:<14}{taken:>8.1f}{training:>14.1f}")


if __name__ == "__main__":
    main()
