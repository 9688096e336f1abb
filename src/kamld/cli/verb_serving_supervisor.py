"""`kamld serving-supervisor`: what `kamld deploy` starts in the background; nobody types it."""

import click

from kamld.app import serving as wired
from kamld.cli.context import Door, pass_door
from kamld.serving.supervisor import supervise


@click.command("serving-supervisor")
@click.option("--host", default="127.0.0.1", help="Address to listen on.")
@click.option("--port", default=0, help="Port to listen on; 0: 8787, or the next one that is free.")
@click.argument("server", nargs=-1, type=click.UNPROCESSED, required=True, metavar="-- SERVER COMMAND")
@pass_door
def command(door: Door, host: str, port: int, server: tuple[str, ...]) -> int:
    """Hold the address of the hub's deployments and keep a server alive on it.

    \b
    Examples:
      kamld deploy digits-net      starts it, and kamld stop ends it
    """
    return supervise(wired.serving_folder(door.app), host=host, port=port, command=server)
