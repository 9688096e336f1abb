"""What a mount shows, as a tree of names: the version below, and over it what was changed.

Only what was changed is kept here: a folder that was renamed still shows the version's folder through
it, however large that is. Every change is an `Op`; the journal keeps them, and applying them again to the
same version gives the same names. This module reads no file that was written; see `layer`.
"""

import stat
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from hashlib import blake2b
from typing import Final

import msgspec

from kamld.mount.beneath import Beneath
from kamld.records.kinds import EXECUTABLE, FILE, FOLDER, SYMLINK
from kamld.store.trees.entries import Entry

_MADE_HERE = 1 << 62  # inode numbers of what was made in the layer; the version's are hashes below it
_TYPE = {FILE: stat.S_IFREG, SYMLINK: stat.S_IFLNK, FOLDER: stat.S_IFDIR}


class _Op(msgspec.Struct, frozen=True, array_like=True):
    pass


class Start(_Op, frozen=True, array_like=True, tag="start"):
    """What the names after it are over; the first of a journal."""

    commit: str
    time_ns: int  # of all that was not changed


class Put(_Op, frozen=True, array_like=True, tag="put"):
    """Something new, or what was changed, as it is now."""

    path: bytes
    kind: int  # FILE, SYMLINK or FOLDER
    mode: int
    mtime: int
    inode: int
    number: int = 0  # of the file in the layer that has the content
    size: int = 0
    id: bytes = b""  # of the object in the hub that has the content
    target: bytes = b""  # of a link
    beneath: bytes | None = None  # the version's folder that is seen through it


class Gone(_Op, frozen=True, array_like=True, tag="gone"):
    path: bytes
    at: int


class Move(_Op, frozen=True, array_like=True, tag="move"):
    old: bytes
    new: bytes
    swap: bool
    at: int


class Attributes(_Op, frozen=True, array_like=True, tag="attributes"):
    """`inode` 0: what it was. `differs`: a version with these would be another."""

    path: bytes
    mode: int
    mtime: int
    inode: int = 0
    differs: bool = False


class Content(_Op, frozen=True, array_like=True, tag="content"):
    """From here on the file's content is in the layer."""

    path: bytes
    number: int


Op = Start | Put | Gone | Move | Attributes | Content


@dataclass(slots=True)
class Node:
    """One file, link or folder. A file's content is in the layer (`number`) or in the hub (`id`)."""

    kind: int
    mode: int
    mtime: int
    inode: int
    size: int = 0
    id: bytes = b""
    number: int = 0
    target: bytes = b""  # of a link that was made here
    beneath: bytes | None = None
    own: "dict[bytes, Node | None]" = field(default_factory=dict)  # None: removed

    @property
    def st_mode(self) -> int:
        return _TYPE[self.kind] | self.mode

    @property
    def sort(self) -> int:
        """What a version calls it."""
        return EXECUTABLE if self.kind == FILE and self.mode & stat.S_IXUSR else self.kind


_BENEATH: Final = Node(FOLDER, 0, 0, 0)  # stands for: look in the version


