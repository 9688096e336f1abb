"""`kamld serving-process`: the server that the supervisor keeps alive; nobody types it."""

from functools import partial
from importlib.metadata import version

import click

from kamld.app import serving as wired
from kamld.cli import render
from kamld.cli.context import Door, pass_door
from kamld.serving.server import Options, run


@click.command("serving-process")
@click.option("--listener", type=int, required=True, help="File descriptor of the listening socket.")
@click.option("--lifeline", type=int, required=True, help="File descriptor that ends with the supervisor.")
@click.option("--threads", type=int, required=True, help="Threads of each model; 0: one a core.")
@click.option("--request-mb", type=int, required=True, help="Largest request that is accepted, in MB.")
@click.option("--log-outputs/--no-log-outputs", required=True, help="Keep summaries of answers in the log.")
@pass_door
def command(
    door: Door, listener: int, lifeline: int, threads: int, request_mb: int, log_outputs: bool
) -> int:
    """Serve the hub's deployments until told to end.

    \b
    Examples:
      kamld deploy digits-net      starts it, and kamld stop ends it
    """
    app = door.app
    return run(
        folder=wired.serving_folder(app),
        predictions=wired.predictions_folder(app),
        listener=listener,
        lifeline=lifeline,
        events=partial(wired.events, app, render.note),
        model_folder=partial(wired.model_folder, app),
        options=Options(request_mb=request_mb, log_outputs=log_outputs, threads=threads),
        version=version("kamld"),
    )
