"""`kamld logs`: what a run printed."""

import sys

import click

from kamld.catalog.naming import find_run
from kamld.cli.context import Door, pass_door


@click.command("logs")
@click.argument("run")
@click.option("--stderr", is_flag=True, help="What it wrote to stderr, not stdout.")
@pass_door
def command(door: Door, run: str, stderr: bool) -> None:
    """Print what a run printed, byte for byte.

    \b
    Examples:
      kamld logs 2
      kamld logs 2 --stderr
    """
    app = door.app
    found = find_run(app.repository, run.removeprefix("run:"), project=app.project)
    kept = found.stderr if stderr else found.stdout
    if kept:
        for piece in app.repository.objects.stream(bytes.fromhex(kept)):
            sys.stdout.buffer.write(piece)
