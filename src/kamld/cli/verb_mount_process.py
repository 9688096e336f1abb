"""`kamld mount-process`: what `kamld mount` starts; nobody types it."""

from pathlib import Path

import click

from kamld.app.mount_serving import serve_mount
from kamld.cli import render
from kamld.cli.context import Door, FolderName, json_option, pass_door


@click.command("mount-process")
@click.argument("name", metavar="NAME@REVISION")
@click.argument("folder", type=FolderName())
@click.option("--write", is_flag=True, help="Let it be written to.")
@click.option("--made", is_flag=True, help="The folder was made for it, and goes with it.")
@json_option
@pass_door
def command(door: Door, name: str, folder: Path, write: bool, made: bool, as_json: bool) -> None:
    """Serve a mount until it is unmounted.

    \b
    Examples:
      kamld mount digits photos      starts it, and kamld umount photos ends it
    """
    app = door.app

    def ready() -> None:
        if not as_json:
            render.advise(f"{folder} is there. Ctrl-C or kamld umount ends it.")

    reference = app.reference(name)
    serve_mount(
        app, app.resolve(name), str(reference.revision), folder, writable=write, made=made, ready=ready
    )
    if made:
        folder.rmdir()
    if not as_json:
        render.say(f"{folder} is unmounted.")
