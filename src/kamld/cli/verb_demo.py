"""`kamld demo`: from a folder of pictures to a traced prediction."""

from pathlib import Path

import click

from kamld.cli.context import Door, FolderName, pass_door
from kamld.cli.demo.story import free_folder, new_story


@click.command("demo")
@click.option("--dir", "folder", type=FolderName(), help="Default: ./kamld-demo")
@pass_door
def command(door: Door, folder: Path | None) -> None:
    """See all of it at work: commit, split, train, serve, predict and ask why, in under a minute.

    It runs the real commands on real data and shows each. Everything stays in one folder with a hub
    of its own; nothing of yours is touched. Needs scikit-learn and skl2onnx: kamld[demo].

    \b
    Examples:
      kamld demo
      kamld demo --dir /tmp/digits-demo
    """
    app = door.app
    new_story(app.folder / folder if folder else free_folder(app.folder), app.environment).tell()
