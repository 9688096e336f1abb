"""How a merge looks, landed or waiting: what merge and resolve have in common."""

import os
from collections.abc import Mapping, Sequence
from shlex import quote
from typing import Any

import click

from kamld.changes.merging import Outcome
from kamld.changes.outcomes import Decision, Open, decided, decision_of, is_done, key_was_idle, left
from kamld.changes.pending import into
from kamld.cli import render, views
from kamld.cli.paths import shell_word
from kamld.formats.tables import RowConflict
from kamld.records.history import Dataset
from kamld.records.names import MAIN
from kamld.store import Repository
from kamld.store.trees.entries import Entry

_SHOWN = 20  # conflicts that are listed
_ROWS = 10  # and rows of each table
_LETTERS = 40  # of a cell
WAITING = 1  # exit status: scripts must not go on as if it had landed


def show_outcome(repository: Repository, dataset: Dataset, outcome: Outcome, *, as_json: bool) -> int:
    """The exit status."""
    if as_json:
        render.json_value(views.dataset_json(dataset) | _json(outcome))
    elif outcome.how in ("moved", "merged"):
        message = repository.commit(outcome.commit).message
        _landed(dataset, outcome, message.splitlines()[0] if message else "")
    else:
        _SAY[outcome.how](dataset, outcome)
    if key_was_idle(outcome) and outcome.how != "waits":
        render.note("--key was not needed: there is no table that both changed.")
    return 0 if is_done(outcome) else WAITING


def _json(outcome: Outcome) -> dict[str, Any]:
    request, plan = outcome.request, outcome.plan
    return {
        "result": outcome.how,
        "branch": request.branch,
        "source": request.source,
        "source_commit": request.theirs,
        "old_commit": outcome.before,
        "commit": outcome.commit,
        "changes": [views.change_json(change) for change in outcome.changes],
        "tables": [{**views.path_json(t.clash.path), "rows": t.rows} for t in plan.tables],
        "conflicts": [
            {**views.path_json(one.clash.path), "why": one.clash.why, **_rows_json(one)}
            for one in left(outcome)
        ],
        "decided": [
            {"path": one.path, "row": list(one.row), "decision": one.how} for one in decided(outcome)
        ],
        "waits": outcome.kept,
        "gone": [outcome.gone] if outcome.gone else [],
        "failures": [
            {"check": f.check, "path": f.path and f.path.decode("utf-8", "backslashreplace"),
             "detail": f.detail, "output": list(f.output)}
            for f in outcome.failures
        ],
    }  # fmt: skip


def _nothing(dataset: Dataset, outcome: Outcome) -> None:
    request = outcome.request
    render.say(f"{request.branch} of {dataset.said} has all of {request.source} already.")


def _landed(dataset: Dataset, outcome: Outcome, subject: str) -> None:
    label = click.style(f"{dataset.said}@{outcome.request.branch}", bold=True)
    files = views.changed_files(outcome.changes)
    if outcome.how == "moved":  # to a version that was made there
        files += f", forward to {outcome.request.source}"
    render.say(f"{label}   {render.commit_id(outcome.commit)}  {subject}   {files}")
    _tables(outcome)
    views.show_changes(outcome.changes)
    again = dataset.said + ("" if outcome.request.branch == MAIN else f"@{outcome.request.branch}")
    branch = f"{dataset.said}@{outcome.request.branch}"
    lift = f"kamld branch {branch} --unprotect, then " if outcome.protection else ""
    if outcome.gone:
        render.say(f"{dataset.said}@{outcome.gone} has gone, as it had its use.")
    render.advise(
        f"Folders stay as they are. To have it in one: kamld switch FOLDER {quote(outcome.request.branch)}"
    )
    render.advise(f"To take that back: {lift}kamld undo {again}")


def _would(dataset: Dataset, outcome: Outcome) -> None:
    request = outcome.request
    render.say(f"Nothing is left to decide: {request.source} goes into {request.branch} without conflicts.")
    _tables(outcome)
    if outcome.protection and (checks := (*outcome.protection.require, *outcome.protection.checks)):
        render.say(f"What must hold does: {', '.join(checks)}")
    render.advise(f"Do it: kamld merge {dataset.said} {request.source}{into(request.branch)}")


