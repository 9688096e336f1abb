"""What is known of the mounts of a hub on this machine, for commands to find them.

    FOLDER/<key>/mount.json     this record; `<key>` comes from what is mounted where
    FOLDER/<key>/lock           held by the process that serves it; the system drops it with its holder
    FOLDER/<key>/control        the socket at which it answers
    FOLDER/<key>/log            what it had to say
    FOLDER/<key>/layer/         what was written, and `.kamld`: what the mount is bound to

FOLDER is `local/mounts` in the hub's.
"""

import fcntl
import os
import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path

import msgspec

from kamld import ids
from kamld.errors import Conflict, KamldError, SystemFault, filesystem_fault
from kamld.mount.journal import base_of_changes, paths_of_files
from kamld.mount.layer import JOURNAL
from kamld.records.encoding import encode
from kamld.records.history import Kind
from kamld.records.kinds import FILE
from kamld.store.gc import Root
from kamld.workspace.binding import Binding, read_binding
from kamld.workspace.mounted import DATA, LAYER, RECORD
from kamld.workspace.status import hash_file

TYPE = "fuse.kamld"
_OCTAL = re.compile(r"\\([0-7]{3})")


class MountRecord(msgspec.Struct, frozen=True, kw_only=True):
    """`commit` is what was mounted; a mount that is written to may have gone on from it."""

    folder: str
    project: str
    name: str
    revision: str
    commit: str
    writable: bool
    made: bool  # the folder was made for the mount, and goes with it
    pid: int = 0  # of who serves it; 0: it is about to be
    since: str = ""
    kind: Kind | None = None  # None: mounted by a kamld that did not note it


@dataclass(frozen=True, slots=True)
class Mount:
    """`state`: mounted; broken, where the process that served it is gone; kept, where only what was
    written to it is left. `bound`: what a folder that is written to has come to since it was mounted."""

    place: Path
    record: MountRecord
    state: str
    has_changes: bool
    bound: Binding | None = None

    @property
    def commit(self) -> str:
        """The version that its files come from now."""
        return self.bound.commit if self.bound else self.record.commit

    @property
    def revision(self) -> str:
        """What it was mounted as; the branch that it is on now, where that is another."""
        return self.bound.branch or self.record.revision if self.bound else self.record.revision


def place_of(mounts: Path, folder: Path, dataset: str) -> Path:
    return mounts / blake2b(os.fsencode(folder) + b"\0" + dataset.encode(), digest_size=8).hexdigest()


def all_mounts(mounts: Path) -> list[Mount]:
    """Of a hub on this machine. Records of what is neither mounted nor has changes are removed."""
    found, there = [], mounted_folders()
    for place in sorted(mounts.iterdir()) if mounts.is_dir() else ():
        record = read_record(place)
        if record is None:
            continue
        served, changes = is_served(place), has_changes(place)
        is_there = there.get(record.folder) == source_of(place)
        if served or is_there or changes:
            state = "mounted" if served and record.pid else "broken" if is_there else "kept"
            found.append(Mount(place, record, state, changes, _bound(place) if record.writable else None))
        else:
            forget(place)
    return found


def _bound(place: Path) -> Binding | None:
    """None where that is damaged: a list shows what was mounted, then."""
    with suppress(KamldError):
        return read_binding(place / LAYER)
    return None


def read_record(place: Path) -> MountRecord | None:
    try:
        return msgspec.json.decode((place / RECORD).read_bytes(), type=MountRecord)
    except (FileNotFoundError, NotADirectoryError, msgspec.MsgspecError):
        return None
    except OSError as error:
        raise filesystem_fault(error, str(place)) from None


def write_record(place: Path, record: MountRecord) -> None:
    """Atomic. Raises OSError."""
    temporary = place / f"{RECORD}.{ids.new_id()}"
    temporary.write_bytes(encode(record))
    temporary.replace(place / RECORD)


def has_changes(place: Path) -> bool:
    """Whether something was written that may not be committed. Raises SystemFault."""
    return _base_of_changes(place) is not None


def kept_for_layers(mounts: Path) -> Iterator[Root]:
    """What the hub must keep so that what was written and not committed has something to be over."""
    for place in sorted(mounts.iterdir()) if mounts.is_dir() else ():
        record, base = read_record(place), _base_of_changes(place)
        if record and base:
            about = f"what was written to the mount at {record.folder} and is not committed"
            yield Root("commit", bytes.fromhex(base), about, sure=False)


@dataclass(frozen=True, slots=True)
class Written:
    """A file that was written to a mount. `path`: where it is, or would be, in the mount's folder; where it
    has no name any more, the layer's own file."""

    mount: Mount
    path: Path


def written_with(mounts: Path, contents: Mapping[bytes, int]) -> Iterator[Written]:
    """Files of all layers that have any of these contents (ids and sizes). Raises SystemFault."""
    sizes = set(contents.values())
    for mount in all_mounts(mounts):
        layer = mount.place / LAYER
        found = [one for one in _files(layer) if _size(one) in sizes and _id(one) in contents]
        try:
            paths = paths_of_files(layer / JOURNAL) if found else {}
        except OSError as error:
            raise filesystem_fault(error, str(layer)) from None
        for one in found:
            path = paths.get(int(one.name, 16))
            yield Written(mount, Path(mount.record.folder, os.fsdecode(path)) if path else one)


def _files(layer: Path) -> list[Path]:
    return sorted((layer / DATA).iterdir()) if (layer / DATA).is_dir() else []


def _size(file: Path) -> int:
    try:
        return file.stat().st_size
    except FileNotFoundError:  # removed just now
        return -1


def _id(file: Path) -> bytes:
    try:
        return hash_file(file, FILE)
    except SystemFault:
        if file.exists():
            raise
        return b""  # as above


def _base_of_changes(place: Path) -> str | None:
    try:
        return base_of_changes(place / LAYER / JOURNAL)
    except OSError as error:
        raise filesystem_fault(error, str(place)) from None


@contextmanager
def served(place: Path) -> Iterator[None]:
    """We are the one who serves this mount. Raises Conflict (already_mounted), SystemFault."""
    try:
        place.mkdir(parents=True, exist_ok=True, mode=0o700)
        lock = os.open(place / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise filesystem_fault(error, str(place)) from None
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Conflict("already_mounted", "It is mounted already.", "kamld mount lists mounts.") from None
        yield
    finally:
        os.close(lock)


def is_served(place: Path) -> bool:
    try:
        lock = os.open(place / "lock", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(lock)
    return False


def forget(place: Path) -> None:
    shutil.rmtree(place, ignore_errors=True)


def source_of(place: Path) -> str:
    """What the table of mounts calls it."""
    return f"kamld-{place.name}"


def mounted_folders() -> dict[str, str]:
    """The folders at which the system has a mount of ours, whoever serves it, and what it calls each."""
    found = {}
    with suppress(FileNotFoundError), open("/proc/self/mountinfo", "rb") as table:
        for line in map(os.fsdecode, table):
            before, _, after = line.partition(" - ")
            kind, source = after.split(" ")[:2]
            if kind == TYPE:
                folder = _OCTAL.sub(lambda match: chr(int(match[1], 8)), before.split(" ")[4])
                found[folder] = source
    return found
