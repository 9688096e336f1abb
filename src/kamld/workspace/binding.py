"""What a folder is bound to: `.kamld/folder.json` in it says which hub, dataset, branch and commit."""

import os
from pathlib import Path

import msgspec

from kamld import ids
from kamld.blobs import filesystem_fault
from kamld.records.encoding import decode, encode
from kamld.records.names import Name

OWN = ".kamld"  # the folder's own records, in it; never part of a version
FILE = "folder.json"


class Binding(msgspec.Struct, frozen=True, kw_only=True):
    """`commit` is the version that the folder's files come from; its next commit's parent."""

    hub: str
    dataset: str  # id
    project: str
    name: str
    branch: str
    commit: str

    @property
    def full_name(self) -> Name:
        return Name(self.project, self.name)


def read_binding(folder: Path) -> Binding | None:
    """None: the folder is not bound. Raises SystemFault."""
    path = folder / OWN / FILE
    try:
        data = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise filesystem_fault(error, str(path)) from None
    return decode(data, Binding, str(path))


def write_binding(folder: Path, binding: Binding) -> None:
    write_own(folder, FILE, encode(binding))


def write_own(folder: Path, name: str, *parts: bytes) -> None:
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
