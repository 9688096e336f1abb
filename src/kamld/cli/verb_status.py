"""`kamld status`: what changed in a folder."""

import os
from pathlib import Path
from shlex import quote

import click

from kamld.changes.compare import Wanted, compare_change
from kamld.cli import diff_views, render, views
from kamld.cli.context import Door, FolderName, existing_folder, json_option, pass_door
from kamld.formats.tables import SUFFIXES
from kamld.records.history import Dataset
from kamld.store import Change, Repository
from kamld.workspace import Binding, Status, find_binding, folder_status
from kamld.workspace.mounted import mount_of
from kamld.workspace.settle import bound_dataset

_LOOKED_INTO = 4_000_000  # bytes of changed tables that are compared by rows, smallest first


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
        render.json_value(_json(dataset, binding, status))
    else:
        _show(repository, dataset, top, binding, status, str(folder))


def _json(dataset: Dataset, binding: Binding, status: Status) -> dict[str, object]:
    return {
        "project": dataset.project, "name": dataset.name, "branch": binding.branch or None,
        "commit": binding.commit, "changes": [views.change_json(c) for c in status.changes],
        "renamed": [
            {"from": views.path_json(old), "to": views.path_json(new)} for old, new in status.renamed
        ],
    }  # fmt: skip


def _show(
    repository: Repository, dataset: Dataset, top: Path, binding: Binding, status: Status, folder: str
) -> None:
    where = f"on {binding.branch}" if binding.branch else "on no branch"
    render.say(f"{dataset.name} {where}, {render.commit_id(binding.commit)}")
    if mount_of(top):
        render.say(f"  a mount, {'to be changed' if os.access(top, os.W_OK) else 'read-only'}")
    ref = repository.refs.find(dataset, binding.branch) if binding.branch else None
    if ref and ref.commit and ref.commit != binding.commit:
        render.say(f"  {binding.branch} has moved on to {render.commit_id(ref.commit)}; a commit merges.")
        if not mount_of(top):
            render.say(f"  Bring it here: kamld switch {quote(folder)} {quote(binding.branch)}")
    if not status.changes:
        render.say(f"Nothing has changed ({render.files(status.files)}, {render.size(status.bytes)}).")
        return
    views.show_changes(status.changes, _tables(repository, top, status.changes), renamed=status.renamed)
    if not binding.branch or (ref and ref.protection):
        render.say(f'Commit to a new branch: kamld commit {quote(folder)} -b NEW -m "…"')
        return
    render.say(f'Commit with: kamld commit {quote(folder)} -m "…"')


def _tables(repository: Repository, top: Path, changes: list[Change]) -> dict[bytes, str]:
    """What is said about changed tables that are small."""
    altered = [change for change in changes if change.old and change.new]
    if len(altered) > views.LISTED:  # they are only counted
        return {}
    tables = [(_size(c), c) for c in altered if c.path.lower().endswith(_SUFFIXES)]
    left, notes = _LOOKED_INTO, {}
    for size, change in sorted(tables, key=lambda one: one[0]):
        left -= size
        found = compare_change(repository, change, top, Wanted(rows=0)) if left >= 0 else None
        if found:
            notes[change.path] = diff_views.summary(found, views.sizes(change), lines=False)
    return notes


def _size(change: Change) -> int:
    return sum(entry.size for entry in (change.old, change.new) if entry)


_SUFFIXES = tuple(suffix.encode() for suffix in SUFFIXES)
