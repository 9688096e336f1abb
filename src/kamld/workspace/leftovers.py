"""Folders that a checkout or an export fills before their files appear in their place, and what a killed
one left.

Who fills one holds a lock on it, which dies with its process: one that nobody holds is left over.
"""

import fcntl
import os
import shutil
from collections.abc import Iterable
from pathlib import Path

from kamld import ids
from kamld.scan.marks import FILLED, is_filled


def make_folder(home: Path) -> tuple[Path, int]:
    """A new one in `home`, and its lock, to be closed. Raises OSError."""
    while True:
        place = home / f"{FILLED}{ids.new_id()}"
        place.mkdir()
        try:
            lock = os.open(place, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except FileNotFoundError:
            continue  # as below
        fcntl.flock(lock, fcntl.LOCK_EX)
        if place.exists():
            return place, lock
        os.close(lock)  # somebody took it for left over just before it was locked


def left_in(home: Path) -> list[str]:
    """Those in this folder, and not below. Raises OSError."""
    with os.scandir(home) as listing:
        return [e.path for e in listing if is_filled(e.name) and e.is_dir(follow_symlinks=False)]


def remove_left(places: Iterable[str]) -> None:
    """Remove those that no process fills any more."""
    for place in places:
        try:
            lock = os.open(place, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError:
            continue  # it is gone, or not ours to look into
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(place, ignore_errors=True)
        except BlockingIOError:
            pass
        finally:
            os.close(lock)
