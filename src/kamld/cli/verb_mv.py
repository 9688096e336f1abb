"""`kamld mv`: another name for a dataset or model."""

import click

from kamld.cli import render, views
from kamld.cli.context import Door, json_option, pass_door
from kamld.errors import UsageError
from kamld.records.names import Name, parse_name


@click.command("mv")
@click.argument("name", metavar="NAME")
@click.argument("new_name", metavar="NEW-NAME")
@json_option
@pass_door
def command(door: Door, name: str, new_name: str, as_json: bool) -> None:
    """Rename a dataset or model, or move it to another project: PROJECT/NEW-NAME.

    Its versions, branches, tags and numbers stay; folders that were checked out follow by themselves.
    The old name is free for something else.

    \b
    Examples:
      kamld mv digits handwritten
      kamld mv digits vision/digits      into the project "vision"
      kamld mv vision/digits digits      NEW-NAME alone: the project stays
    """
    app = door.app
    old = app.name(name)
    new = parse_name(new_name, old.project)
    if new == old:
        raise UsageError("usage", f"{old} has that name already.", "Give another: kamld mv --help")
    dataset = app.repository.names.rename(old, new, author=app.author)
    if as_json:
        before = {"old_project": old.project, "old_name": old.name}
        render.json_value({"id": dataset.id} | views.dataset_json(dataset) | before)
        return
    render.say(f"{old} is {click.style(str(Name(dataset.project, dataset.name)), bold=True)} now.")
    render.advise(f"To take that back: kamld mv {new} {old}")
