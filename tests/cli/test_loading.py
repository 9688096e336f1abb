"""A verb is loaded without more threads than it needs, and nobody whom it starts hears of that."""

import os
import subprocess
import sys

import pytest

LOADED = """
import os
from kamld.cli.main import cli
cli.get_command(None, "commit")
import numpy
print(len(os.listdir("/proc/self/task")), os.environ.get("OPENBLAS_NUM_THREADS"))
"""


@pytest.mark.parametrize("own", [None, "1"])
def test_one_thread_of_numpy(own: str | None) -> None:
    around = {key: value for key, value in os.environ.items() if key != "OPENBLAS_NUM_THREADS"}
    said = subprocess.run(
        [sys.executable, "-c", LOADED],
        env=around | ({"OPENBLAS_NUM_THREADS": own} if own else {}),
        capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    assert said.split() == ["1", str(own)]