class Names:
    """Not safe from several threads while it changes; whoever changes it holds a lock."""

    def __init__(self, beneath: Beneath, time_ns: int, *, writable: bool) -> None:
        self.beneath = beneath
        self.time_ns = time_ns
        self._bits = (0o644, 0o755) if writable else (0o444, 0o555)
        self.root = Node(FOLDER, self._bits[1], time_ns, 1, beneath=b"")
        self.last_number = 0  # of files in the layer, and of inodes made here

    def new_number(self) -> int:
        self.last_number += 1
        return self.last_number

    @staticmethod
    def new_inode(number: int) -> int:
        return _MADE_HERE | number

    def find(self, path: bytes) -> Node | None:
        """A node that may be looked at, not changed; see `kept`."""
        node, at = self.root, 0
        if not path:
            return node
        while True:
            if node.kind != FOLDER:
                return None
            cut = path.find(b"/", at)
            child = node.own.get(path[at:] if cut < 0 else path[at:cut], _BENEATH)
            if child is _BENEATH:
                if node.beneath is None:
                    return None
                inner = path[at:] if not node.beneath else node.beneath + b"/" + path[at:]
                entry = self.beneath.find(inner)
                return self._shown(entry) if entry else None
            if child is None or cut < 0:
                return child
            node, at = child, cut + 1

    def children(self, path: bytes) -> Iterator[tuple[bytes, Node]]:
        """Names in a folder. What changes meanwhile may be told or not; what stays is told once."""
        folder = self.find(path)
        if folder is None or folder.kind != FOLDER:
            return
        first = list(folder.own)
        known = set(first)
        if folder.beneath is not None:
            skip = len(folder.beneath) + 1 if folder.beneath else 0
            for entry in self.beneath.children(folder.beneath):
                name = entry.path[skip:]
                if name in known:
                    continue
                node = folder.own.get(name, _BENEATH)
                if node is not None:
                    yield name, self._shown(entry) if node is _BENEATH else node
        for name in first:
            if node := folder.own.get(name):
                yield name, node

    def is_empty(self, path: bytes) -> bool:
        return next(self.children(path), None) is None

    def kept(self, path: bytes) -> Node:
        """The node itself, made where the version was looked through. Raises FileNotFoundError."""
        node = self.root
        for name in path.split(b"/") if path else ():
            child = node.own.get(name, _BENEATH)
            if child is _BENEATH and node.beneath is not None:
                entry = self.beneath.find(node.beneath + b"/" + name if node.beneath else name)
                child = self._shown(entry) if entry else None
                if child:
                    node.own[name] = child
            if child is None or child is _BENEATH:
                raise FileNotFoundError(path)
            node = child
        return node

    def apply(self, op: Op) -> None:
        """What was checked before: the journal has only what was possible."""
        if isinstance(op, Put):
            self._put(op)
        elif isinstance(op, Gone):
            self._take(op.path, op.at)
        elif isinstance(op, Move):
            self._move(op)
        elif isinstance(op, Attributes):
            node = self.kept(op.path)
            node.mode, node.mtime, node.inode = op.mode, op.mtime, op.inode or node.inode
            self._count_inode(op.inode)
        elif isinstance(op, Content):
            node = self.kept(op.path)
            node.number, node.id = op.number, b""
            self.last_number = max(self.last_number, op.number)

    def walk(self) -> Iterator[tuple[bytes, Node | None]]:
        """All that is kept here, folders before what is in them; None: removed."""
        waiting: list[tuple[bytes, Node | None]] = [(b"", self.root)]
        while waiting:
            path, node = waiting.pop()
            yield path, node
            if node and node.kind == FOLDER:
                prefix = path + b"/" if path else b""
                waiting += [(prefix + name, child) for name, child in node.own.items()]

    def as_ops(self) -> Iterator[Op]:
        """What makes these names of the version, by as few ops as that takes."""
        for path, node in self.walk():
            if node is None:
                yield Gone(path, 0)
            elif self._is_unchanged(path, node):
                yield Attributes(path, node.mode, node.mtime, node.inode)
            else:
                about = (path, node.kind, node.mode, node.mtime, node.inode, node.number, node.size)
                yield Put(*about, node.id, node.target, node.beneath)

    def committed(self, beneath: Beneath) -> "Names":
        """The same names over a version that has them; what it has not stays what it is."""
        names = Names(beneath, self.time_ns, writable=True)
        names.last_number = self.last_number
        made: dict[bytes, Node] = {}
        for path, node in self.walk():
            if node is None:
                continue
            entry = beneath.find(path)
            new = made[path] = replace(node, own={}, beneath=path if entry else None)
            if node.kind != FOLDER:
                new.beneath = None
                if entry:
                    new.number, new.size, new.id, new.target = 0, entry.size, entry.id, b""
            if path:
                folder, _, name = path.rpartition(b"/")
                made[folder].own[name] = new
        names.root = made[b""]
        return names

    def _is_unchanged(self, path: bytes, node: Node) -> bool:
        if node.kind == FOLDER:
            return node.beneath == path
        entry = self.beneath.find(path)
        return entry is not None and (entry.kind, entry.id) == (node.sort, node.id)

    def _shown(self, entry: Entry) -> Node:
        time, bits = self.time_ns, self._bits
        inode = int.from_bytes(blake2b(entry.path, digest_size=8).digest(), "little") >> 2 or 2
        if entry.kind == FOLDER:
            return Node(FOLDER, bits[1], time, inode, beneath=entry.path)
        if entry.kind == SYMLINK:
            return Node(SYMLINK, 0o777, time, inode, entry.size, entry.id)
        return Node(FILE, bits[entry.kind == EXECUTABLE], time, inode, entry.size, entry.id)

    def _parent(self, path: bytes, at: int) -> tuple[Node, bytes]:
        folder, _, name = path.rpartition(b"/")
        node = self.kept(folder)
        node.mtime = at
        return node, name

    def _put(self, op: Put) -> None:
        node = Node(
            op.kind, op.mode, op.mtime, op.inode, op.size, op.id, op.number, op.target, op.beneath
        )  # fmt: skip
        self.last_number = max(self.last_number, op.number)
        self._count_inode(op.inode)
        if not op.path:
            self.root = node
            return
        folder, name = self._parent(op.path, op.mtime)
        folder.own[name] = node

    def _count_inode(self, inode: int) -> None:
        if inode & _MADE_HERE:
            self.last_number = max(self.last_number, inode ^ _MADE_HERE)

    def _take(self, path: bytes, at: int) -> Node:
        """Remove a name; what it was."""
        node = self.kept(path)
        folder, name = self._parent(path, at)
        below = folder.beneath
        if below is not None and self.beneath.find(below + b"/" + name if below else name):
            folder.own[name] = None
        else:
            del folder.own[name]
        return node

    def _move(self, op: Move) -> None:
        if op.swap:
            a, b = self.kept(op.old), self.kept(op.new)
            for path, node in ((op.old, b), (op.new, a)):
                folder, name = self._parent(path, op.at)
                folder.own[name] = node
            return
        node = self._take(op.old, op.at)
        folder, name = self._parent(op.new, op.at)
        folder.own[name] = node
