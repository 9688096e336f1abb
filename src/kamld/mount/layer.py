"""The private layer of a mount that can be written to: what changes names, and the files written.

    FOLDER/journal      every change of names, see `journal`
    FOLDER/data/<n>     the content of one file that was written here, whole

Each change is in the journal, and each byte written in its file, before who asked for it hears that it was
done: when the server is killed, nothing of that is lost. Against a crash of the machine, `fsync` makes
durable what any folder's would. Content of the version is copied into the layer when it is first changed.
"""

import errno
import os
import re
import stat
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Condition, Lock, RLock

from kamld.mount.beneath import Beneath
from kamld.mount.journal import Journal
from kamld.mount.names import Attributes, Content, Gone, Move, Names, Node, Op, Put, Start
from kamld.records.kinds import FILE, FOLDER, SYMLINK
from kamld.scan.marks import may_be_named
from kamld.workspace.mounted import DATA

JOURNAL = "journal"
NOREPLACE, EXCHANGE = 1, 2  # of renameat2
_LONG = 16 * 1024 * 1024  # bytes of a journal that is worth writing anew
_OPEN = 128  # files of the layer that stay open
# What libfuse calls a file that was removed while somebody had it open, until that one closes it.
_HIDDEN = re.compile(rb"(.*/)?\.fuse_hidden[0-9a-f]{16}")


class _Open:
    """A file of the layer; it is closed when its last user has done with it."""

    __slots__ = ("file",)

    def __init__(self, path: Path, how: int = 0) -> None:
        self.file = os.open(path, os.O_RDWR | os.O_CLOEXEC | how, 0o600)

    def __del__(self) -> None:
        with suppress(OSError, AttributeError):
            os.close(self.file)


