"""What is in a folder, as columns sorted by path."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from kamld.errors import Invalid
from kamld.processes import may_fork
from kamld.scan import ahead
from kamld.scan.ignore import read_ignores
from kamld.scan.looking import Found, Place, Skips, look
from kamld.scan.sharing import Pace, Shared, together

_WORTH_A_PROCESS = 16  # folders


@dataclass(frozen=True, slots=True)
class Scan:
    """What is in a folder, sorted by path. Times in nanoseconds."""

    paths: list[bytes]
    kinds: NDArray[np.uint8]
    states: NDArray[np.int64]  # (n, 4): size, mtime, ctime, inode
    left: tuple[str, ...] = ()  # folders of checkouts that go on or were killed
    special: tuple[str, ...] = ()  # what no version can hold, in words
    apart: tuple[str, ...] = ()  # folders in it that are bound themselves, and were left out
    began: int = 0  # no state in it is older

    def __len__(self) -> int:
        return len(self.paths)


def scan(folder: Path, *, skips: Skips | None = None, nested: bool = True, strict: bool = True) -> Scan:
    """`nested`: folders in it that are bound to something of their own are part of it. `strict`: refuse what
    no version can hold; else it is only named. Raises Invalid (special_file), SystemFault."""
    began = time.time_ns()
    before = ahead.take(folder) if not (nested or skips) else None
    if before:
        began, found = before
    else:
        found = _all(folder, partial(look, ignores=read_ignores(folder), skips=skips, nested=nested))
    if strict:
        _refuse(found.special)
    return _sorted(found, began)


def _all(folder: Path, look: Callable[[Place], Found]) -> Found:
    all_found = Found()
    waiting = [Place(str(folder), b"")]
    while waiting:
        level = _looked(waiting, look)
        waiting = []
        for found in level:
            all_found.take(found)
            waiting += found.folders
    return all_found


def _looked(places: list[Place], look: Callable[[Place], Found]) -> list[Found]:
    """Look at these folders, at several together only where that means waiting: threads that all call
    the system for each of many files hinder each other more than they help."""
    done: list[Found] = []
    pace = Pace()
    for place in places:
        done.append(look(place))
        left = places[len(done) :]
        if left and pace.is_waiting():
            return done + together(look, left)
        if pace.is_long() and len(left) >= _WORTH_A_PROCESS and may_fork():
            return done + Shared(left, look, Found).all()
    return done


def _sorted(found: Found, began: int) -> Scan:
    order = sorted(range(len(found.paths)), key=found.paths.__getitem__)
    states = np.frombuffer(found.states, np.int64).reshape(-1, 4)
    return Scan(
        [found.paths[row] for row in order],
        np.frombuffer(found.kinds, np.uint8)[order],
        states[order],
        tuple(found.left),
        tuple(found.special),
        tuple(sorted(found.apart)),
        began,
    )


def _refuse(special: list[str]) -> None:
    if special:
        raise Invalid(
            "special_file",
            f"{special[0]}, which no version can hold"
            + (f" (and {len(special) - 1} more)." if len(special) > 1 else "."),
            "Remove it or name it in .kamldignore.",
        )
