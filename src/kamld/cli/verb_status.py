"""`kamld status`: what changed in a folder."""

import os
from importlib import import_module
from pathlib import Path

import click

from kamld.cli import folder_views, render, views
from kamld.cli.context import Door, FolderName, existing_folder, json_option, pass_door
from kamld.cli.left_out import tell_left_out, tell_refused
from kamld.records.history import Dataset
from kamld.store import Change, Repository
from kamld.store.trees.entries import entries_of
from kamld.workspace import Binding, Status, find_binding, folder_status
from kamld.workspace.committing.standing import Standing, standing
from kamld.workspace.mounted import mount_of
from kamld.workspace.settle import bound_dataset


@click.command("status")
@click.argument("folder", type=FolderName(), default=".")
@click.option("--full", is_flag=True, help="Read every file, whatever its time and size say.")
@json_option
@pass_door
def command(door: Door, folder: Path, full: bool, as_json: bool) -> None:
    """Show what changed in FOLDER since its last commit.

    Files that were only renamed are told apart, and of changed tables of some megabytes how many rows
    changed; kamld diff looks into all.

    \b
    Examples:
      kamld status digits
      kamld status                 the folder you are in
      kamld status digits --full   trust nothing but the content
    """
    app = door.app
    top, binding = find_binding(existing_folder(app.folder, folder), app.of_binding)
    repository = app.of_binding(top, binding)
    status = folder_status(top, binding, repository, full=full)
    dataset = bound_dataset(repository, top, binding)
    if as_json:
        stands = standing(repository, dataset, binding)
        render.json_value(_json(dataset, top, binding, status, stands))
    else:
        _show(repository, dataset, top, binding, status, folder_views.name_of(top, app.folder, str(folder)))


def _json(
    dataset: Dataset, top: Path, binding: Binding, status: Status, stands: Standing
) -> dict[str, object]:
    return {
        **views.dataset_json(dataset), "folder": str(top), "branch": binding.branch or None,
        "commit": binding.commit, "head": stands.head, "standing": stands.how,
        "files": status.files, "bytes": status.bytes,
        "changes": [views.change_json(c) for c in status.changes],
        "renamed": [
            {"from": views.path_json(old), "to": views.path_json(new)} for old, new in status.renamed
        ],
        "purged": [render.path(entry.path) for entry in status.purged],
        "refused": [render.path(entry.path) for entry in status.refused],
        "ignored": [render.path(path) for path in status.ignored],
        "special": [render.path(os.fsencode(one)) for one in status.special],
        "apart": folder_views.apart_json(status.apart),
    }  # fmt: skip


def _show(
    repository: Repository, dataset: Dataset, top: Path, binding: Binding, status: Status, folder: str
) -> None:
    where = f"on {binding.branch}" if binding.branch else "on no branch"
    render.say(f"{dataset.said} {where}, {render.commit_id(binding.commit)}")
    if mount_of(top):
        render.say(f"  a mount, {'to be changed' if os.access(top, os.W_OK) else 'read-only'}")
    stands = standing(repository, dataset, binding)
    folder_views.tell_standing(stands, binding, None if mount_of(top) else folder)
    tell_left_out(repository.objects, entries_of(status.purged))
    tell_refused(repository.objects, status.refused)
    folder_views.tell_apart(status.apart)
    folder_views.tell_special(status.special)
    if status.special:
        render.say("A commit is refused until that is removed, or named in .kamldignore.")
    if not status.changes:
        what = f"{render.files(status.files)}, {render.size(status.bytes)}"
        rest = f" The next commit lists {len(status.purged):,} purged no more." if status.purged else ""
        nothing = "Nothing else has changed" if status.refused else "Nothing has changed"
        render.say(f"{nothing} ({what}).{rest}")
        return
    notes = _table_notes(repository, top, status.changes)
    views.show_changes(status.changes, notes, renamed=status.renamed, ignored=status.ignored)
    if status.refused:
        return
    if not binding.branch or stands.protected:
        render.advise(f'Commit to a new branch: kamld commit {folder} -b NEW -m "…"')
        return
    render.advise(f'Commit with: kamld commit {folder} -m "…"')


def _table_notes(repository: Repository, top: Path, changes: list[Change]) -> dict[bytes, str]:
    altered = any(change.old and change.new for change in changes)
    found: dict[bytes, str] = (
        import_module("kamld.cli.table_notes").notes(repository, top, changes) if altered else {}
    )
    return found
