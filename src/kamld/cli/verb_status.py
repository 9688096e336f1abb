"""`kamld status`: what changed in a folder."""

from pathlib import Path
from shlex import quote

import click

from kamld.cli import render, views
from kamld.cli.context import Door, FolderName, existing_folder, json_option, pass_door
from kamld.workspace import find_binding, folder_status


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
                "project": binding.project, "name": binding.name, "branch": binding.branch,
                "commit": binding.commit, "changes": [views.change_json(c) for c in status.changes],
            }
        )  # fmt: skip
        return
    render.say(f"{binding.name} on {binding.branch}, {render.commit_id(binding.commit)}")
    ref = repository.refs.find(repository.names.get(binding.full_name), binding.branch)
    if ref and ref.commit and ref.commit != binding.commit:
        render.say(f"  {binding.branch} has moved on to {render.commit_id(ref.commit)}; a commit merges.")
    if not status.changes:
        render.say(f"Nothing has changed ({render.files(status.files)}, {render.size(status.bytes)}).")
        return
    views.show_changes(status.changes)
    render.say(f'Commit with: kamld commit {quote(str(folder))} -m "…"')
