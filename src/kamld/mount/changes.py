"""What a layer changed of the version below it, as rows of a tree. Reads no file whose size or kind tells."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from posixpath import dirname

import msgspec

from kamld.mount.names import Names, Node
from kamld.records.kinds import FOLDER, SYMLINK
from kamld.scan.ignore import Ignores
from kamld.scan.marks import HUB_MARK
from kamld.store.trees import EMPTY_ID
from kamld.store.trees.entries import Entry
from kamld.workspace.mounted import Changed, Row

UNKNOWN = bytes(32)  # id of what nobody had to read
IdOf = Callable[[int], bytes]  # of a file of the layer
IsLeftOut = Callable[[bytes, Node, dict[bytes, Node]], bool]  # of this path; with all that is new


def changed(names: Names, ignores: Ignores | None) -> list[Changed]:
    """What a commit would have, sorted by path; with files of the layer that may be as the version has
    them, see `told_by_content`. Names that `ignores` leaves out are not told, unless the version has them."""
    return _changed(names, _LeftOut(ignores))


def everything_changed(names: Names) -> list[Changed]:
    """The same, with what no commit would have."""
    return _changed(names, lambda *_: False)


def told_by_content(changes: Iterable[Changed], id_of: IdOf) -> list[Changed]:
    """Without those files that turn out to be as the version has them."""
    found = []
    for one in changes:
        old, new = one.old, one.new
        if one.number and old and new and (old.kind, old.size) == (new.kind, new.size):
            new = Row(new.kind, new.size, id_of(one.number))
            if new.id == old.id:
                continue
        found.append(msgspec.structs.replace(one, new=new))
    return found


def _changed(names: Names, is_left_out: IsLeftOut) -> list[Changed]:
    both = _Both(names)
    both.look()
    found = []
    for path in sorted(both.old.keys() | both.new.keys()):
        before, node = both.old.get(path), both.new.get(path)
        if before is None and node and is_left_out(path, node, both.new):
            continue
        old = Row(before.kind, before.size, before.id) if before else None
        new = _row(node) if node else None
        if old and new and node and _is_same(names, old, new, node):
            continue
        link = node.target if node and node.kind == SYMLINK else b""
        found.append(Changed(path, old, new, node.number if node else 0, link))
    return found


@dataclass(slots=True)
class _Both:
    """Both sides of all that could differ."""

    names: Names
    old: dict[bytes, Entry]
    new: dict[bytes, Node]

    def __init__(self, names: Names) -> None:
        self.names, self.old, self.new = names, {}, {}

    def look(self) -> None:
        waiting = [(b"", self.names.root)]  # folders that show the version's folder of their own name
        while waiting:
            path, folder = waiting.pop()
            for name, child in folder.own.items():
                inner = path + b"/" + name if path else name
                if child and child.kind == FOLDER and child.beneath == inner:
                    waiting.append((inner, child))
                    continue
                for entry in self._version(inner):
                    self.old[entry.path] = entry
                if child:
                    self._everything(inner, child)
            if path and folder.own and self.names.is_empty(path):
                self.new[path] = folder
            if path and folder.own and next(self.names.beneath.children(path), None) is None:
                self.old[path] = Entry(path, FOLDER, 0, EMPTY_ID)

    def _version(self, path: bytes) -> Iterator[Entry]:
        entry = self.names.beneath.find(path)
        if entry is None:
            return
        if entry.kind != FOLDER:
            yield entry
            return
        inside = False
        for inner in self.names.beneath.below(path):
            inside = True
            yield inner
        if not inside:
            yield Entry(path, FOLDER, 0, EMPTY_ID)

    def _everything(self, path: bytes, node: Node) -> None:
        waiting = [(path, node)]
        while waiting:
            path, node = waiting.pop()
            if node.kind == FOLDER:
                inside = [(path + b"/" + name, child) for name, child in self.names.children(path)]
                waiting += inside
                if inside:
                    continue
            self.new[path] = node


@dataclass
class _LeftOut:
    """What a scan of a folder passes by: what is ignored, and hubs."""

    ignores: Ignores | None

    def __call__(self, path: bytes, node: Node, new: dict[bytes, Node]) -> bool:
        shown = path.decode("utf-8", "surrogateescape") + ("/" if node.kind == FOLDER else "")
        return (self.ignores is not None and self.ignores(shown)) or self._is_in_a_hub(path, new)

    @staticmethod
    def _is_in_a_hub(path: bytes, new: dict[bytes, Node]) -> bool:
        while path := dirname(path):
            if path + b"/" + HUB_MARK.encode() in new:
                return True
        return False


def _row(node: Node) -> Row:
    return Row(FOLDER, 0, EMPTY_ID) if node.kind == FOLDER else Row(node.sort, node.size, node.id or UNKNOWN)


def _is_same(names: Names, old: Row, new: Row, node: Node) -> bool:
    if node.target and old.kind == SYMLINK:
        return names.beneath.whole(old.id) == node.target
    return (old.kind, old.id) == (new.kind, new.id)
