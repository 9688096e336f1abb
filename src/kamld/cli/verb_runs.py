"""`kamld runs`: runs in a list, or beside each other."""

from typing import Any

import click
import msgspec

from kamld.app import App
from kamld.app.catalog import open_catalog
from kamld.catalog.compare import Comparison, Difference, compare
from kamld.catalog.naming import find_run
from kamld.cli import render
from kamld.cli.context import Door, json_option, pass_door
from kamld.records.names import Name
from kamld.records.run import Run

_STATES = click.Choice(["succeeded", "failed", "cancelled"])


@click.command("runs")
@click.option("--compare", "compared", nargs=2, multiple=True, metavar="RUN RUN", help="What differs.")
@click.option("--name", help="Only runs of this name; * stands for anything.")
@click.option("--state", type=_STATES, help="Only runs that ended so.")
@click.option(
    "--sort", default="-started", show_default=True, help="started, name, metrics.NAME, …; - reverses."
)
@click.option("-n", "count", default=20, show_default=True, help="How many to show.")
@json_option
@pass_door
def command(
    door: Door, compared: tuple[tuple[str, str], ...], name: str | None, state: Any,
    sort: str, count: int, as_json: bool,
) -> None:  # fmt: skip
    """List runs, newest first, with what went in and what came out; or compare two.

    \b
    Examples:
      kamld runs
      kamld runs --sort -metrics.accuracy -n 5
      kamld runs --compare 1 2
    """
    app = door.app
    project = app.settings.project
    if compared:
        runs = [find_run(app.repository, word, project=project) for word in compared[0]]
        comparison = compare(app.repository, runs)
        render.json_value(comparison) if as_json else _show_comparison(comparison)
        return
    with open_catalog(app) as catalog:
        found = catalog.runs(project=project, name=name, state=state, sort=sort, limit=count)
    if as_json:
        render.json_value([msgspec.to_builtins(run) | _always(run) for run in found])
        return
    _show(app, found)


def _always(run: Run) -> dict[str, Any]:
    """Fields that programs may count on even where they are empty."""
    return {
        "params": run.params,
        "metrics": run.metrics,
        "inputs": msgspec.to_builtins(run.inputs),
        "outputs": msgspec.to_builtins(run.outputs),
    }


def _show(app: App, runs: list[Run]) -> None:
    if not runs:
        render.say("No run yet. kamld run -i DATASET -o model:NAME -- python train.py makes one.")
        return
    params = list(dict.fromkeys(key for run in runs for key in run.params))[:4]
    metrics = list(dict.fromkeys(key for run in runs for key in run.metrics))[:4]
    rows = [
        (
            str(run.number),
            run.state,
            render.ago(run.started),
            render.duration(render.seconds_between(run.started, run.ended)),
            run.name,
            *(str(run.params.get(key, "")) for key in params),
            *(f"{run.metrics[key]:.4g}" if key in run.metrics else "" for key in metrics),
            ", ".join(_made(app, run)),
        )
        for run in runs
    ]
    header = ("RUN", "STATE", "STARTED", "TOOK", "NAME", *params, *metrics, "MADE")
    numbers = range(5, 5 + len(params) + len(metrics))
    render.table(rows, header=header, right=(0, 3, *numbers))
    if len(runs) > 1:
        render.say(f"Compare: kamld runs --compare {runs[1].number} {runs[0].number}")


def _made(app: App, run: Run) -> list[str]:
    """Each output with its version number, which is the model's, not the run's, to say."""
    made = []
    for output in run.outputs:
        dataset = app.repository.names.find(Name(output.project, output.name))
        number = app.repository.refs.version_of(dataset, output.commit) if dataset else None
        made.append(f"{output.name} {f'v{number}' if number else render.commit_id(output.commit)}")
    return made


def _show_comparison(comparison: Comparison) -> None:
    header = ("", "", *(f"run {run.number}" for run in comparison.runs), "")
    rows = [(row.section, row.name, *map(_value, row.values), _change(row)) for row in comparison.different]
    if not rows:
        render.say("They are alike in everything that was recorded.")
        return
    render.table(rows, header=header, right=tuple(range(2, len(header) - 1)))
    if comparison.files:
        render.say(f"Code files that differ: {', '.join(comparison.files)}")
    render.say(f"Alike in {len(comparison.same)} other things: kamld runs --compare … --json")


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
