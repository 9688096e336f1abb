"""What a hub's serving process says of itself, in its serving folder, for commands to find it.

`serving.json` is readable by its owner alone because it holds the token of the control paths.
Whether the process lives is told by the lock, which the operating system drops with its holders:
the supervisor and its server.
"""

import fcntl
import os
from pathlib import Path
from typing import Literal

import msgspec

from kamld.errors import SystemFault
from kamld.serving.interface import Trouble

LOG = "serving.log"
RESTARTING = "it is started again"  # marks the supervisor's own words in the log
_FILE = "serving.json"
_LOCK = "serving.lock"


class ServingState(msgspec.Struct, frozen=True, kw_only=True):
    pid: int  # the supervisor's; 0 when it has ended
    state: Literal["running", "restarting", "stopped", "failed"]
    host: str = ""
    port: int = 0
    url: str = ""
    token: str = ""
    started: str = ""
    restarts: int = 0  # of the server since `started`
    command: tuple[str, ...] = ()  # that starts a server: its settings are in it
    last_exit: str = ""  # how the server ended last, when it was not asked to
    trouble: Trouble | None = None  # why it could not start


def read(folder: Path) -> ServingState | None:
    """The last state written; None if there is none that can be read. See `is_locked`."""
    try:
        return msgspec.json.decode((folder / _FILE).read_bytes(), type=ServingState)
    except (FileNotFoundError, msgspec.MsgspecError):
        return None
    except OSError as error:
        raise _fault(folder, error) from None


def write(folder: Path, state: ServingState) -> None:
    """Atomic. Raises SystemFault."""
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        temporary = folder / f"{_FILE}.{os.getpid()}"
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with open(descriptor, "wb") as file:
            file.write(msgspec.json.encode(state))
        os.rename(temporary, folder / _FILE)
    except OSError as error:
        raise _fault(folder, error) from None


def try_lock(folder: Path) -> int | None:
    """A descriptor that holds the folder's lock while it or a copy of it is open, or None."""
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise _fault(folder, error) from None
    return _locked(descriptor, fcntl.LOCK_EX)


def is_locked(folder: Path) -> bool:
    try:
        descriptor = os.open(folder / _LOCK, os.O_RDONLY)
    except FileNotFoundError:
        return False
    except OSError as error:
        raise _fault(folder, error) from None
    held = _locked(descriptor, fcntl.LOCK_SH)
    if held is None:
        return True
    os.close(held)
    return False


def lives(pid: int) -> bool:
    """Whether there is such a process; one that ended but was not waited for counts as well."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return pid > 0


def _locked(descriptor: int, kind: int) -> int | None:
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return descriptor


def _fault(folder: Path, error: OSError) -> SystemFault:
    return SystemFault("unusable_folder", f"Cannot use {folder}: {error.strerror}.")
