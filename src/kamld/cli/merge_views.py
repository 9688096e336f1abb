"""How a merge looks, landed or waiting: what merge and resolve have in common."""

from typing import Any

import click

from kamld.changes.joining import Clash
from kamld.changes.merging import Outcome
from kamld.cli import render, views
from kamld.records.history import Dataset
from kamld.records.names import MAIN
from kamld.store.trees import Entry

_SHOWN = 20  # conflicts that are listed
WAITING = 1  # exit status: scripts must not go on as if it had landed


def show_outcome(dataset: Dataset, outcome: Outcome, *, as_json: bool) -> int:
    """The exit status."""
    if as_json:
        render.json_value(_json(outcome))
    else:
        _SAY[outcome.how](dataset, outcome)
    return WAITING if outcome.how == "waits" else 0


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
            {**views.path_json(c.path), "why": c.why, "detail": plan.reasons.get(c.path, "")}
            for c in plan.left
        ],
        "decided": len(plan.decided),
    }


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
    render.say(f"To take that back: kamld undo {again}")


def _would(dataset: Dataset, outcome: Outcome) -> None:
    request = outcome.request
    render.say(f"Nothing is left to decide: {request.source} goes into {request.branch} without conflicts.")
    _tables(outcome)
    render.say(f"Do it: kamld merge {dataset.name} {request.source}{into(request.branch)}")


def _waits(dataset: Dataset, outcome: Outcome) -> None:
    request, left = outcome.request, outcome.plan.left
    count = f"{len(left):,} conflict" + ("" if len(left) == 1 else "s")
    render.say(f"{count}; nothing has changed. {request.source} into {request.branch}:")
    render.table([_row(outcome, clash) for clash in left[:_SHOWN]], indent="  ")
    if len(left) > _SHOWN:
        render.say(f"  … {len(left) - _SHOWN:,} more")
    if outcome.plan.decided:
        render.say(f"{len(outcome.plan.decided):,} decided already.")
    name, at = dataset.name, into(request.branch)
    path = render.path(left[0].path)
    render.say(f"Decide: kamld resolve {name} {path}{at} --ours | --theirs | --file FILE")
    render.say(
        f"All alike: kamld merge {name}{at} --ours | --theirs     Give up: kamld merge {name}{at} --abort"
    )


def _row(outcome: Outcome, clash: Clash) -> tuple[str, str, str]:
    request = outcome.request
    sides = f"{request.branch} {_size(clash.ours)}, {request.source} {_size(clash.theirs)}"
    detail = outcome.plan.reasons.get(clash.path, "")
    return render.path(clash.path), clash.why, sides + (f"; {detail}" if detail else "")


def _size(entry: Entry | None) -> str:
    return render.size(entry.size) if entry else "nothing"


def _tables(outcome: Outcome) -> None:
    for table in outcome.plan.tables:
        rows = f"{table.rows:,} row" + ("" if table.rows == 1 else "s")
        render.say(f"  {render.path(table.clash.path)}: {rows} of {outcome.request.source} joined")


_SAY = {"nothing": _nothing, "moved": _landed, "merged": _landed, "would": _would, "waits": _waits}
