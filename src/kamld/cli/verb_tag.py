"""`kamld tag`: a name that stays with its version."""

import click

from kamld.cli import refs
from kamld.cli.context import Door, json_option, pass_door


@click.command("tag")
@click.argument("name", required=False, metavar="[NAME[@REVISION]]")
@click.argument("tag", required=False)
@click.option("--remove", is_flag=True, help="Remove the tag; its commit stays.")
@json_option
@pass_door
def command(door: Door, name: str | None, tag: str | None, remove: bool, as_json: bool) -> None:
    """Give a version a name that stays, or list those there are.

    \b
    Examples:
      kamld tag digits                        which there are
      kamld tag                               of the folder that you are in
      kamld tag digits@main~1 delivered
      kamld tag digits delivered --remove
    """
    refs.make_list_or_remove(door.app, "tag", name, tag, remove=remove, as_json=as_json)
