"""`kamld runs`: runs in a list, or beside each other."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import click
import msgspec

from kamld.app import App
from kamld.app.catalog import open_catalog
from kamld.catalog.compare import Comparison, Difference, compare
from kamld.catalog.naming import find_run
from kamld.cli import render
from kamld.cli.context import Door, json_option, limit_option, pass_door
from kamld.cli.run_views import (
    LOST,
    RUNNING,
    Unsealed,
    run_json,
    seconds_so_far,
    unsealed,
    unsealed_json,
)
from kamld.cli.views import plain
from kamld.records.names import Name
from kamld.records.run import Parameter, Run

_COLUMNS = 4  # parameters and metrics that are shown
_STATES = click.Choice([RUNNING, "succeeded", "failed", "cancelled", LOST])


@click.command("runs")
@click.option("--compare", "compared", nargs=2, multiple=True, metavar="RUN RUN", help="What differs.")
@click.option("--name", help="Only runs of this name; * stands for anything.")
@click.option("--state", type=_STATES, help="Only runs that are so.")
@click.option(
    "--sort", default="-started", show_default=True, help="started, name, metrics.NAME, …; - reverses."
)
@limit_option("How many to show.", default=20, show_default=True)
@json_option
@pass_door
def command(
    door: Door, compared: tuple[tuple[str, str], ...], name: str | None, state: str | None,
    sort: str, limit: int, as_json: bool,
) -> None:  # fmt: skip
    """List runs, newest first, with what went in and what came out; or compare two.

    \b
    Examples:
      kamld runs
      kamld runs --sort -metrics.accuracy -n 5
      kamld runs --compare 1 2
    """
    app = door.app
    if compared:
        runs = [find_run(app.repository, word, project=app.project) for word in compared[0]]
        comparison = compare(app.repository, runs)
        if as_json:
            render.json_value(_comparison_json(comparison))
        else:
            _show_comparison(comparison)
        return
    if app.is_new:
        _show_none(name, state, as_json=as_json)
        return
    begun = [run for run in unsealed(app) if _is_wanted(run, name, state)]  # before those that have ended
    with open_catalog(app) as catalog:
        ended = catalog.runs(project=app.project, name=name, state=state, sort=sort, limit=limit)
        for what in catalog.left_out:
            render.note(f"Left out: {what}")
    found = _together(begun, ended, sort)[:limit]
    if not found:
        _show_none(name, state, as_json=as_json)
    elif as_json:
        render.json_value([run_json(run) if isinstance(run, Run) else unsealed_json(run) for run in found])
    else:
        _show(app, found)


def _show_none(name: str | None, state: str | None, *, as_json: bool) -> None:
    if as_json:
        render.json_value([])
    elif name or state:
        render.advise("No such run. kamld runs shows all.")
    else:
        render.advise("No run yet. kamld run -i DATASET -o model:NAME -- python train.py makes one.")


def _is_wanted(run: Unsealed, name: str | None, state: str | None) -> bool:
    return state in (None, run.state) and (name is None or _is_like(run.live.name, name))


def _is_like(text: str, pattern: str) -> bool:
    """As the catalog has it: * stands for anything, and capitals do not matter."""
    parts = map(re.escape, pattern.lower().split("*"))
    return re.fullmatch(".*".join(parts), text.lower(), re.DOTALL) is not None


def _together(begun: Sequence[Unsealed], ended: Sequence[Run], sort: str) -> list[Unsealed | Run]:
    """Those that have not ended have their place by when they started; in any other order the last."""
    if sort.removeprefix("-") != "started":
        return [*ended, *begun]
    return sorted([*begun, *ended], key=_started, reverse=sort.startswith("-"))


def _started(run: Unsealed | Run) -> str:
    return run.started if isinstance(run, Run) else run.live.started


def _show(app: App, found: Sequence[Unsealed | Run]) -> None:
    runs = [run for run in found if isinstance(run, Run)]
    columns = _COLUMNS
    while True:  # as many as the terminal has room for
        params, more_params = _most_used((_params(run) for run in found), columns)
        metrics, more_metrics = _most_used((run.metrics for run in runs), columns)
        rows = [_row(app, run, params, metrics) for run in found]
        header = ("RUN", "STATE", "STARTED", "TOOK", "NAME", *params, *metrics, "MADE")
        right = (0, 3, *range(5, 5 + len(params) + len(metrics)))
        if columns == 0 or render.fits(rows, header, (*right, 1, 2)):
            break
        columns -= 1
    render.table(rows, header=header, right=right, whole=(1, 2))
    if any(isinstance(run, Unsealed) and run.state == LOST for run in found):
        render.advise("The process of a lost run is gone; the next kamld run closes it.")
    if more_params or more_metrics:
        render.say(f"{more_params} more parameters and {more_metrics} more metrics with --json.")
    if len(runs) > 1:
        render.advise(f"Compare: kamld runs --compare {runs[1].number} {runs[0].number}")


def _row(app: App, run: Unsealed | Run, params: Sequence[str], metrics: Sequence[str]) -> list[str]:
    given = [str(_params(run).get(key, "")) for key in params]
    if isinstance(run, Run):
        took = render.seconds_between(run.started, run.ended)
        row = [str(run.number), run.state, render.ago(run.started), render.duration(took), run.name]
        logged = [f"{run.metrics[key]:.4g}" if key in run.metrics else "" for key in metrics]
        return [*row, *given, *logged, ", ".join(_made(app, run))]
    so_far = render.duration(seconds_so_far(run)) if run.state == RUNNING else ""
    row = ["–", run.state, render.ago(run.live.started), so_far, run.live.name]
    return [*row, *given, *("" for _ in metrics), ""]


def _most_used(tables: Iterable[Mapping[str, Any]], most: int) -> tuple[list[str], int]:
    """The keys that most runs have, and how many others there are."""
    counts = Counter(key for table in tables for key in table)
    return [key for key, _ in counts.most_common(most)], max(0, len(counts) - most)


def _params(run: Unsealed | Run) -> dict[str, Parameter]:
    return run.params if isinstance(run, Run) else run.live.params


def _made(app: App, run: Run) -> list[str]:
    """Each output with its version number, which is the model's, not the run's, to say."""
    made = []
    for output in run.outputs:
        dataset = app.repository.names.find(Name(output.project, output.name))
        number = app.repository.refs.version_of(dataset, output.commit) if dataset else None
        name = Name(output.project, output.name).said
        made.append(f"{name} {f'v{number}' if number else render.commit_id(output.commit)}")
    return made


def _comparison_json(comparison: Comparison) -> dict[str, Any]:
    alike, different = (plain(msgspec.to_builtins(rows)) for rows in (comparison.same, comparison.different))
    runs = [run_json(run) for run in comparison.runs]
    return {"runs": runs, "different": different, "alike": alike, "code_files": comparison.files}


def _show_comparison(comparison: Comparison) -> None:
    header = ("", "", *(f"run {run.number}" for run in comparison.runs), "")
    rows = [(row.section, row.name, *map(_value, row.values), _change(row)) for row in comparison.different]
    if not rows:
        render.say("They are alike in everything that was recorded.")
        return
    render.table(rows, header=header, right=tuple(range(2, len(header) - 1)))
    if comparison.files:
        render.say(f"Code files that differ: {', '.join(comparison.files)}")
    render.advise(f"Alike in {len(comparison.same)} other things: kamld runs --compare … --json")


def _value(value: Any) -> str:
    if value is None:
        return "–"
    if isinstance(value, float):
        return f"{value:.4g}"
    text = " ".join(value) if isinstance(value, list) else str(value)
    return text if len(text) <= 40 else text[:12] + "…"


def _change(row: Difference) -> str:
    first, last = row.values[0], row.values[-1]
    if row.section == "metrics" and isinstance(first, float) and isinstance(last, float):
        return f"{last - first:+.4g}"
    return ""
