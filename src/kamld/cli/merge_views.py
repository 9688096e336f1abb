"""How a merge looks, landed or waiting: what merge and resolve have in common."""

from collections.abc import Mapping, Sequence
from shlex import quote
from typing import Any

import click

from kamld.changes.joining import Clash
from kamld.changes.merging import Outcome
from kamld.changes.rows import Unjoined
from kamld.cli import render, views
from kamld.formats.tables import RowConflict
from kamld.records.history import Dataset
from kamld.records.names import MAIN
from kamld.store.trees import Entry

_SHOWN = 20  # conflicts that are listed
_ROWS = 10  # and rows of each table
_LETTERS = 40  # of a cell
WAITING = 1  # exit status: scripts must not go on as if it had landed


def show_outcome(dataset: Dataset, outcome: Outcome, *, as_json: bool) -> int:
    """The exit status."""
    if as_json:
        render.json_value(_json(outcome))
    else:
        _SAY[outcome.how](dataset, outcome)
    return WAITING if outcome.how in ("waits", "refused") else 0


def into(branch: str) -> str:
    return "" if branch == MAIN else f" --into {branch}"


def _json(outcome: Outcome) -> dict[str, Any]:
    request, plan = outcome.request, outcome.plan
    return {
        "result": outcome.how,
        "branch": request.branch,
        "source": request.source,
        "theirs": request.theirs,
        "before": outcome.before,
        "commit": outcome.commit,
        "changes": [views.change_json(change) for change in outcome.changes],
        "tables": [{**views.path_json(t.clash.path), "rows": t.rows} for t in plan.tables],
        "conflicts": [
            {**views.path_json(c.path), "why": c.why, **_rows_json(plan.apart.get(c.path))} for c in plan.left
        ],
        "decided": len(plan.decided),
        "failures": [
            {"check": f.check, "path": f.path and f.path.decode("utf-8", "backslashreplace"),
             "detail": f.detail, "output": list(f.output)}
            for f in outcome.failures
        ],
    }  # fmt: skip


def _nothing(dataset: Dataset, outcome: Outcome) -> None:
    request = outcome.request
    render.say(f"{request.branch} of {dataset.name} has all of {request.source} already.")


def _landed(dataset: Dataset, outcome: Outcome) -> None:
    label = click.style(f"{dataset.name}@{outcome.request.branch}", bold=True)
    counts = views.change_counts(outcome.changes)
    render.say(
        f"{label}   {render.commit_id(outcome.commit)}  merged {outcome.request.source}   {counts} files"
    )
    _tables(outcome)
    views.show_changes(outcome.changes)
    again = dataset.name + ("" if outcome.request.branch == MAIN else f"@{outcome.request.branch}")
    branch = f"{dataset.name}@{outcome.request.branch}"
    lift = f"kamld branch {branch} --unprotect, then " if outcome.protection else ""
    render.say(f"To take that back: {lift}kamld undo {again}")


def _would(dataset: Dataset, outcome: Outcome) -> None:
    request = outcome.request
    render.say(f"Nothing is left to decide: {request.source} goes into {request.branch} without conflicts.")
    _tables(outcome)
    if outcome.protection and (checks := (*outcome.protection.require, *outcome.protection.checks)):
        render.say(f"Then must hold: {', '.join(checks)}")
    render.say(f"Do it: kamld merge {dataset.name} {request.source}{into(request.branch)}")


def _waits(dataset: Dataset, outcome: Outcome) -> None:
    request, left = outcome.request, outcome.plan.left
    count = f"{len(left):,} conflict" + ("" if len(left) == 1 else "s")
    render.say(f"{count}; nothing has changed. {request.source} into {request.branch}:")
    _conflicts(outcome, left[:_SHOWN])
    if len(left) > _SHOWN:
        render.say(f"  … {len(left) - _SHOWN:,} more")
    decided = len(outcome.plan.decided) + sum(apart.decided for apart in outcome.plan.apart.values())
    if decided:
        render.say(f"{decided:,} decided already.")
    name, at = dataset.name, into(request.branch)
    by_rows = [clash for clash in left if _merged_rows(outcome, clash)]
    first = (by_rows or left)[0].path
    if by_rows:
        key = quote(_merged_rows(outcome, by_rows[0])[0].label)
        render.say(f"Decide: kamld resolve {name} {render.path(first)} --row {key}{at} --ours | --theirs")
        render.say("All its rows: the same without --row     The whole file: --file FILE")
    else:
        render.say(f"Decide: kamld resolve {name} {render.path(first)}{at} --ours | --theirs | --file FILE")
    render.say(
        f"All alike: kamld merge {name}{at} --ours | --theirs     Give up: kamld merge {name}{at} --abort"
    )


