"""Looking at a large folder, begun before what comes after it is loaded, which takes as long.

What was seen counts only where the folder comes from the very version that it came from then.
"""

import os
import time
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from kamld.errors import KamldError
from kamld.processes import may_fork
from kamld.scan.ignore import Ignores, read_ignores
from kamld.scan.looking import Found, Place, look
from kamld.scan.marks import BINDING, OWN, STAT_INDEX
from kamld.scan.sharing import Shared

_LARGE = 500_000  # bytes of a stat index: some thousands of files
_AT_REST = {BINDING, STAT_INDEX}  # in `OWN`, where nothing is to be finished first


@dataclass(frozen=True, slots=True)
class _Begun:
    folder: Path
    record: tuple[int, ...]  # what tells whether the folder has come to another version
    began: int  # nanoseconds
    top: Found
    below: Shared[Place, Found]


_begun: list[_Begun] = []  # one at most


def begin(place: str) -> None:
    """Look at the bound folder that this is in, if it is a large one, as `scan` does without what is
    nested. Nothing is refused: whoever scans it finds that out."""
    with suppress(OSError, RuntimeError, ValueError, KamldError):
        start = Path(place).resolve()
        folder = next((one for one in (start, *start.parents) if os.path.exists(one / OWN / BINDING)), None)
        if folder and not _begun and _is_worth_it(folder) and may_fork():
            record, began, ignores = _record(folder), time.time_ns(), read_ignores(folder)
            top = look(Place(str(folder), b""), ignores, None, nested=False)
            if len(top.folders) > 1:
                below = Shared(top.folders, partial(_below, ignores=ignores), Found)
                _begun.append(_Begun(folder, record, began, top, below))


def take(folder: Path) -> tuple[int, Found] | None:
    """When it was begun, and what was found; None where it was not begun, or does not count any more."""
    if not _begun or _begun[0].folder != folder:
        return None
    begun = _begun.pop()
    if _record(folder) != begun.record:
        begun.below.drop()
        return None
    found = Found()
    for one in (begun.top, *begun.below.all()):
        found.take(one)
    return begun.began, found


def forget() -> None:
    """Whoever it was begun for has ended."""
    while _begun:
        _begun.pop().below.drop()


def _is_worth_it(folder: Path) -> bool:
    own = folder / OWN
    at_rest = _AT_REST.issuperset(os.listdir(own)) and not os.path.ismount(folder)
    return at_rest and os.stat(own / STAT_INDEX).st_size >= _LARGE


def _record(folder: Path) -> tuple[int, ...]:
    """Nothing where there is none any more."""
    with suppress(OSError):
        state = os.stat(folder / OWN / BINDING)
        return state.st_ino, state.st_mtime_ns, state.st_ctime_ns
    return ()


def _below(place: Place, ignores: Ignores | None) -> Found:
    """A folder with all that is below it."""
    found, waiting = Found(), [place]
    while waiting:
        one = look(waiting.pop(), ignores, None, nested=False)
        found.take(one)
        waiting += one.folders
    return found
