"""The Python environment that a command will use: which interpreter, which packages.

Asked of that interpreter itself, in a process of its own that loads no package, beside the run.
"""

import os
import platform
import re
import shutil
import subprocess
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from kamld.records.run import Environment

_PYTHON = re.compile(r"(python|pypy)[0-9.]*")
_TIMEOUT_S = 20
# Names and versions are in the names of the folders that packages leave beside themselves.
_ASK = r"""
import sys
sys.path[:] = [p for p in sys.path if p]
import json, os
found = {}
for place in sys.path:
    try:
        names = os.listdir(place)
    except OSError:
        continue
    for name in sorted(names):
        stem, dot, kind = name.rpartition(".")
        if kind in ("dist-info", "egg-info") and not name.startswith("~"):
            parts = stem.split("-")
            key = parts[0].replace("_", "-").replace(".", "-").lower()
            found.setdefault(key, parts[1] if len(parts) > 1 else "")
sys.stdout.write(json.dumps({"python": sys.version.split()[0], "packages": found}))
"""


class _Answer(msgspec.Struct, frozen=True):
    python: str
    packages: dict[str, str]


class Inquiry:
    """Asks at once, on a thread; `answer` waits for it."""

    def __init__(self, command: Sequence[str], folder: Path, variables: Mapping[str, str]) -> None:
        self._found = _Answer("", {})
        interpreter = interpreter_of(command, folder, variables.get("PATH", ""))
        self._thread = threading.Thread(target=self._ask, args=(interpreter, folder, variables), daemon=True)
        self._thread.start()

    @property
    def done(self) -> bool:
        return not self._thread.is_alive()

    def answer(self) -> Environment:
        self._thread.join(_TIMEOUT_S + 1)
        return Environment(
            python=self._found.python, platform=platform.platform(), cpus=_cpus(),
            packages=self._found.packages,
        )  # fmt: skip

    def _ask(self, interpreter: str | None, folder: Path, variables: Mapping[str, str]) -> None:
        if interpreter is None:
            return
        try:
            done = subprocess.run(
                [interpreter, "-c", _ASK], cwd=folder, env=dict(variables), capture_output=True,
                stdin=subprocess.DEVNULL, timeout=_TIMEOUT_S, check=True, process_group=0,
            )  # fmt: skip
            self._found = msgspec.json.decode(done.stdout, type=_Answer)
        except (OSError, subprocess.SubprocessError, msgspec.DecodeError):
            return  # an interpreter that does not answer has no packages that we know of


def nothing_known() -> Environment:
    """Of a run whose answer was lost."""
    return Environment(python="", platform=platform.platform(), cpus=_cpus())


def interpreter_of(command: Sequence[str], folder: Path, path: str) -> str | None:
    """The Python that the command names, also by a script's first line; else `python3`, if any."""
    program = _which(command[0], folder, path)
    if program is None or not _PYTHON.fullmatch(os.path.basename(program)):
        named = _first_line(program) if program else []
        if named and os.path.basename(named[0]) == "env":
            named = [word for word in named[1:] if not word.startswith("-")]
        python = next((w for w in named[:1] if _PYTHON.fullmatch(os.path.basename(w))), "python3")
        program = _which(python, folder, path)
    return program


def _which(program: str, folder: Path, path: str) -> str | None:
    if "/" in program:
        place = os.path.join(folder, program)
        return place if os.access(place, os.X_OK) else None
    return shutil.which(program, path=path)


def _first_line(program: str) -> list[str]:
    """The words after #! of a script; none for any other file."""
    try:
        with open(program, "rb") as file:
            line = file.readline(256)
    except OSError:
        return []
    return os.fsdecode(line[2:]).split() if line.startswith(b"#!") else []


def _cpus() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
