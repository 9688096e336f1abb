"""`kamld alias`: a name that may move from version to version."""

import click

from kamld.cli import refs
from kamld.cli.context import Door, json_option, pass_door


@click.command("alias")
@click.argument("name", required=False, metavar="[NAME[@REVISION]]")
@click.argument("alias", required=False)
@click.option("--remove", is_flag=True, help="Remove the alias; its commit stays.")
@json_option
@pass_door
def command(door: Door, name: str | None, alias: str | None, remove: bool, as_json: bool) -> None:
    """Give a version a name that may move, such as champion, or list those there are.

    \b
    Examples:
      kamld alias digits-net                  which there are
      kamld alias                             of the folder that you are in
      kamld alias digits-net@v2 champion
      kamld alias digits-net@90c2ab17 champion
      kamld alias digits-net champion --remove
    """
    refs.make_list_or_remove(door.app, "alias", name, alias, remove=remove, as_json=as_json)
