"""`kamld status`: what changed in a folder."""

from pathlib import Path
from shlex import quote

import click

from kamld.cli import render, views
from kamld.cli.context import Door, FolderName, existing_folder, json_option, pass_door
from kamld.workspace import find_binding, folder_status
from kamld.workspace.settle import bound_dataset


@click.command("status")
@click.argument("folder", type=FolderName(), default=".")
@json_option
@pass_door
def command(door: Door, folder: Path, as_json: bool) -> None:
    """Show what changed in FOLDER since its last commit.

    \b
    Examples:
      kamld status digits
      kamld status                 the folder you are in
    """
    app = door.app
    top, binding = find_binding(existing_folder(app.folder, folder), app.of_binding)
    repository = app.of_binding(top, binding)
    status = folder_status(top, binding, repository)
    if as_json:
        render.json_value(
            {
                "project": binding.project, "name": binding.name, "branch": binding.branch or None,
                "commit": binding.commit, "changes": [views.change_json(c) for c in status.changes],
            }
        )  # fmt: skip
        return
    where = f"on {binding.branch}" if binding.branch else "on no branch"
    render.say(f"{binding.name} {where}, {render.commit_id(binding.commit)}")
    dataset = bound_dataset(repository, top, binding)
    ref = repository.refs.find(dataset, binding.branch) if binding.branch else None
    if ref and ref.commit and ref.commit != binding.commit:
        render.say(f"  {binding.branch} has moved on to {render.commit_id(ref.commit)}; a commit merges.")
    if not status.changes:
        render.say(f"Nothing has changed ({render.files(status.files)}, {render.size(status.bytes)}).")
        return
    views.show_changes(status.changes)
    if not binding.branch:
        render.say(f"To commit, make a branch here: kamld switch {quote(str(folder))} NEW-BRANCH -c")
        return
    render.say(f'Commit with: kamld commit {quote(str(folder))} -m "…"')
