"""`kamld show`: one version and all that is known about it."""

from typing import Any

import click

from kamld.app import App
from kamld.cli import render, views
from kamld.cli.context import Door, json_option, pass_door
from kamld.records.history import Commit
from kamld.store.refs.revisions import Resolved
from kamld.store.trees import Change, diff


@click.command("show")
@click.argument("name", metavar="NAME[@REVISION]")
@json_option
@pass_door
def command(door: Door, name: str, as_json: bool) -> None:
    """Show one version: who made it, when and from what, its names, and what it changed.

    \b
    Examples:
      kamld show digits
      kamld show digits@main~1
      kamld show digits-net@v2 --json
    """
    app = door.app
    resolved = app.resolve(name)
    names, changes = _names(app, resolved), _changes(app, resolved.commit)
    tree = app.repository.tree(resolved.commit)
    if as_json:
        shown: dict[str, Any] = views.commit_json(resolved.commit_id, resolved.commit)
        about = {"names": names, "files": tree.count, "bytes": tree.size}
        render.json_value(shown | about | {"changes": [views.change_json(change) for change in changes]})
        return
    dataset, commit = resolved.dataset, resolved.commit
    subject, _, rest = commit.message.partition("\n")
    render.say(f"{dataset.project}/{dataset.name}  {render.commit_id(resolved.commit_id)}  {subject}")
    for line in rest.strip().splitlines():
        render.say(f"  {line}")
    rows = [
        ("", "names", ", ".join(names)),
        ("", "made", f"{render.ago(commit.time)} by {commit.author}"),
        ("", "files", f"{render.files(tree.count)}, {render.size(tree.size)}"),
        ("", "before", ", ".join(map(render.commit_id, commit.parents))),
        ("", "from", _source(commit)),
    ]
    render.table([row for row in rows if row[2]])
    if commit.parents:
        render.say(f"Changed since {render.commit_id(commit.parents[0])}: {views.change_counts(changes)}")
        views.show_changes(changes)
    render.say(f"Get it: kamld checkout {dataset.name}@{resolved.commit_id[:12]} FOLDER")


def _names(app: App, resolved: Resolved) -> list[str]:
    """What else this version is called: branches, tags, aliases, a model's number."""
    refs = app.repository.live_refs(resolved.dataset)
    found = [ref.name for ref in refs if ref.commit == resolved.commit_id]
    number = app.repository.refs.version_of(resolved.dataset, resolved.commit_id)
    return [f"v{number}", *found] if number else found


def _changes(app: App, commit: Commit) -> list[Change]:
    """Since its first parent; none for a first version, whose files are all new."""
    if not commit.parents:
        return []
    before = app.repository.tree(app.repository.commit(commit.parents[0]))
    return diff(before, app.repository.tree(commit))


def _source(commit: Commit) -> str:
    """What its files were made of: a run, another dataset, a place elsewhere."""
    said = []
    if commit.run:
        said.append(f"run {commit.run[:12]}")
    if commit.origin:
        origin = commit.origin
        said.append(f"{origin.project}/{origin.name} {render.commit_id(origin.commit)}")
    if commit.imported:
        said.append(commit.imported.source)
    return ", ".join(said)
