"""`kamld serving-process`: the server that the supervisor keeps alive; nobody types it."""

from functools import partial
from importlib.metadata import version

import click

from kamld.app import serving as wired
from kamld.cli.context import Door, pass_door
from kamld.serving.server import Options, run


@click.command("serving-process")
@click.option("--listener", type=int, required=True, help="File descriptor of the listening socket.")
@click.option("--lifeline", type=int, required=True, help="File descriptor that ends with the supervisor.")
@pass_door
def command(door: Door, listener: int, lifeline: int) -> int:
    """Serve the hub's deployments until told to end.

    \b
    Examples:
      kamld deploy digits-net      starts it, and kamld stop ends it
    """
    app = door.app
    settings = app.settings
    return run(
        folder=wired.serving_folder(app),
        predictions=wired.predictions_folder(app),
        listener=listener,
        lifeline=lifeline,
        events=partial(wired.events, app),
        model_folder=partial(wired.model_folder, app),
        options=Options(
            request_mb=settings.request_mb, log_outputs=settings.log_outputs, threads=settings.threads
        ),
        version=version("kamld"),
    )