def _conflicts(outcome: Outcome, shown: Sequence[Clash]) -> None:
    """A line for each file; below a table those of its rows that conflict."""
    lines = [_row(outcome, clash) for clash in shown]
    widths = [max(len(line[column]) for line in lines) for column in (0, 1)]
    for clash, (path, why, sides) in zip(shown, lines, strict=True):
        render.say(f"  {path:{widths[0]}}  {why:{widths[1]}}  {sides}")
        rows = _merged_rows(outcome, clash)
        render.table([_cells(outcome, row) for row in rows[:_ROWS]], indent="    ")
        apart = outcome.plan.apart.get(clash.path)
        if apart and apart.merged and apart.merged.conflict_count > _ROWS:
            render.say(f"    … {apart.merged.conflict_count - _ROWS:,} more")


def _cells(outcome: Outcome, row: RowConflict) -> tuple[str, ...]:
    sides = ((outcome.request.branch, row.ours), (outcome.request.source, row.theirs))
    return (row.label, *(f"{name}: {_side(cells)}" for name, cells in sides))


def _side(cells: Mapping[str, str | None] | None) -> str:
    if cells is None:
        return "(deleted)"
    shown = [(name, _clip(value) if value else "(nothing)") for name, value in cells.items()]
    return shown[0][1] if len(shown) == 1 else ", ".join(f"{name} {value}" for name, value in shown)


def _clip(value: str) -> str:
    return value if len(value) <= _LETTERS else f"{value[: _LETTERS - 1]}…"


def _merged_rows(outcome: Outcome, clash: Clash) -> Sequence[RowConflict]:
    apart = outcome.plan.apart.get(clash.path)
    return apart.merged.conflicts if apart and apart.merged else ()


def _rows_json(apart: Unjoined | None) -> dict[str, Any]:
    """`rows` are the first thousand that conflict."""
    if apart is None or apart.merged is None:
        return {"detail": apart.reason if apart else ""}
    merged = apart.merged
    rows = [
        {"key": row.key, "kind": row.kind, "columns": row.columns, "base": row.base, "ours": row.ours,
         "theirs": row.theirs}
        for row in merged.conflicts
    ]  # fmt: skip
    shape = {"key": merged.key, "rows": rows, "row_conflicts": merged.conflict_count}
    return {"detail": apart.reason, "rows_decided": apart.decided, **shape}


def _refused(dataset: Dataset, outcome: Outcome) -> None:
    branch, found = outcome.request.branch, outcome.failures
    what = "1 check fails" if len(found) == 1 else f"{len(found):,} checks fail"
    render.say(f"{branch} is protected, and {what}; nothing has moved.")
    for failure in found[:_SHOWN]:
        where = f"{render.path(failure.path)}: " if failure.path is not None else ""
        render.say(f"  {click.style(failure.check, bold=True)}   {where}{failure.detail}")
        for line in failure.output:
            render.say(f"    {line}")
    if len(found) > _SHOWN:
        render.say(f"  … {len(found) - _SHOWN:,} more")
    render.say(
        f"Mend {outcome.request.source}, then again: kamld merge {dataset.name} {outcome.request.source}"
        f"{into(branch)}"
    )


def _row(outcome: Outcome, clash: Clash) -> tuple[str, str, str]:
    request = outcome.request
    sides = f"{request.branch} {_size(clash.ours)}, {request.source} {_size(clash.theirs)}"
    apart = outcome.plan.apart.get(clash.path)
    detail = apart.reason if apart else ""
    return render.path(clash.path), clash.why, sides + (f"; {detail}" if detail else "")


def _size(entry: Entry | None) -> str:
    return render.size(entry.size) if entry else "nothing"


def _tables(outcome: Outcome) -> None:
    for table in outcome.plan.tables:
        rows = f"{table.rows:,} row" + ("" if table.rows == 1 else "s")
        render.say(f"  {render.path(table.clash.path)}: {rows} of {outcome.request.source} joined")


_SAY = {"nothing": _nothing, "moved": _landed, "merged": _landed, "would": _would, "waits": _waits,
        "refused": _refused}  # fmt: skip
