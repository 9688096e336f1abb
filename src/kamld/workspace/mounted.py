"""A folder that is a mount: what was changed in it is asked of the process that serves it.

Such a folder's `.kamld` is a link to what the mount keeps of its own, PLACE/layer/.kamld, so that what is
true of every working folder is true of it. Its files are never scanned. While `frozen`, changes wait.

What both sides say is one message each: its length in 8 bytes, then msgpack.
"""

import os
import socket
import struct
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from shlex import quote
from typing import Literal, Self, TypeVar

import msgspec
import numpy as np

from kamld.errors import Conflict, SystemFault
from kamld.records.kinds import FOLDER, SYMLINK
from kamld.scan.listing import Scan
from kamld.scan.marks import OWN
from kamld.store import Change, Entries, Progress, Source, Writer
from kamld.store.trees.entries import Entry, entries_of
from kamld.workspace.stat_index import EMPTY, StatIndex

RECORD, SOCKET, LAYER, DATA = "mount.json", "control", "layer", "data"
Message = TypeVar("Message", bound=msgspec.Struct)
_LENGTH = struct.Struct("<Q")
_LARGEST = 1 << 34
_NOTHING_SCANNED = Scan([], np.zeros(0, np.uint8), np.zeros((0, 4), np.int64))


class Row(msgspec.Struct, frozen=True, array_like=True):
    kind: int
    size: int
    id: bytes  # zeros: nobody read it


class Changed(msgspec.Struct, frozen=True, array_like=True):
    """One path; `old` or `new` is None where it is not there. What is new may be in the layer: a file by
    its number, a link by its target."""

    path: bytes
    old: Row | None
    new: Row | None
    number: int = 0
    target: bytes = b""


class Ask(msgspec.Struct, frozen=True, array_like=True):
    """status: what differs, told by content. freeze: what may differ, and changes wait. done: go on, on what
    the folder is bound to now."""

    what: Literal["status", "freeze", "done"]


class Answer(msgspec.Struct, frozen=True, array_like=True):
    trouble: str = ""
    changes: tuple[Changed, ...] = ()
    base: str = ""  # the commit that they are changes of


@dataclass(frozen=True, slots=True)
class FromLayer:
    """As a `Snapshot` of a folder."""

    entries: Entries
    scan: Scan = _NOTHING_SCANNED

    def index(self, _tree: bytes) -> StatIndex:
        return EMPTY


def mount_of(folder: Path) -> Path | None:
    """Where the mount that this folder is keeps its own; None: it is none."""
    try:
        own = Path(os.readlink(folder / OWN))
    except OSError:
        return None
    place = own.parent.parent
    return place if own.parts[-2:] == (LAYER, OWN) and (place / RECORD).exists() else None


class Frozen:
    """What a mounted folder has, while nothing can change it.

    `own` has the folder's `.kamld`, and is how to come to it meanwhile: a program that waits to change the
    mount may keep the system from looking a name up there until we are done.
    """

    def __init__(self, place: Path, line: "Line", changes: Sequence[Changed]) -> None:
        self.own = place / LAYER
        self._data = place / LAYER / DATA
        self._line = line
        self._changes = changes

    def snapshot(self, writer: Writer, before: Entries, progress: Progress | None) -> FromLayer:
        """Put what was written into the hub; all that the folder has. Raises SystemFault."""
        sources = {str(self._data / f"{c.number:x}"): c for c in self._changes if c.number}
        ids = {c.path: c.new.id for c in self._changes if c.new}
        sizes = {c.path: c.new.size for c in self._changes if c.new}
        wanted = (
            Source(path, c.new.size if c.new else 0, named=c.path) for path, c in sources.items()
        )  # fmt: skip
        for written in writer.put_files(wanted, progress):
            path = sources[written.source.path].path
            ids[path], sizes[path] = written.id, written.state.size
        for change in self._changes:
            if change.new and change.new.kind == SYMLINK and change.target:
                ids[change.path] = writer.put(change.target)
            elif change.new and change.new.kind == FOLDER:
                ids[change.path] = writer.put(b"")
        new = [Entry(c.path, c.new.kind, sizes[c.path], ids[c.path]) for c in self._changes if c.new]
        return FromLayer(_joined(before, [c.path for c in self._changes], new))

    def done(self) -> None:
        """What the folder is bound to now is what it shows; changes may go on. Raises SystemFault."""
        self._line.ask(Ask("done"))


