"""`kamld run`: a command on versions of data, and what it makes as versions."""

import sys

import click

from kamld.app.runs import open_runner
from kamld.cli import render
from kamld.cli.context import Door, json_option, pass_door
from kamld.cli.run_views import run_json
from kamld.ids import short
from kamld.records.names import Name
from kamld.records.run import Metric
from kamld.runs.interface import Stop, Stream
from kamld.runs.plan import Request
from kamld.runs.runner import Begun, Outcome
from kamld.runs.unfinished import Closed

_METRICS_SHOWN = 4
_STOPPING = {
    "interrupt": "Stopping. Press Ctrl-C again to end it at once.",
    "terminate": "Ending it.",
    "kill": "Ended at once.",
}


@click.command("run")
@click.option("-i", "inputs", multiple=True, metavar="[LABEL=]NAME[@REV]", help="A version it reads. Repeat.")
@click.option(
    "-o", "outputs", multiple=True, metavar="KIND:NAME[:FOLDER]",
    help="model:NAME or dataset:NAME that it makes; FOLDER if it writes to a place of its own. Repeat.",
)  # fmt: skip
@click.option("-p", "params", multiple=True, metavar="NAME=VALUE", help="A parameter. Repeat.")
@click.option("--name", default="", help="Name of the run. Default: the script's.")
@click.argument("command_words", nargs=-1, required=True, metavar="-- COMMAND", type=click.UNPROCESSED)
@json_option
@pass_door
def command(
    door: Door, inputs: tuple[str, ...], outputs: tuple[str, ...], params: tuple[str, ...],
    name: str, command_words: tuple[str, ...], as_json: bool,
) -> int:  # fmt: skip
    """Run COMMAND on versions of data; keep what it makes, and how.

    COMMAND finds its inputs, outputs and parameters in $KAMLD_INPUT_<LABEL>, $KAMLD_OUTPUT_<LABEL>
    and $KAMLD_PARAM_<NAME>, or in Python by kamld.input("digits-train"), kamld.output("digits-net")
    and kamld.params(); it reports by kamld.log_metrics(accuracy=0.93). Its code, environment and
    output are kept too. The exit status is COMMAND's.

    \b
    Examples:
      kamld run -i digits-train -o model:digits-net -p C=0.1 -- python train.py
      kamld run -i raw=digits@v1 -o dataset:features:out/ -- Rscript features.R
      kamld run -i digits -- sh -c 'ls $KAMLD_INPUT_DIGITS | wc -l'
    """
    app = door.app
    request = Request(
        command=command_words, project=app.project, author=app.author, folder=app.folder,
        variables=app.environment, inputs=inputs, outputs=outputs, params=params, name=name,
    )  # fmt: skip
    audience = _Audience(quiet=as_json)
    with open_runner(app, make=True) as runner:
        outcome = runner.run(request, audience)
    audience.end_line()
    if as_json:
        render.json_value(run_json(outcome.run))
        return outcome.exit_status
    _show(outcome)
    if outcome.failure:
        raise outcome.failure
    return 0


class _Audience:
    """Tells a person what goes on; with `quiet` only what is unusual, on stderr."""

    def __init__(self, *, quiet: bool) -> None:
        self._quiet = quiet
        self._last: Stream = "stdout"
        self._within_line = False  # the command has not ended its line yet
        self._untold: dict[str, Metric] = {}

    def closed(self, closed: Closed) -> None:
        if closed.run:
            render.note(f"Run {closed.run.number}, whose process had died, is closed: {closed.run.state}.")
        elif closed.error:
            render.note(f"A run in {closed.folder} cannot be closed yet: {closed.error}")

    def prepared(self, files: int, size: int) -> None:
        pass

    def begun(self, begun: Begun) -> None:
        if not self._quiet:
            params = "  ".join(f"{key}={value}" for key, value in begun.plan.job.params.items())
            render.say(f"{click.style(begun.plan.name, bold=True)}  {params}".rstrip())
            rows = [
                ("in", f"{name.said}@{short(one.commit)}", f"→ ${variable}", f"({how})")
                for one, variable, how in begun.inputs
                for name in [Name(one.project, one.name)]
            ]
            render.table(rows, indent="  ")
        for note in begun.notes:
            render.note(f"  note  {note}")

    def wrote(self, stream: Stream, data: bytes) -> None:
        target = sys.stderr if stream == "stderr" or self._quiet else sys.stdout
        target.flush()
        target.buffer.write(data)
        target.buffer.flush()
        self._last = stream
        self._within_line = not data.endswith(b"\n")
        self._tell_metrics()

    def end_line(self) -> None:
        """The command's last line may have no end; ours begin on a new one."""
        if self._within_line:
            (render.note if self._last == "stderr" or self._quiet else render.say)("")

    def logged(self, points: tuple[Metric, ...]) -> None:
        self._untold |= {point.name: point for point in points}
        self._tell_metrics()

    def _tell_metrics(self) -> None:
        """A line of the newest values, as soon as the command is not in the middle of one."""
        if self._quiet or self._within_line or not self._untold:
            return
        last, self._untold = list(self._untold.values()), {}
        shown = "  ".join(f"{m.name} {m.value:.4g}" for m in last[:_METRICS_SHOWN])
        step = max(point.step for point in last)
        render.say(click.style(f"  log   {f'step {step}  ' if step else ''}{shown}", dim=True))

    def stopping(self, how: Stop) -> None:
        render.note(_STOPPING[how])

    def kept(self, files: int, size: int) -> None:
        pass


def _show(outcome: Outcome) -> None:
    run = outcome.run
    rows = []
    for landing in outcome.landings:
        output = landing.output
        version = f"v{landing.version}" if landing.version else ""
        where = "" if landing.branch == "main" else f"kept as branch {landing.branch}"
        what = f"{render.files(landing.files)}, {render.size(landing.bytes)}"
        name = Name(output.project, output.name).said
        rows.append(("out", f"{name} {version}".strip(), render.commit_id(output.commit), what, where))
    render.table(rows, indent="  ")
    took = render.duration(render.seconds_between(run.started, run.ended))
    metrics = "  ".join(f"{key} {value:.4g}" for key, value in run.metrics.items())
    render.say(f"{click.style(f'run {run.number}', bold=True)}  {run.state} in {took}   {metrics}".rstrip())
