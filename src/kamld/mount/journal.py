"""The journal of a layer: every change of names, in order, each checked by its own sum.

A record that was cut off, as by a crash in the middle of writing it, ends the journal: it and what follows
never happened.
"""

import errno
import os
import struct
from collections.abc import Iterable
from pathlib import Path
from zlib import crc32

import msgspec

from kamld.mount.names import Attributes, Content, Gone, Move, Op, Put, Start

_HEAD = struct.Struct("<II")  # length, sum
_LARGEST = 1 << 20
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Op).decode


def _packed(op: Op) -> bytes:
    data = _encode(op)
    return _HEAD.pack(len(data), crc32(data)) + data


def base_of_changes(path: Path) -> str | None:
    """The commit over which changes were made that a version would have; None where there are none. Errs
    on the side of changes. Raises OSError."""
    try:
        journal = Journal(path, writable=False)
    except FileNotFoundError:
        return None
    try:
        ops = journal.read()
    finally:
        journal.close()
    if not any(not isinstance(op, Start | Attributes) or _differs(op) for op in ops):
        return None
    return next((op.commit for op in ops if isinstance(op, Start)), None)


def paths_of_files(path: Path) -> dict[int, bytes]:
    """Where each file of the layer is in the mount. Raises OSError."""
    journal = Journal(path, writable=False)
    try:
        ops = journal.read()
    finally:
        journal.close()
    at: dict[bytes, int] = {}
    for op in ops:
        if isinstance(op, Put | Content) and op.number:
            at[op.path] = op.number
        elif isinstance(op, Gone):
            at = {one: number for one, number in at.items() if not _is_in(one, op.path)}
        elif isinstance(op, Move):
            others = at if op.swap else {one: number for one, number in at.items() if not _is_in(one, op.new)}
            at = {_moved(one, op): number for one, number in others.items()}
    return {number: one for one, number in at.items()}


def _is_in(path: bytes, folder: bytes) -> bool:
    return path == folder or path.startswith(folder + b"/")


def _moved(path: bytes, op: Move) -> bytes:
    if _is_in(path, op.old):
        return op.new + path[len(op.old) :]
    return op.old + path[len(op.new) :] if op.swap and _is_in(path, op.new) else path


def _differs(op: Op) -> bool:
    return isinstance(op, Attributes) and op.differs


class Journal:
    """Open for as long as its mount is; only one process has it."""

    def __init__(self, path: Path, *, writable: bool = True) -> None:
        """Raises OSError."""
        self._path = path
        how = os.O_RDWR | os.O_CREAT if writable else os.O_RDONLY
        self._file = os.open(path, how | os.O_CLOEXEC, 0o600)
        self._writable = writable
        self.size = 0

    def read(self) -> list[Op]:
        """All that was recorded; what was cut off at the end is removed."""
        with open(self._path, "rb") as file:
            data = file.read()
        found, at = [], 0
        while at + _HEAD.size <= len(data):
            length, checksum = _HEAD.unpack_from(data, at)
            body = data[at + _HEAD.size : at + _HEAD.size + length]
            if length > _LARGEST or len(body) < length or crc32(body) != checksum:
                break
            found.append(_decode(body))
            at += _HEAD.size + length
        if self._writable:
            os.ftruncate(self._file, at)
        self.size = at
        return found

    def append(self, op: Op) -> None:
        """All of it or nothing. Raises OSError."""
        data = _packed(op)
        try:
            if os.pwrite(self._file, data, self.size) != len(data):
                raise OSError(errno.ENOSPC, "")
        except OSError:
            os.ftruncate(self._file, self.size)
            raise
        self.size += len(data)

    def sync(self) -> None:
        os.fdatasync(self._file)

    def replace(self, ops: Iterable[Op]) -> None:
        """Another journal in place of this one, durable, at once or not at all. Raises OSError."""
        beside = self._path.with_name(self._path.name + ".new")
        size = 0
        file = os.open(beside, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            for op in ops:
                data = _packed(op)
                if os.write(file, data) != len(data):
                    raise OSError(errno.ENOSPC, "")
                size += len(data)
            os.fsync(file)
            os.replace(beside, self._path)
        except BaseException:
            os.close(file)
            raise
        os.close(self._file)
        self._file, self.size = file, size
        folder = os.open(self._path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def close(self) -> None:
        os.close(self._file)
