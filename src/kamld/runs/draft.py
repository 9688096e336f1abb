"""A run's folder beside the hub: what is known of the run until it is sealed, safe from a crash.

`lock` is held by the process that runs it, and dies with that process. `end` is a file of full
length from the start, so that how a run ended can be kept on a disk that is full.
"""

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeVar

import msgspec

from kamld.errors import KamldError, SystemFault, filesystem_fault
from kamld.records.encoding import decode, encode
from kamld.records.run import Code, RunState
from kamld.runs.plan import Plan
from kamld.store.gc import Root

RUNS = "runs"  # in the state folder: a folder a run
JOB = "job"  # in a run's folder: the executor's
_NEW, _GONE = ".new-", ".gone-"  # before the name of a folder that is being made, or removed
_END_BYTES = 4096
_ERROR_MAX = 800  # characters, so that an end always fits its file
Record = TypeVar("Record", bound=msgspec.Struct)


class Draft(msgspec.Struct, frozen=True, kw_only=True):
    plan: Plan
    started: str


class Captured(msgspec.Struct, frozen=True, kw_only=True):
    code: Code | None = None
    notes: tuple[str, ...] = ()


class End(msgspec.Struct, frozen=True, kw_only=True):
    """How the command ended. `code` and `error` say why it counts as failed."""

    ended: str
    state: RunState
    exit_status: int | None = None
    code: str = ""
    error: str = ""


class RunFolder:
    """Held by one process at a time."""

    def __init__(self, path: Path, lock: int) -> None:
        self.path = path
        self._lock = lock

    def write_draft(self, draft: Draft) -> None:
        self._write("draft.json", encode(draft))
        write_in_place(self.path / "end.json", b"", _END_BYTES)

    def draft(self) -> Draft | None:
        return self._read("draft.json", Draft)

    def write_captured(self, captured: Captured) -> None:
        self._write("captured.json", encode(captured))

    def captured(self) -> Captured:
        return self._read("captured.json", Captured) or Captured()

    def write_end(self, end: End) -> None:
        data = encode(msgspec.structs.replace(end, error=end.error[:_ERROR_MAX]))
        write_in_place(self.path / "end.json", data, _END_BYTES)

    def end(self) -> End | None:
        """None: nobody saw the command end."""
        return self._read("end.json", End)

    def write_number(self, number: int) -> None:
        """The number that the run has claimed, so that a second try to seal it takes the same."""
        with suppress(SystemFault):  # a number that is lost is only a gap
            self._write("number", str(number).encode())

    def number(self) -> int | None:
        with suppress(OSError, ValueError):
            return int((self.path / "number").read_bytes())
        return None

    def remove(self) -> None:
        gone = self.path.with_name(_GONE + self.path.name)  # at once, so that nobody finds a half
        with suppress(OSError):
            self.path.rename(gone)
        shutil.rmtree(gone, ignore_errors=True)
        self.close()

    def close(self) -> None:
        """Let go of it; what is in it stays for the next one."""
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    def _write(self, name: str, data: bytes) -> None:
        temporary = self.path / f"{name}.new"
        try:
            with open(temporary, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, self.path / name)
        except OSError as error:
            raise filesystem_fault(error, str(self.path)) from None

    def _read(self, name: str, kind: type[Record]) -> Record | None:
        try:
            data = (self.path / name).read_bytes()
        except OSError:
            return None
        try:
            return decode(data, kind, str(self.path / name)) if data.strip() else None
        except KamldError:
            return None  # half of it was written when the machine stopped


def write_in_place(path: Path, data: bytes, length: int) -> None:
    """Fill a file of this length, which a disk that is full allows if it was written so before."""
    try:
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o666)
        try:
            os.pwrite(file, data.ljust(length), 0)
            os.fsync(file)
        finally:
            os.close(file)
    except OSError as error:
        raise filesystem_fault(error, str(path.parent)) from None


def new_folder(state: Path, run_id: str) -> RunFolder:
    """Raises SystemFault."""
    path, new = state / RUNS / run_id, state / RUNS / f"{_NEW}{run_id}"
    try:
        new.mkdir(parents=True)
        (new / "lock").touch()
        lock = _locked(new)
        new.rename(path)  # whoever finds it finds it held
        return RunFolder(path, lock)
    except OSError as error:
        raise filesystem_fault(error, str(state)) from None


def abandoned(state: Path) -> Iterator[RunFolder]:
    """Folders of runs that no process holds, each held by us when it is given."""
    try:
        paths = sorted((state / RUNS).iterdir())
    except FileNotFoundError:
        return
    for path in paths:
        if path.name.startswith(_GONE):
            shutil.rmtree(path, ignore_errors=True)
        if path.name.startswith("."):
            continue
        try:
            lock = _locked(path)
        except OSError:
            continue  # it runs, or it was removed meanwhile
        if path.exists():
            yield RunFolder(path, lock)
        else:
            os.close(lock)


def kept_for(state: Path) -> Iterator[Root]:
    """What the hub must keep for runs of this place that are not sealed yet, also those whose process is
    gone: they are closed at the next start."""
    for path in sorted((state / RUNS).glob("[!.]*")):
        folder = RunFolder(path, -1)
        draft, code = folder.draft(), folder.captured().code
        about = "a run that has not been closed yet"
        for one in draft.plan.inputs if draft else ():
            yield Root("commit", bytes.fromhex(one.commit), about, sure=False)
        if code:
            yield Root("tree", bytes.fromhex(code.tree), about, sure=False)
        if code and code.git_diff:
            yield Root("object", bytes.fromhex(code.git_diff), about, sure=False)


def is_running(folder: Path) -> bool:
    """Whether a process of this machine still holds the run of this folder."""
    try:
        os.close(_locked(folder))
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def process_started(pid: int) -> str:
    """What tells a process from a later one with the same id; "" if there is none.

    Clock ticks since the machine started, and which start of the machine that was.
    """
    try:
        fields = Path(f"/proc/{pid}/stat").read_text("utf-8", "replace").rpartition(")")[2].split()
        boot = Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()
    except OSError:
        return ""
    return f"{boot} {fields[19]}"


@contextmanager
def turn(state: Path) -> Iterator[None]:
    """Runs of one machine land their outputs one after the other."""
    try:
        state.mkdir(parents=True, exist_ok=True)
        lock = os.open(state / "landing.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    except OSError as error:
        raise filesystem_fault(error, str(state)) from None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)


def _locked(path: Path) -> int:
    """Raises BlockingIOError if somebody holds it, FileNotFoundError."""
    lock = os.open(path / "lock", os.O_RDWR | os.O_CLOEXEC)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BaseException:
        os.close(lock)
        raise
    return lock