def _waits(dataset: Dataset, outcome: Outcome) -> None:
    request, found = outcome.request, left(outcome)
    count = f"{len(found):,} conflict" + ("" if len(found) == 1 else "s")
    what = f"{request.source} into {request.branch}"
    if outcome.made:
        _decisions("Decided", [decision_of(one) for one in outcome.made])
        render.say(f"{count} left of {what}:")
    elif outcome.kept:
        render.say(f"{count}; nothing has changed. {what}:")
    else:
        render.say(f"{count} to be decided before {request.source} can go into {request.branch}:")
    _conflicts(outcome, found[:_SHOWN])
    if len(found) > _SHOWN:
        render.say(f"  … {len(found) - _SHOWN:,} more")
    if not outcome.made:
        _decisions("Decided already", decided(outcome))
    name, at = dataset.said, into(request.branch)
    if not outcome.kept:
        key = f" --key {quote(','.join(request.key))}" if request.key else ""
        render.advise(f"Do it: kamld merge {name} {quote(request.source)}{at}{key}")
        return
    by_rows = [one for one in found if one.rows]
    first = shell_word((by_rows or found)[0].clash.path)
    if by_rows:
        key = quote(by_rows[0].rows[0].label)
        render.advise(f"Decide: kamld resolve {name} {first} --row {key}{at} --ours | --theirs")
        render.say("All its rows: the same without --row     The whole file: --file FILE")
    else:
        render.advise(f"Decide: kamld resolve {name} {first}{at} --ours | --theirs | --file FILE")
    render.advise(
        f"All alike: kamld merge {name}{at} --ours | --theirs     Give up: kamld merge {name}{at} --abort"
    )


def _decisions(heading: str, made: Sequence[Decision]) -> None:
    if not made:
        return
    words = {"ours": "ours", "theirs": "theirs", "file": "a file of your own"}
    lines = [f"{render.path(os.fsencode(one.path))}{_of_row(one)}: {words[one.how]}" for one in made[:_SHOWN]]
    more = f"; {len(made) - _SHOWN:,} more" if len(made) > _SHOWN else ""
    render.say(f"{heading}: {'; '.join(lines)}{more}.")


def _of_row(one: Decision) -> str:
    return f", row {','.join(one.row)}" if one.row else ""


def _conflicts(outcome: Outcome, shown: Sequence[Open]) -> None:
    """A line for each file; below a table those of its rows that conflict."""
    lines = [_row(outcome, one) for one in shown]
    widths = [max(len(line[column]) for line in lines) for column in (0, 1)]
    for one, (path, why, sides) in zip(shown, lines, strict=True):
        render.say(f"  {path:{widths[0]}}  {why:{widths[1]}}  {sides}")
        render.table([_cells(outcome, row) for row in one.rows[:_ROWS]], indent="    ")
        if one.row_count > _ROWS:
            render.say(f"    … {one.row_count - _ROWS:,} more")


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


def _rows_json(one: Open) -> dict[str, Any]:
    """`rows` are the first thousand that conflict."""
    if not one.row_count:
        return {"detail": one.reason}
    rows = [
        {"key": row.key, "kind": row.kind, "columns": row.columns, "base": row.base, "ours": row.ours,
         "theirs": row.theirs}
        for row in one.rows
    ]  # fmt: skip
    shape = {"key": one.key, "rows": rows, "row_conflicts": one.row_count}
    return {"detail": one.reason, "rows_decided": one.decided, **shape}


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
    render.advise(
        f"Mend {outcome.request.source}, then again: kamld merge {dataset.said} {outcome.request.source}"
        f"{into(branch)}"
    )


def _row(outcome: Outcome, one: Open) -> tuple[str, str, str]:
    request, clash = outcome.request, one.clash
    ours, theirs = (_there(*side) for side in zip((clash.ours, clash.theirs), one.files, strict=True))
    sides = f"{request.branch} {ours}, {request.source} {theirs}"
    reason = render.path(one.reason.encode("utf-8", "backslashreplace"))
    return render.path(clash.path), clash.why, sides + (f"; {reason}" if reason else "")


def _there(entry: Entry | None, files: int) -> str:
    """What a side has at a path; `files`: below it."""
    if files:
        return f"a folder of {render.files(files)}"
    return render.size(entry.size) if entry else "nothing"


def _tables(outcome: Outcome) -> None:
    for table in outcome.plan.tables:
        rows = f"{table.rows:,} row" + ("" if table.rows == 1 else "s")
        render.say(f"  {render.path(table.clash.path)}: {rows} of {outcome.request.source} joined")


_SAY = {"nothing": _nothing, "would": _would, "waits": _waits, "refused": _refused}
