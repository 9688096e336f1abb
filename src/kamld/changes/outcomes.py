"""What an outcome of a merge means for whoever asked for it: whether it stands, what is left to decide,
why it was refused. Judged here once; how it looks is decided at the doors."""

from collections.abc import Sequence
from dataclasses import dataclass

from kamld.changes.joining import Clash
from kamld.changes.merging import Outcome
from kamld.errors import Conflict
from kamld.formats.tables import RowConflict
from kamld.records.merging import Resolution

_TOLD = 20  # failures that are told one by one


@dataclass(frozen=True, slots=True)
class Open:
    """A path that is left to be decided. `rows` are the first thousand of `row_count` that conflict, by
    `key`, of a table whose others go together; `reason`: why a table could not be joined by rows, or what
    a side has renamed the file to."""

    clash: Clash
    reason: str = ""
    key: tuple[str, ...] = ()
    rows: Sequence[RowConflict] = ()
    row_count: int = 0
    decided: int = 0  # rows that were, already
    files: tuple[int, int] = (0, 0)  # in the folder that ours has there, and theirs


def stands(outcome: Outcome) -> bool:
    """Whether all is as it was asked for, so that whoever asked may go on; a dry run: whether it would be."""
    return outcome.how not in ("waits", "refused")


def left(outcome: Outcome) -> list[Open]:
    """What is left to be decided, by path."""
    return [_open(outcome, clash) for clash in outcome.plan.left]


def is_done(outcome: Outcome) -> bool:
    """Whether what was asked for was done: all of it, or the decision, though others are left."""
    return stands(outcome) or (outcome.how == "waits" and bool(outcome.made))


@dataclass(frozen=True, slots=True)
class Decision:
    """`how`: ours, theirs or file. `row`: the key of the one row that it is about."""

    path: str
    how: str
    row: tuple[str, ...] = ()


def decided(outcome: Outcome) -> list[Decision]:
    """Which files and rows of what conflicts have been decided, and how."""
    plan, request = outcome.plan, outcome.request
    files = {one.seen: one for one in request.resolutions if not one.row}
    found: list[Decision] = []
    for clash in plan.decided:
        path = clash.path.decode("utf-8", "backslashreplace")
        whole = files.get(clash.seen)
        rows = [] if whole else [one for one in request.resolutions if one.row and one.path == path]
        found += map(decision_of, rows)
        if whole or request.prefer:
            found.append(decision_of(whole) if whole else Decision(path, request.prefer or ""))
    in_part = {path.decode("utf-8", "backslashreplace") for path, one in plan.apart.items() if one.decided}
    found += [decision_of(one) for one in request.resolutions if one.row and one.path in in_part]
    return sorted(found, key=lambda one: (one.path, one.row))


def decision_of(one: Resolution) -> Decision:
    return Decision(one.path, one.side or "file", one.row)


def key_was_idle(outcome: Outcome) -> bool:
    """Whether columns were named to tell rows apart, and there were no rows to be told apart."""
    return bool(outcome.request.key) and not outcome.plan.keyed


def refusal(outcome: Outcome) -> Conflict | None:
    """Why a protected branch was not moved: what failed, at most some of it, and what to do."""
    if outcome.how != "refused":
        return None
    request, found = outcome.request, outcome.failures
    told = [
        f"{one.check}: {one.path.decode('utf-8', 'backslashreplace') + ': ' if one.path is not None else ''}"
        f"{one.detail}"
        for one in found[:_TOLD]
    ]
    more = [f"{len(found) - _TOLD:,} more"] if len(found) > _TOLD else []
    return Conflict(
        "check_failed",
        f"{request.branch} is protected, and nothing has moved. {'; '.join([*told, *more])}.",
        f"Mend {request.source}, then merge it again.",
    )


def _open(outcome: Outcome, clash: Clash) -> Open:
    apart = outcome.plan.apart.get(clash.path)
    if apart is None or apart.merged is None:
        files = outcome.plan.folders.get(clash.path, (0, 0))
        return Open(clash, (apart.reason if apart else "") or _moved(outcome, clash), files=files)
    found = apart.merged
    return Open(clash, apart.reason, tuple(found.key), found.conflicts, found.conflict_count, apart.decided)


def _moved(outcome: Outcome, clash: Clash) -> str:
    """Where a file is now that one side removed."""
    to = outcome.plan.moved.get(clash.path)
    if to is None or (clash.ours and clash.theirs):
        return ""
    side = "ours" if clash.ours is None else "theirs"
    return f"{side} renamed it to {to.decode('utf-8', 'backslashreplace')}"
