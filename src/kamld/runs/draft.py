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

from kamld.blobs import filesystem_fault
from kamld.errors import KamldError, SystemFault
from kamld.records.encoding import decode, encode
from kamld.records.run import Code, RunState
from kamld.runs.plan import Plan

RUNS = "runs"  # in the state folder: a folder a run
JOB = "job"  # in a run's folder: the executor's
_END_BYTES = 4096
_ERROR_MAX = 1500  # characters, so that an end always fits its file
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
        self._write("end.json", b" " * _END_BYTES)

    def draft(self) -> Draft | None:
        return self._read("draft.json", Draft)

    def write_captured(self, captured: Captured) -> None:
        self._write("captured.json", encode(captured))

    def captured(self) -> Captured:
        return self._read("captured.json", Captured) or Captured()

    def write_end(self, end: End) -> None:
        data = encode(msgspec.structs.replace(end, error=end.error[:_ERROR_MAX]))
        try:
            file = os.open(self.path / "end.json", os.O_WRONLY)
            try:
                os.pwrite(file, data.ljust(_END_BYTES), 0)
                os.fsync(file)
            finally:
                os.close(file)
        except OSError as error:
            raise filesystem_fault(error, str(self.path)) from None

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
        shutil.rmtree(self.path, ignore_errors=True)
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


def new_folder(state: Path, run_id: str) -> RunFolder:
    """Raises SystemFault."""
    path = state / RUNS / run_id
    try:
        path.mkdir(parents=True)
        return RunFolder(path, _locked(path, wait=True))
    except OSError as error:
        raise filesystem_fault(error, str(state)) from None


def abandoned(state: Path) -> Iterator[RunFolder]:
    """Folders of runs that no process holds, each held by us when it is given."""
    try:
        paths = sorted((state / RUNS).iterdir())
    except FileNotFoundError:
        return
    for path in paths:
        try:
            lock = _locked(path, wait=False)
        except OSError:
            continue  # it runs, or it was removed meanwhile
        if (path / "lock").exists():
            yield RunFolder(path, lock)
        else:
            os.close(lock)


def is_running(folder: Path) -> bool:
    """Whether a process of this machine still holds the run of this folder."""
    try:
        os.close(_locked(folder, wait=False))
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


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


def _locked(path: Path, *, wait: bool) -> int:
    lock = os.open(path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except BaseException:
        os.close(lock)
        raise
    return lock
