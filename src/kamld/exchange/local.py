"""Files of this machine as items. A file that was written this very moment is looked at again."""

import os
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from kamld import clock
from kamld.blobs.foreign import found_in
from kamld.exchange.fetched import pieces_in
from kamld.exchange.items import Item
from kamld.records.kinds import FOLDER, SYMLINK
from kamld.workspace import scan

_GRAIN_MS = 20  # within which two contents may have the same times


def scanned(folder: Path) -> Iterator[Item]:
    """All that is in a folder. Raises Invalid (special_file), SystemFault."""
    found = scan(folder)
    top = os.fsencode(folder) + b"/"
    for path, kind, state in zip(found.paths, found.kinds.tolist(), found.states.tolist(), strict=True):
        file = os.fsdecode(top + path)
        if kind == SYMLINK:
            yield Item(path, kind, state[0], pieces=partial(_target, top + path))
        elif kind == FOLDER:
            yield Item(path, kind)
        else:
            yield local(path, kind, file)


def local(path: bytes, kind: int, file: str) -> Item:
    state = os.stat(file)
    seen = found_in(state)
    settled = clock.now_ms() - max(state.st_mtime_ns, state.st_ctime_ns) // 10**6 > _GRAIN_MS
    stamp = f"{state.st_size} {state.st_mtime_ns} {state.st_ctime_ns} {state.st_ino}" if settled else ""
    pieces = partial(pieces_in, file)
    return Item(path, kind, state.st_size, stamp, file, pieces, file, seen.etag, seen.modified)


def _target(link: bytes) -> list[bytes]:
    return [os.readlink(link)]
