"""What a folder is bound to: `.kamld/folder.json` in it says which hub, dataset, branch and commit."""

import os
from pathlib import Path
from shlex import quote

import msgspec

from kamld import ids
from kamld.errors import NotFound, SystemFault, filesystem_fault
from kamld.records.encoding import decode, encode
from kamld.records.names import Name
from kamld.scan.marks import BINDING, OWN, STAT_INDEX


class Binding(msgspec.Struct, frozen=True, kw_only=True):
    """`commit` is the version that the folder's files come from; its next commit's parent."""

    hub: str
    dataset: str  # id
    project: str
    name: str
    branch: str
    commit: str
    hub_id: str = ""  # of the hub that was there; "" in older records

    @property
    def full_name(self) -> Name:
        return Name(self.project, self.name)


def read_binding(folder: Path) -> Binding | None:
    """None: the folder is not bound. Raises SystemFault (damaged_record)."""
    path = folder / OWN / BINDING
    try:
        data = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise filesystem_fault(error, str(path)) from None
    try:
        return decode(data, Binding, str(path))
    except SystemFault as fault:
        if fault.code != "damaged_record":
            raise
        raise SystemFault(
            fault.code,
            f"{path}, which says what {folder} comes from, is damaged. No file in it is affected.",
            f"Bind it anew: kamld init {quote(str(folder))} --bind NAME",
        ) from None


_OF_A_BOUND_FOLDER = (STAT_INDEX, "switch")  # what is in `.kamld` beside its record


def is_lost(folder: Path) -> bool:
    """Whether a folder without a record of what it comes from had one: `.kamld` has other records of it.
    What a first commit that was killed leaves there is none."""
    try:
        names = os.listdir(folder / OWN)
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as error:
        raise filesystem_fault(error, str(folder / OWN)) from None
    return BINDING not in names and any(name in _OF_A_BOUND_FOLDER for name in names)


def lost(folder: Path, name: str = "NAME") -> NotFound:
    """`name`: what it was bound to, as far as anybody can tell."""
    return NotFound(
        "not_bound",
        f"{folder / OWN / BINDING} is lost, which said what {folder} comes from. No file in it is affected.",
        f"Bind it anew: kamld init {quote(str(folder))} --bind {name}",
    )


def write_binding(folder: Path, binding: Binding) -> None:
    write_own(folder, BINDING, encode(binding))


def write_own(folder: Path, name: str, *parts: bytes | memoryview) -> None:
    """Replace a file in `.kamld`, whole or not at all."""
    own = folder / OWN
    temporary = own / f"{name}.{ids.new_id()}"
    try:
        own.mkdir(exist_ok=True)
        with open(temporary, "wb") as file:
            file.writelines(parts)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, own / name)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise filesystem_fault(error, str(own)) from None
