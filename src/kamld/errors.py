"""Every error a person or a program can meet, sorted by what they should do about it.

    KamldError
    ├─ UserError        exit 1: the request cannot be met as it stands; change it and try again
    │  ├─ NotFound      nothing goes by that name, revision, path or id
    │  ├─ Conflict      it clashes with what is there or with somebody else's change
    │  ├─ Invalid       the value itself is wrong (a name, a number, a shape, a file's content)
    │  └─ RunFailed     the user's own command failed; its output says why
    ├─ UsageError       exit 2: the command line is not one we understand
    └─ SystemFault      exit 3: the machine refused (disk, permission, port, damaged hub)

`code` is stable: it is never renamed or reused. `message` says what was wrong and where, `hint`
what to do next. Doors alone turn these into text, exit statuses and HTTP statuses.
"""

import errno


class KamldError(Exception):
    """An error with a stable code, a sentence for what was wrong, one for what to do."""

    exit_status = 3

    def __init__(self, code: str, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message} {self.hint}".strip()


class UserError(KamldError):
    exit_status = 1


class NotFound(UserError):
    pass


class Conflict(UserError):
    pass


class Invalid(UserError):
    pass


class RunFailed(UserError):
    """The user's command ended with `status`; `kamld run` exits with the same."""

    def __init__(self, code: str, message: str, hint: str = "", *, status: int) -> None:
        super().__init__(code, message, hint)
        self.exit_status = status


class UsageError(KamldError):
    exit_status = 2


class SystemFault(KamldError):
    exit_status = 3


def filesystem_fault(error: OSError, place: str) -> SystemFault:
    """The machine's refusal in words; `place` is the folder that was being written or read."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return SystemFault(
            "no_space",
            f"The disk is full where {place} is. Nothing was changed.",
            "Make room there and try again.",
        )
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return SystemFault(
            "no_permission",
            f"No permission for {error.filename or place}.",
            "Ask its owner, or choose another folder.",
        )
    if error.errno == errno.ENOTCONN:
        return SystemFault(
            "mount_gone",
            f"{place} is a mount that nobody serves any more.",
            "kamld umount removes it; what was written to it is kept, and there when it is mounted again.",
        )
    where = f" ({error.filename})" if error.filename else ""
    return SystemFault(
        "io_error", f"{place}: {error.strerror or error}{where}.", "Check the disk, then try again."
    )
