"""`kamld rm`: a dataset or model goes; `kamld undo` brings it back."""

from shlex import quote

import click

from kamld.app import App
from kamld.changes.protecting import check_removable
from kamld.cli import render, views
from kamld.cli.context import Door, json_option, pass_door
from kamld.errors import UsageError
from kamld.records.names import MAIN


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
        raise UsageError("usage", f"kamld rm removes all of {label}.", _instead(app, label, word))
    dataset = app.dataset(name)
    check_removable(app.repository, dataset)
    app.repository.names.remove(dataset, author=app.author)
    if as_json:
        render.json_value({"id": dataset.id, **views.dataset_json(dataset)})
        return
    render.say(f"Removed {dataset.kind} {dataset.project}/{dataset.name}.")
    render.advise(f"This brings it back: kamld undo {dataset.said}")
    render.say("Folders of it keep their files, and stay bound to it: rm -r FOLDER/.kamld lets one go.")


def _instead(app: App, label: str, word: str) -> str:
    """The command for what was perhaps meant."""
    there = app.repository.refs.find(app.dataset(label), word)
    if word == MAIN or there is None or there.commit is None:
        return f"If you mean that: kamld rm {label}"
    return f"That {there.kind} alone: kamld {there.kind} {label} {quote(word)} --remove"
