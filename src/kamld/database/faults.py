"""What a database can refuse, in our words."""

import errno
from pathlib import Path

from kamld.errors import SystemFault


class Damaged(SystemFault):
    """The database at `path` is not what we wrote. The catalog is made anew then."""

    def __init__(self, path: Path, what: str) -> None:
        super().__init__(
            "damaged_database",
            f"The database {path} is damaged: {what}.",
            "Move it away, then try again.",
        )


def refused(error: OSError, path: Path) -> SystemFault:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return no_space(path)
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return no_permission(path)
    return io_error(path, error.strerror or str(error))


def no_space(path: Path) -> SystemFault:
    return SystemFault(
        "no_space",
        f"The disk is full where {path} is. Nothing was changed.",
        "Make room there and try again.",
    )


def no_permission(path: Path) -> SystemFault:
    return SystemFault(
        "no_permission", f"No permission to write {path}.", "Ask its owner, or choose another hub."
    )


def io_error(path: Path, what: str) -> SystemFault:
    return SystemFault("io_error", f"{path}: {what}.", "Check the disk, then try again.")


def busy(path: Path) -> SystemFault:
    return SystemFault(
        "busy_database", f"{path} is being written by another program.", "Try again in a moment."
    )
