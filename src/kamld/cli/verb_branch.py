"""`kamld branch`: make, list or remove branches."""

import click

from kamld.cli import refs
from kamld.cli.context import Door, json_option, pass_door


@click.command("branch")
@click.argument("name", metavar="NAME[@REVISION]")
@click.argument("branch", required=False)
@click.option("--remove", is_flag=True, help="Remove the branch; its commits stay.")
@json_option
@pass_door
def command(door: Door, name: str, branch: str | None, remove: bool, as_json: bool) -> None:
    """Make BRANCH at a version, or list the branches. Takes the same time for any size.

    \b
    Examples:
      kamld branch digits                     which there are
      kamld branch digits clean               a new one at the newest version
      kamld branch digits@main~3 retry
      kamld branch digits clean --remove
    """
    refs.make_list_or_remove(door.app, "branch", name, branch, remove=remove, as_json=as_json)
