"""What a script says to the run that it is in: where its inputs and outputs are, what it measures.

Loads next to nothing, for it is imported by the user's own process, whatever that is.
"""

import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, SupportsFloat

from kamld import clock
from kamld.errors import Invalid, KamldError, NotFound, SystemFault
from kamld.runs import surroundings

_NAME_MAX = 250  # characters of a metric's name
_ODD = {math.inf: "inf", -math.inf: "-inf"}  # JSON has no such numbers


def input(label: str) -> Path:
    """The folder with the files of this run's input, read-only. Raises NotFound (unknown_label)."""
    return _folder("input", surroundings.INPUT, label)


def output(label: str) -> Path:
    """The folder to write this run's output into. Raises NotFound (unknown_label)."""
    return _folder("output", surroundings.OUTPUT, label)


def params() -> dict[str, str | int | float | bool]:
    """This run's parameters: whole numbers, numbers, true and false as such, the rest as text."""
    found: dict[str, str | int | float | bool] = _facts()["params"]
    return found


def log_metrics(
    values: Mapping[str, SupportsFloat] | None = None, /, *, step: int = 0, **named: SupportsFloat
) -> None:
    """Add a point to each of these metrics; the run keeps all points and shows the last of each.

    Any number of processes of a run may call it at once. Infinity and not-a-number are kept as
    such. Raises Invalid (bad_metric), and nothing is logged then.
    """
    time, lines = clock.now(), []
    for name, value in {**(values or {}), **named}.items():
        lines.append(json.dumps(_point(name, value, step, time)))
    path = os.path.join(_run_dir(), surroundings.POINTS)
    if not lines:
        return
    data = ("\n".join(lines) + "\n").encode()
    try:
        file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o666)
        try:
            written = os.write(file, data)  # one call, so that points of processes do not mix
        finally:
            os.close(file)
    except OSError as error:
        raise _not_written(path, error.strerror or str(error)) from None
    if written < len(data):
        raise _not_written(path, "the disk is full")


def run_id() -> str:
    """The id of the run that this process is in. Raises NotFound (not_in_a_run)."""
    _run_dir()
    return os.environ[surroundings.RUN_ID]


def _folder(what: str, prefix: str, label: str) -> Path:
    folder = os.environ.get(surroundings.variable(prefix, label))
    if folder:
        return Path(folder)
    there = sorted(_facts()[f"{what}s"])
    listed = f"There are: {', '.join(there)}." if there else f"It has no {what}s."
    option = "-i NAME" if what == "input" else "-o KIND:NAME"
    raise NotFound(
        "unknown_label", f'This run has no {what} "{label}".', f"{listed} kamld run {option} adds one."
    )


def _facts() -> dict[str, Any]:
    path = os.path.join(_run_dir(), surroundings.FACTS)
    try:
        with open(path, encoding="utf-8") as file:
            facts: dict[str, Any] = json.load(file)
    except (OSError, ValueError) as error:
        raise SystemFault("run_folder", f"Cannot read {path}: {error}.") from None
    return facts


def _run_dir() -> str:
    folder = os.environ.get(surroundings.RUN_DIR)
    if not folder or surroundings.RUN_ID not in os.environ:
        raise NotFound(
            "not_in_a_run",
            "This is not inside a run, so there are no inputs, outputs or parameters.",
            "Start it so: kamld run -i DATASET -o model:NAME -p KEY=VALUE -- python SCRIPT.py",
        )
    return folder


def _point(name: str, value: SupportsFloat, step: int, time: str) -> dict[str, object]:
    try:
        number = float(value)
        whole = int(step)
    except (TypeError, ValueError, OverflowError):
        raise _bad(f"{name} = {value!r} at step {step!r} is not a number.") from None
    if not name.isprintable() or not 0 < len(name) <= _NAME_MAX:
        raise _bad(f"{name!r} cannot be the name of a metric.")
    if abs(whole) >= 2**63:
        raise _bad(f"Step {step} is too large.")
    kept = "nan" if math.isnan(number) else _ODD.get(number, number)
    return {"name": name, "value": kept, "step": whole, "time": time}


def _bad(message: str) -> KamldError:
    return Invalid("bad_metric", message, "Write kamld.log_metrics(loss=0.3, step=1).")


def _not_written(path: str, why: str) -> SystemFault:
    return SystemFault("metrics_not_written", f"Cannot write {path}: {why}.")
