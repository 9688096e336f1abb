"""`kamld serving-process`: what `kamld deploy` starts in the background; nobody types it."""

from functools import partial
from importlib.metadata import version

import click

from kamld.app import serving as wired
from kamld.cli.context import Door, pass_door
from kamld.errors import UsageError
from kamld.serving.supervisor import supervise


@click.command("serving-process")
@click.option("--supervise", "as_supervisor", is_flag=True, help="Hold the address and keep a server alive.")
@click.option("--host", default="127.0.0.1")
@click.option("--port", default=0)
@click.option("--listener", type=int, help="File descriptor of the listening socket.")
@click.option("--lifeline", type=int, help="File descriptor that ends when the supervisor does.")
@pass_door
def command(
    door: Door, as_supervisor: bool, host: str, port: int, listener: int | None, lifeline: int | None
) -> int:
    """Serve the hub's deployments until told to end.

    \b
    Examples:
      kamld deploy digits-net      starts it, and kamld stop ends it
    """
    app = door.app
    folder = wired.serving_folder(app)
    if as_supervisor:
        return supervise(folder, host=host, port=port, command=wired.process_command(app))
    if listener is None or lifeline is None:
        raise UsageError("usage", "This is started by kamld deploy.", "Use: kamld deploy NAME")
    from kamld.serving.server import Options, run

    settings = app.settings
    return run(
        folder=folder,
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
