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
