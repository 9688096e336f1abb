"""The process that serves one mount, from the moment it has its lock until it is unmounted."""

import logging
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from threading import Lock

import msgspec

from kamld import clock
from kamld.errors import KamldError, SystemFault, filesystem_fault
from kamld.mount.beneath import Beneath
from kamld.mount.changes import UNKNOWN, changed, everything_changed, told_by_content
from kamld.mount.control import Control
from kamld.mount.forgetting import Forgetting
from kamld.mount.kernel import Kernel
from kamld.mount.layer import Layer
from kamld.mount.names import Names, Node
from kamld.mount.records import MountRecord, has_changes, served, source_of, write_record
from kamld.records.kinds import FILE
from kamld.scan.ignore import FILE as IGNORE_FILE
from kamld.scan.ignore import Ignores, parse_ignores
from kamld.scan.marks import OWN
from kamld.store import Repository
from kamld.store.leases import READING, Held
from kamld.workspace.binding import Binding, write_binding
from kamld.workspace.mounted import LAYER, Changed
from kamld.workspace.settle import settle
from kamld.workspace.status import hash_file

_SWITCH_S = 0.0005  # between threads: each answer takes less, and the kernel waits for it
log = logging.getLogger("kamld.mount")


def serve(
    repository: Repository, place: Path, record: MountRecord, binding: Binding, ready: Callable[[], None]
) -> None:
    """Mount, and return when it is unmounted. `binding` is what is mounted; but a layer with changes stays
    on what they were made to. Raises Conflict (already_mounted), SystemFault."""
    sys.setswitchinterval(_SWITCH_S)
    began: list[MountRecord] = []
    with served(place), ExitStack() as stack:
        folder = place / LAYER
        try:
            folder.mkdir(exist_ok=True)
            bound = binding
            if not (record.writable and has_changes(place)):
                write_binding(folder, binding)
            else:
                bound = settle(folder, lambda *_: repository) or binding
                here = msgspec.structs.replace(bound, hub=binding.hub, hub_id=binding.hub_id)
                if bound != here:  # the hub was moved, and the layer with it, which is a part of it
                    write_binding(folder, here)
            pin = _Pin(repository, bound.commit)
            stack.callback(pin.end)
            work = _Work(repository, folder, bound.commit, pin) if record.writable else None
            if work:
                stack.callback(work.end)
            shown = work or _Fixed(Beneath(repository, bound.commit))
            view = shown.layer if isinstance(shown, _Work) else shown
            forgetting = Forgetting(repository, shown.beneath, shown.elsewhere)
            stack.callback(forgetting.close)
            control = Control(place, work)
            stack.callback(control.close)
            now = msgspec.structs.replace(record, pid=os.getpid(), since=clock.now(), commit=bound.commit)

            def mounted(kernel: Kernel) -> None:
                forgetting.begin(kernel.drop)
                began.append(now)
                write_record(place, now)
                ready()

            changes = work.layer if work else None
            Kernel(view, changes, record.folder, source_of(place), folder / OWN, mounted)
        except RuntimeError:  # also where it was a signal that ended it
            if began:
                return
            said = f"The system refused to mount at {record.folder}."
            raise SystemFault("mount_failed", said, "The lines above say why.") from None
        except OSError as error:
            raise filesystem_fault(error, str(place)) from None


class _Pin:
    """The version that is shown stays, whatever becomes of its branch."""

    def __init__(self, repository: Repository, commit_id: str) -> None:
        self._repository = repository
        self._held: Held | None = None
        self.move(commit_id)

    def move(self, commit_id: str) -> None:
        before, self._held = self._held, self._repository.leases.begin(READING, (commit_id,))
        if before:
            self._repository.leases.end(before)

    def end(self) -> None:
        if self._held:
            self._repository.leases.end(self._held)


class _Work:
    """A layer, and the hub that it is committed to."""

    def __init__(self, repository: Repository, folder: Path, commit_id: str, pin: _Pin) -> None:
        self._repository = repository
        self._pin = pin
        self._hashes: dict[int, tuple[int, int, bytes]] = {}
        self._hashing = Lock()
        self.layer = Layer(folder, lambda commit: Beneath(repository, commit), commit_id)
        self._catch_up()

    def differences(self, *, by_content: bool) -> tuple[list[Changed], str]:
        layer = self.layer
        with layer.lock:
            changes, base = changed(layer.names, self._ignores()), layer.start.commit
        return (told_by_content(changes, self._id_of) if by_content else changes), base

    def beneath(self) -> Beneath:
        return self.layer.names.beneath

    def elsewhere(self, identifiers: frozenset[bytes]) -> list[bytes]:
        with self.layer.lock:
            changes = everything_changed(self.layer.names)
        return [one.path for one in changes if one.new and one.new.id in identifiers]

    def hold(self) -> None:
        self.layer.hold()

    def go_on(self) -> None:
        try:
            self._catch_up()
        finally:
            self.layer.let_go()

    def end(self) -> None:
        """Where nothing differs from the version, the layer goes."""
        try:
            if not told_by_content(everything_changed(self.layer.names), self._id_of):
                self.layer.clear()
        except (KamldError, OSError) as error:  # the hub may be gone; the layer stays
            log.warning("%s", error)
        self.layer.close()

    def _catch_up(self) -> None:
        """Where the folder is bound to another commit than the layer is over, it has all of the layer."""
        bound = settle(self.layer.folder, lambda *_: self._repository)
        if bound and bound.commit != self.layer.start.commit:
            self._pin.move(bound.commit)
            self.layer.go_on(Beneath(self._repository, bound.commit))

    def _ignores(self) -> Ignores | None:
        path = IGNORE_FILE.encode()
        node = self.layer.names.find(path)
        if node is None or node.kind != FILE:
            return None
        data = bytearray(node.size)
        self.layer.read_into(path, 0, memoryview(data))
        return parse_ignores(data.decode("utf-8", "surrogateescape"), IGNORE_FILE)

    def _id_of(self, number: int) -> bytes:
        path = self.layer.path_of(number)
        try:
            state = os.stat(path)
        except FileNotFoundError:
            return UNKNOWN  # removed just now
        with self._hashing:
            known = self._hashes.get(number)
            if known is None or known[:2] != (state.st_size, state.st_mtime_ns):
                known = self._hashes[number] = state.st_size, state.st_mtime_ns, hash_file(path, FILE)
            return known[2]


class _Fixed:
    """A version that nobody writes to."""

    def __init__(self, beneath: Beneath) -> None:
        self._beneath = beneath
        self._names = Names(beneath, beneath.time_ns, writable=False)

    def find(self, path: bytes) -> Node:
        node = self._names.find(path)
        if node is None:
            raise FileNotFoundError(2, "")
        return node

    def beneath(self) -> Beneath:
        return self._beneath

    def elsewhere(self, _: frozenset[bytes]) -> tuple[()]:
        return ()

    def children(self, path: bytes) -> Iterator[tuple[bytes, Node]]:
        return self._names.children(path)

    def link(self, path: bytes) -> bytes:
        return self._beneath.whole(self.find(path).id)

    def read_into(self, path: bytes, offset: int, target: memoryview) -> int:
        node = self.find(path)
        return self._beneath.read_into(path, node.id, node.size, offset, target)

    def room(self) -> os.statvfs_result:
        tree, block = self._beneath.tree, 4096
        blocks = -(-tree.size // block)
        return os.statvfs_result((block, block, blocks, 0, 0, tree.count, 0, 0, os.ST_RDONLY, 255))
