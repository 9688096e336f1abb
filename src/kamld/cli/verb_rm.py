"""`kamld rm`: a dataset or model goes; `kamld undo` brings it back."""

import click

from kamld.changes.protecting import check_removable
from kamld.cli import render
from kamld.cli.context import Door, json_option, pass_door
from kamld.errors import UsageError


@click.command("rm")
@click.argument("name", metavar="NAME")
@json_option
@pass_door
def command(door: Door, name: str, as_json: bool) -> None:
    """Remove a dataset or model with all its versions. Asks nothing: kamld undo NAME brings it back.

    Folders that were checked out keep their files. What was made from it still says so (kamld why).
    A branch, tag or alias alone: kamld branch, tag or alias NAME WHICH --remove.

    \b
    Examples:
      kamld rm digits
      kamld undo digits                  all of it is back
    """
    app = door.app
    if "@" in name:
        label, _, word = name.partition("@")
        raise UsageError(
            "usage",
            f"kamld rm removes all of {label}.",
            f"A branch, tag or alias alone: kamld branch {label} {word} --remove",
        )
    dataset = app.dataset(name)
    check_removable(app.repository, dataset)
    app.repository.names.remove(dataset, author=app.author)
    if as_json:
        render.json_value({"id": dataset.id, "project": dataset.project, "name": dataset.name})
        return
    render.say(f"Removed {dataset.kind} {dataset.project}/{dataset.name}.")
    render.say(f"This brings it back: kamld undo {name}")