class Layer:
    """Every method raises OSError, as the system call of its name does. Safe from several threads."""

    def __init__(self, folder: Path, version: Callable[[str], Beneath], commit_id: str) -> None:
        """What was written into `folder` before, over its version; where nothing was, over this one."""
        self.folder = folder
        (folder / DATA).mkdir(parents=True, exist_ok=True)
        self.journal = Journal(folder / JOURNAL)
        ops = self.journal.read()
        start = ops[0] if ops else None
        beneath = version(start.commit if isinstance(start, Start) else commit_id)
        if not isinstance(start, Start):
            ops = [start := Start(commit_id, beneath.time_ns)]
            self.journal.replace(ops)
        self.start = start
        self.names = Names(beneath, start.time_ns, writable=True)
        self._gone: dict[bytes, Node] = {}  # removed, but somebody has it open
        self.lock = RLock()
        self._copying = Lock()
        self._gate = Condition()
        self._held = False
        self._busy = 0
        self._longest = max(_LONG, 2 * self.journal.size)
        self._open: OrderedDict[int, _Open] = OrderedDict()
        for op in ops[1:]:
            self.names.apply(op)
        self._tidy()

    # Looking

    def find(self, path: bytes) -> Node:
        with self.lock:
            node = self._gone.get(path) if self._gone else None
            node = node or self.names.find(path)
        if node is None:
            raise FileNotFoundError(errno.ENOENT, "")
        return node

    def link(self, path: bytes) -> bytes:
        node = self.find(path)
        return node.target or self.names.beneath.whole(node.id)

    def read_into(self, path: bytes, offset: int, target: memoryview) -> int:
        opened: _Open | None = None
        while opened is None:
            node = self.find(path)
            number, identifier = node.number, node.id
            if not number:
                return self.names.beneath.read_into(path, identifier, node.size, offset, target)
            opened = self._still(number)
        done = 0
        while done < len(target):
            got = os.preadv(opened.file, [target[done:]], offset + done)
            if not got:
                break
            done += got
        return done

    def path_of(self, number: int) -> Path:
        return self.folder / DATA / f"{number:x}"

    def children(self, path: bytes) -> Iterator[tuple[bytes, Node]]:
        return self.names.children(path)

    def room(self) -> os.statvfs_result:
        return os.statvfs(self.folder)

    # Changing

    def create(self, path: bytes, mode: int) -> None:
        with self._changing(), self.lock:
            number = self.names.new_number()
            opened = _Open(self.path_of(number), os.O_CREAT | os.O_EXCL)
            self._new(path, Put(path, FILE, mode & 0o7777, _now(), Names.new_inode(number), number))
            self._keep_open(number, opened)

    def mkdir(self, path: bytes, mode: int) -> None:
        with self._changing(), self.lock:
            inode = Names.new_inode(self.names.new_number())
            self._new(path, Put(path, FOLDER, mode & 0o7777, _now(), inode))

    def symlink(self, path: bytes, target: bytes) -> None:
        with self._changing(), self.lock:
            inode = Names.new_inode(self.names.new_number())
            self._new(path, Put(path, SYMLINK, 0o777, _now(), inode, size=len(target), target=target))

    def unlink(self, path: bytes) -> None:
        with self._changing(), self.lock:
            if node := self._gone.pop(path, None):
                self._forget(node)
                return
            node = self.find(path)
            if node.kind == FOLDER:
                raise IsADirectoryError(errno.EISDIR, "")
            self._do(Gone(path, _now()))
            self._forget(node)

    def rmdir(self, path: bytes) -> None:
        with self._changing(), self.lock:
            if self.find(path).kind != FOLDER:
                raise NotADirectoryError(errno.ENOTDIR, "")
            if not self.names.is_empty(path):
                raise OSError(errno.ENOTEMPTY, "")
            self._do(Gone(path, _now()))

    def rename(self, old: bytes, new: bytes, flags: int) -> None:
        if flags & ~(NOREPLACE | EXCHANGE):
            raise OSError(errno.EINVAL, "")
        with self._changing(), self.lock:
            node = self.find(old)
            if _HIDDEN.fullmatch(new):
                self._do(Gone(old, _now()))
                self._gone[new] = node
                return
            there = self._replaced(node, old, new, flags)
            if old == new:
                return
            swap = bool(flags & EXCHANGE)
            self._do(Move(old, new, swap, _now()))
            self._gone = {_moved(path, old, new, swap=swap): gone for path, gone in self._gone.items()}
            if swap:
                return
            if there and there is not node:
                self._forget(there)

    def chmod(self, path: bytes, mode: int) -> None:
        self._attributes(path, mode=mode & 0o7777)

    def utime(self, path: bytes, mtime: int) -> None:
        self._attributes(path, mtime=mtime)

    def truncate(self, path: bytes, size: int) -> None:
        with self._changing():
            node = self._ready(path, size)
            os.truncate(self.path_of(node.number), size)
            with self.lock:
                node.size, node.mtime = size, _now()

    def write(self, path: bytes, offset: int, data: memoryview) -> None:
        with self._changing():
            node = self._ready(path, None)
            opened, done = self._opened(node.number), 0
            try:
                while done < len(data):
                    done += os.pwrite(opened.file, data[done:], offset + done)
            finally:
                with self.lock:
                    node.size, node.mtime = max(node.size, offset + done if done else 0), _now()

    def sync(self, path: bytes) -> None:
        """What was written to the file, and every change of names so far, is durable."""
        number = self.find(path).number
        if number and (opened := self._still(number)):
            os.fsync(opened.file)
            folder = os.open(self.folder / DATA, os.O_RDONLY | os.O_DIRECTORY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
        self.journal.sync()

    # Committing

    def hold(self) -> None:
        """Until `let_go`, what would change anything waits."""
        with self._gate:
            self._gate.wait_for(lambda: not self._held)
            self._held = True
            self._gate.wait_for(lambda: not self._busy)

    def let_go(self) -> None:
        with self._gate:
            self._held = False
            self._gate.notify_all()

    def go_on(self, beneath: Beneath) -> None:
        """What was committed is the version's from here on; what was not stays. While held."""
        with self.lock:
            names = self.names.committed(beneath)
            start = Start(beneath.commit_id, self.start.time_ns)
            self.journal.replace([start, *names.as_ops()])
            self.names, self.start = names, start
            self._tidy()

    def clear(self) -> None:
        """For who found that nothing differs: the next mount starts afresh."""
        (self.folder / JOURNAL).unlink(missing_ok=True)

    def close(self) -> None:
        self.journal.close()
        self._open.clear()

    # Ways

    @contextmanager
    def _changing(self) -> Iterator[None]:
        with self._gate:
            self._gate.wait_for(lambda: not self._held)
            self._busy += 1
        try:
            yield
        finally:
            with self._gate:
                self._busy -= 1
                if self._held:
                    self._gate.notify_all()

    def _do(self, op: Op) -> None:
        self.journal.append(op)
        self.names.apply(op)
        if self.journal.size > self._longest:
            with suppress(OSError):  # the long one is as good
                self.journal.replace([self.start, *self.names.as_ops()])
            self._longest = max(_LONG, 4 * self.journal.size)

    def _new(self, path: bytes, op: Put) -> None:
        try:
            if not may_be_named(path.rpartition(b"/")[2]):
                raise PermissionError(errno.EPERM, "")
            if self.names.find(path) is not None:
                raise FileExistsError(errno.EEXIST, "")
            self._do(op)
        except OSError:
            if op.number:
                self.path_of(op.number).unlink(missing_ok=True)
            raise

    def _replaced(self, node: Node, old: bytes, new: bytes, flags: int) -> Node | None:
        """What a rename takes away, or changes places with."""
        if not may_be_named(new.rpartition(b"/")[2]):
            raise PermissionError(errno.EPERM, "")
        there = self.names.find(new)
        if flags & EXCHANGE:
            if there is None:
                raise FileNotFoundError(errno.ENOENT, "")
            return there
        if there is None:
            return None
        if flags & NOREPLACE:
            raise FileExistsError(errno.EEXIST, "")
        if there.kind == FOLDER and node.kind != FOLDER:
            raise IsADirectoryError(errno.EISDIR, "")
        if there.kind != FOLDER and node.kind == FOLDER:
            raise NotADirectoryError(errno.ENOTDIR, "")
        if there.kind == FOLDER and old != new and not self.names.is_empty(new):
            raise OSError(errno.ENOTEMPTY, "")
        return there

    def _attributes(self, path: bytes, *, mode: int = -1, mtime: int = -1) -> None:
        with self._changing(), self.lock:
            node = self.find(path)
            mode, mtime = node.mode if mode < 0 else mode, node.mtime if mtime < 0 else mtime
            if path in self._gone:
                node.mode, node.mtime = mode, mtime
                return
            differs = node.kind == FILE and bool((node.mode ^ mode) & stat.S_IXUSR)
            self._do(Attributes(path, mode, mtime, differs=differs))
            if node.number:
                os.utime(self.path_of(node.number), ns=(mtime, mtime))

    def _ready(self, path: bytes, size: int | None) -> Node:
        """The file's node with its content in the layer, of which only the first `size` bytes are wanted."""
        node = self.find(path)
        if node.kind != FILE:
            raise IsADirectoryError(errno.EISDIR, "")
        if node.number:
            return node
        with self._copying:
            node = self.find(path)
            if node.number:
                return node
            with self.lock:
                number = self.names.new_number()
            wanted = node.size if size is None else min(size, node.size)
            place = self.path_of(number)
            try:
                self._copy(node.id, wanted, place)
                with self.lock:
                    if path in self._gone:
                        node.number = number
                        return node
                    self._do(Content(path, number))
                    return self.names.kept(path)
            except OSError:
                place.unlink(missing_ok=True)
                raise

    def _copy(self, identifier: bytes, size: int, place: Path) -> None:
        with open(place, "xb", buffering=0) as file:
            left = size
            for piece in self.names.beneath.pieces(identifier) if size else ():
                view = memoryview(piece)[:left]
                left -= len(view)
                while len(view):
                    view = view[file.write(view) :]
                if not left:
                    break

    def _still(self, number: int) -> _Open | None:
        """None: it was committed just now, so that its content is the hub's."""
        try:
            return self._opened(number)
        except FileNotFoundError:
            return None

    def _opened(self, number: int) -> _Open:
        with self.lock:
            found = self._open.get(number) or _Open(self.path_of(number))
            self._keep_open(number, found)
            return found

    def _keep_open(self, number: int, opened: _Open) -> None:
        self._open[number] = opened
        self._open.move_to_end(number)
        if len(self._open) > _OPEN:
            self._open.popitem(last=False)

    def _forget(self, node: Node) -> None:
        if node.number:
            self._open.pop(node.number, None)
            self.path_of(node.number).unlink(missing_ok=True)

    def _tidy(self) -> None:
        """Sizes and times as they are in the files; files that no name has any more go."""
        used = {node.number for node in self._gone.values()}
        for _, node in self.names.walk():
            if node and node.number:
                state = os.stat(self.path_of(node.number))
                node.size, node.mtime = state.st_size, state.st_mtime_ns
                used.add(node.number)
        for path in (self.folder / DATA).iterdir():
            if int(path.name, 16) not in used:
                self._open.pop(int(path.name, 16), None)
                path.unlink()


def _moved(path: bytes, old: bytes, new: bytes, *, swap: bool) -> bytes:
    """Where this path is after what was `old` became `new`."""
    if path.startswith(old + b"/"):
        return new + path[len(old) :]
    return old + path[len(new) :] if swap and path.startswith(new + b"/") else path


def _now() -> int:
    return time.time_ns()
