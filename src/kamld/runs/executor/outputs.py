"""Folders that a command writes its outputs into: what it wrote, and whether it wrote at all."""

from pathlib import Path

import numpy as np

from kamld.errors import Invalid
from kamld.records.kinds import FOLDER
from kamld.store import Entries, Progress, Writer
from kamld.workspace import scan, snapshot

NOTHING = "0 0 0"  # the state of a folder without files


def state_of(folder: Path) -> str:
    """Files, bytes and newest change; equal if nothing in it was touched. Raises Invalid."""
    found = scan(folder) if folder.is_dir() else None
    files = found.states[found.kinds != FOLDER] if found else np.zeros((0, 4), np.int64)
    newest = int(files[:, 1:3].max()) if len(files) else 0
    return f"{len(files)} {int(files[:, 0].sum())} {newest}"


def take_output(
    folder: Path, before: str | None, after: str | None, writer: Writer, progress: Progress
) -> Entries | None:
    """Put the folder's files into the hub. None: the command wrote nothing there.

    `before` and `after` are its states when the command started and had ended. Raises Invalid
    (special_file, changed_output), SystemFault.
    """
    state = state_of(folder)
    if state in (NOTHING, before):
        return None
    if after is not None and state != after:  # None: the disk was too full to note it
        raise Invalid(
            "changed_output",
            f"{folder} was changed after the run had ended.",
            "Commit the folder yourself if it is what you want: kamld commit.",
        )
    return snapshot(folder, writer, progress=progress).entries