@contextmanager
def frozen(folder: Path) -> Iterator[Frozen | None]:
    """None: the folder is no mount. Leaving it lets changes go on. Raises Conflict (read_only),
    SystemFault (mount_gone)."""
    place = mount_of(folder)
    if place is None:
        yield None
        return
    with Line(place, folder) as line:
        yield Frozen(place, line, line.ask(Ask("freeze")).changes)


def changes_of_mount(folder: Path) -> list[Change] | None:
    """None: the folder is no mount. Raises SystemFault (mount_gone)."""
    place = mount_of(folder)
    if place is None:
        return None
    with Line(place, folder) as line:
        return [_change(changed) for changed in line.ask(Ask("status")).changes]


class Line:
    """To the process that serves a mount; one question at a time."""

    def __init__(self, place: Path, folder: Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        try:
            with reachable(place) as near:
                self._socket.connect(near)
        except OSError:
            self._socket.close()
            raise SystemFault(
                "mount_gone", f"Nobody serves the mount at {folder} any more.",
                f"kamld umount {quote(str(folder))}, then mount it again: what was written to it is kept.",
            ) from None  # fmt: skip

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def ask(self, question: Ask) -> Answer:
        """Raises SystemFault (mount_gone, mount_failed), Conflict (read_only)."""
        try:
            send(self._socket, question)
            answer = receive(self._socket, Answer)
        except OSError:
            answer = None
        if answer is None:
            said = "The mount was ended meanwhile."
            raise SystemFault("mount_gone", said, "Mount it again, then repeat this.")
        if answer.trouble == "read_only":
            raise Conflict(
                "read_only", "This folder is a mount that can only be read.",
                "Mount a branch with --write to change it: kamld mount NAME FOLDER --write",
            )  # fmt: skip
        if answer.trouble:
            raise SystemFault("mount_failed", answer.trouble)
        return answer


@contextmanager
def reachable(place: Path) -> Iterator[str]:
    """The socket by a name that is short enough for one, however deep the hub is."""
    folder = os.open(place, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{folder}/{SOCKET}"
    finally:
        os.close(folder)


def send(to: socket.socket, message: msgspec.Struct) -> None:
    data = msgspec.msgpack.encode(message)
    to.sendall(_LENGTH.pack(len(data)) + data)


def receive(source: socket.socket, kind: type[Message]) -> Message | None:
    """None: the other side has gone. Raises OSError."""
    head = _exactly(source, _LENGTH.size)
    if head is None:
        return None
    (length,) = _LENGTH.unpack(head)
    data = _exactly(source, length) if length <= _LARGEST else None
    with suppress(msgspec.MsgspecError):
        return msgspec.msgpack.decode(data, type=kind) if data is not None else None
    return None


def _exactly(source: socket.socket, count: int) -> bytes | None:
    data = bytearray(count)
    view = memoryview(data)
    while len(view):
        got = source.recv_into(view)
        if not got:
            return None
        view = view[got:]
    return bytes(data)


def _change(changed: Changed) -> Change:
    def entry(row: Row | None) -> Entry | None:
        return Entry(changed.path, row.kind, row.size, row.id) if row else None

    return Change(changed.path, entry(changed.old), entry(changed.new))


def _joined(before: Entries, gone: Sequence[bytes], new: Sequence[Entry]) -> Entries:
    """Without the paths of `gone`, with those of `new`; both sorted. Costs copies, no comparison of all."""
    rows = [bisect_left(before.paths, path) for path in gone]
    rows = [row for row, path in zip(rows, gone, strict=True) if before.paths[row : row + 1] == [path]]
    drop = set(rows)
    rest = [path for row, path in enumerate(before.paths) if row not in drop] if drop else before.paths
    places = [bisect_left(rest, entry.path) for entry in new]
    paths, start = [], 0
    for place, entry in zip(places, new, strict=True):
        paths += rest[start:place]
        paths.append(entry.path)
        start = place
    made = entries_of(new)
    return Entries(
        paths + rest[start:],
        np.insert(np.delete(before.kinds, rows), places, made.kinds),
        np.insert(np.delete(before.sizes, rows), places, made.sizes),
        np.insert(np.delete(before.ids, rows, axis=0), places, made.ids, axis=0),
    )
