"""Changing a folder so that a kill at any instant leaves it what it was, or what it was to become.

All new files are first written to `.kamld/switch/files`. Then `.kamld/switch/steps.json` says what is to
be done: from that moment the change is finished, by us or by whoever uses the folder next; before it, it
never happened. A step is done only while what is there is what was seen when it was planned: what a
person has put there meanwhile stays, and is a change of theirs to the new version.

Who works on a folder holds the operating system's lock on its `.kamld`, which dies with its holder.
"""

import fcntl
import os
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from shlex import quote

import msgspec

from kamld import ids
from kamld.errors import Conflict, SystemFault, filesystem_fault
from kamld.records.encoding import decode, encode
from kamld.records.kinds import EXECUTABLE, FOLDER, SYMLINK
from kamld.scan.marks import OWN
from kamld.store import Objects, Progress
from kamld.store.trees.entries import Entry
from kamld.workspace.binding import Binding, write_binding, write_own
from kamld.workspace.mounted import mount_of
from kamld.workspace.placing.handles import write_file
from kamld.workspace.switching.hands import Hands, Step
from kamld.workspace.switching.plan import Plan, State

PLACE, FILES, _STEPS = "switch", "switch/files", "switch/steps.json"


class Journal(msgspec.Struct, frozen=True):
    steps: tuple[Step, ...]
    binding: Binding


@contextmanager
def held(folder: Path, *, shared: bool = False) -> Iterator[None]:
    """Nobody else changes the folder; with `shared`, others may hold it so too.

    Raises Conflict (folder_busy; and, where others may not hold it too, is_a_mount).
    """
    if not shared and mount_of(folder):
        raise Conflict(
            "is_a_mount", f"{folder} is a mount; its files are not put in place by this.",
            f"Change files in it and commit, or mount another version: kamld umount {quote(str(folder))},"
            " kamld mount …",
        )  # fmt: skip
    try:
        lock = os.open(folder / OWN, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        yield  # nothing is bound here yet
        return
    except OSError as error:
        raise filesystem_fault(error, str(folder)) from None
    try:
        try:
            fcntl.flock(lock, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Conflict(
                "folder_busy", f"Another command works on {folder}.", "Try again when it has ended."
            ) from None
        yield
    finally:
        os.close(lock)


def carry_out(
    objects: Objects, folder: Path, made: Plan, binding: Binding, *, progress: Progress | None = None
) -> tuple[dict[bytes, Step], set[bytes]]:
    """Do what the plan says; the caller holds the folder. (What was written, what a person changed
    meanwhile, which was left.) Raises SystemFault, with the folder as it was."""
    try:
        _forget(folder)
        (folder / OWN / FILES).mkdir(parents=True)
        steps = _staged(objects, folder, made, progress)
        journal = Journal(tuple(steps), binding)
        write_own(folder, _STEPS, encode(journal))
    except BaseException as error:
        _forget(folder)
        if isinstance(error, OSError):
            raise filesystem_fault(error, str(folder)) from None
        raise
    kept = _finish(folder, journal)
    return {step.path: step for step in steps if step.kind >= 0}, kept


def recover(folder: Path) -> None:
    """Finish or forget what a killed command left here. Raises Conflict (folder_busy), SystemFault
    (damaged_switch: that was told now, and the next command goes on)."""
    if not (folder / OWN / PLACE).exists():
        return
    with held(folder):
        try:
            data = (folder / OWN / _STEPS).read_bytes()
        except FileNotFoundError:
            _forget(folder)
            return
        except OSError as error:
            raise filesystem_fault(error, str(folder)) from None
        try:
            journal = decode(data, Journal, str(folder / OWN / _STEPS))
        except SystemFault as fault:
            if fault.code != "damaged_record":
                raise
            raise _without_it(folder) from None
        _finish(folder, journal)


def _without_it(folder: Path) -> SystemFault:
    """Put aside what can be neither finished nor undone; what is to be said of it."""
    aside = folder / OWN / f"damaged-{PLACE}-{ids.new_id()}"
    try:
        (folder / OWN / PLACE).replace(aside)
    except OSError as error:
        return filesystem_fault(error, str(folder))
    return SystemFault(
        "damaged_switch",
        f"{folder / OWN / _STEPS} was damaged, which said how an interrupted command was to go on. Some files"
        f" in {folder} may be of another version than the rest; what was to be put there is in {aside}.",
        f"kamld status {quote(str(folder))} shows what differs from the version that it is bound to;"
        " kamld restore brings single files back.",
    )


def _staged(objects: Objects, folder: Path, made: Plan, progress: Progress | None) -> list[Step]:
    steps = [Step(path, old, -1, 0, 0, 0, 0) for path, old in made.remove]
    files: list[tuple[Entry, State | None]] = []
    for entry, old in made.write:
        if entry.kind == FOLDER:
            steps.append(Step(entry.path, old, FOLDER, 0, 0, 0, 0))
        else:
            files.append((entry, old))
    gone = objects.purged(entry.id for entry, _ in files)  # what was purged is not there either
    steps += [Step(entry.path, old, -1, 0, 0, 0, 0) for entry, old in files if entry.id in gone and old]
    files = [file for file in files if file[0].id not in gone] if gone else files
    home = os.fsencode(folder / OWN / FILES) + b"/"
    for at, pieces in objects.read_many([entry.id for entry, _ in files]):
        entry, old = files[at]
        target = home + b"%d" % at
        if entry.kind == SYMLINK:
            os.symlink(b"".join(pieces), target)
        else:
            write_file(target, pieces, _bits(os.fsencode(folder) + b"/" + entry.path, old, entry.kind))
        state = os.lstat(target)
        steps.append(Step(entry.path, old, entry.kind, at, state.st_size, state.st_mtime_ns, state.st_ino))
        if progress:
            progress(1, entry.size)
    return steps


def _bits(path: bytes, old: State | None, kind: int) -> int:
    """What may be done with a file: what might be with the one that it replaces, whether private or
    read-only."""
    bits = 0o666
    with suppress(OSError):
        mode = os.lstat(path).st_mode if old else 0
        bits = stat.S_IMODE(mode) & 0o666 if stat.S_ISREG(mode) else bits
    return bits | (bits & 0o444) >> 2 if kind == EXECUTABLE else bits


def _finish(folder: Path, journal: Journal) -> set[bytes]:
    try:
        kept = Hands(os.fsencode(folder), os.fsencode(f"{OWN}/{FILES}")).do(journal.steps)
        write_binding(folder, journal.binding)
        _forget(folder)
    except OSError as error:
        raise filesystem_fault(error, str(folder)) from None
    return kept


def _forget(folder: Path) -> None:
    """The journal first: what is left then is of something that never began, or is finished."""
    (folder / OWN / _STEPS).unlink(missing_ok=True)
    shutil.rmtree(folder / OWN / PLACE, ignore_errors=True)
