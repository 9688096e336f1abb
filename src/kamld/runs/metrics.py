"""Metrics that a run's command logs: a JSON object a line, appended by any number of processes.

A line that is no metric is counted and told, never fatal: the file is the user's to write.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from kamld import clock
from kamld.errors import KamldError
from kamld.records.encoding import decode, encode
from kamld.records.run import Metric

NAME_MAX = 250  # characters
_AT_ONCE = 1024 * 1024  # bytes that a follower reads at a time
_LINE_MAX = 64 * 1024  # bytes; what is longer is no metric


class _Line(msgspec.Struct, frozen=True, kw_only=True):
    """As other languages may write it: without step or time."""

    name: str
    value: float
    step: int = 0
    time: str = ""


@dataclass(slots=True)
class Read:
    """What a file of metrics says as a whole."""

    last: dict[str, float] = field(default_factory=dict)
    count: int = 0
    bad: int = 0
    first_bad: str = ""

    @property
    def notes(self) -> tuple[str, ...]:
        if not self.bad:
            return ()
        lines = "1 line" if self.bad == 1 else f"{self.bad} lines"
        return (f"{lines} of the logged metrics could not be read, the first: {self.first_bad}",)


def parse(line: bytes) -> Metric | None:
    """None: it is not a metric."""
    try:
        found = decode(line, _Line, "a line")
    except KamldError:
        return None
    if not found.name or len(found.name) > NAME_MAX or not found.name.isprintable():
        return None
    return Metric(name=found.name, value=found.value, step=found.step, time=_time(found.time))


def _time(text: str) -> str:
    """As records keep it; now, where the line had none."""
    try:
        return text if len(text) == 27 and text[-1] == "Z" else clock.text(clock.moment(text))
    except (ValueError, OverflowError):
        return clock.now()


def clean(source: Path, target: Path) -> Read:
    """Write the metrics among the lines of `source` to `target`, as records keep them."""
    result = Read()
    try:
        lines = open(source, "rb")  # noqa: SIM115 - the next line closes it
    except FileNotFoundError:
        return result
    with lines, open(target, "wb") as kept:
        for line in _lines(lines.fileno()):
            metric = parse(line)
            if metric is None:
                result.bad += 1
                result.first_bad = result.first_bad or line[:80].decode("utf-8", "replace")
                continue
            kept.write(encode(metric) + b"\n")
            result.count += 1
            result.last[metric.name] = metric.value
    return result


class Follower:
    """Reads what is appended to a file of metrics, a part at a time."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offset = 0

    def read(self) -> tuple[Metric, ...]:
        """Metrics in the whole lines that came since, at most a megabyte of them."""
        try:
            with open(self._path, "rb", buffering=0) as file:
                data = os.pread(file.fileno(), _AT_ONCE, self._offset)
        except OSError:
            return ()
        end = data.rfind(b"\n") + 1
        if not end and len(data) == _AT_ONCE:
            end = len(data)  # no line is that long: leave it
        self._offset += end
        found = (parse(line) for line in data[:end].splitlines() if line.strip())
        return tuple(metric for metric in found if metric)


def _lines(file: int) -> Iterator[bytes]:
    """Lines that are not empty; of one that is too long, its beginning."""
    with open(file, "rb", closefd=False) as reader:
        whole = True
        while piece := reader.readline(_LINE_MAX):
            if whole and piece.strip():
                yield piece.rstrip(b"\r\n")
            whole = piece.endswith(b"\n")
