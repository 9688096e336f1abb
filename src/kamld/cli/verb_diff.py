"""`kamld diff`: what differs between two versions, or between a folder and its last commit."""

import difflib
import os
from pathlib import Path

import click

from kamld.cli import render, views
from kamld.cli.context import Door, existing_folder, json_option, pass_door
from kamld.errors import UsageError
from kamld.records.history import Commit
from kamld.store import Change, Repository
from kamld.store.trees import EXECUTABLE, FILE, Entry, diff
from kamld.workspace import find_binding, folder_status

_TEXT_MAX = 1_000_000  # bytes of a file whose lines are compared
_LINES_MAX = 40  # of one file's comparison that are shown


@click.command("diff")
@click.argument("versions", nargs=-1, metavar="[NAME[@OLD] [[NAME]@NEW]] | [FOLDER]")
@click.option("-p", "--patch", is_flag=True, help="Show the changed lines of text files too.")
@json_option
@pass_door
def command(door: Door, versions: tuple[str, ...], patch: bool, as_json: bool) -> None:
    """Show what differs: a folder from its last commit, a version from the one before, or two versions.

    \b
    Examples:
      kamld diff digits                    the folder and its last commit
      kamld diff digits@v1 digits@main     two versions
      kamld diff digits@main~1 @main -p    the same name, with changed lines
      kamld diff digits@main               a version and the one before it
    """
    if len(versions) > 2:
        raise UsageError("usage", "Two versions at most.", "kamld diff --help has examples.")
    app = door.app
    named = Path(versions[0] if versions else ".")
    if len(versions) < 2 and Path(app.folder, named).is_dir():
        top, binding = find_binding(existing_folder(app.folder, named), app.of_binding)
        repository = app.of_binding(top, binding)
        changes = folder_status(top, binding, repository).changes
        title = f"{binding.name}: {render.commit_id(binding.commit)} → {versions[0] if versions else '.'}"
        _show(repository, changes, title, top if patch else None, patch, as_json)
        return
    repository, title, changes = _between(door, versions)
    _show(repository, changes, title, None, patch, as_json)


def _between(door: Door, versions: tuple[str, ...]) -> tuple[Repository, str, list[Change]]:
    app = door.app
    if len(versions) == 2:
        old = app.resolve(versions[0])
        second = versions[1]
        name = versions[0].partition("@")[0].partition(":")[0]
        new = app.resolve(name + second if second.startswith("@") else second)
        title = f"{old.dataset.name} {render.commit_id(old.commit_id)} → {render.commit_id(new.commit_id)}"
        return app.repository, title, _diff(app.repository, old.commit, new.commit)
    new = app.resolve(versions[0])
    parent = new.commit.parents[0] if new.commit.parents else None
    before = app.repository.commit(parent) if parent else None
    came_from = render.commit_id(parent) if parent else "nothing"
    title = f"{new.dataset.name} {came_from} → {render.commit_id(new.commit_id)}"
    return app.repository, title, _diff(app.repository, before, new.commit)


def _diff(repository: Repository, old: Commit | None, new: Commit) -> list[Change]:
    return diff(repository.tree(old) if old else None, repository.tree(new))


def _show(
    repository: Repository,
    changes: list[Change],
    title: str,
    folder: Path | None,
    patch: bool,
    as_json: bool,
) -> None:
    if as_json:
        render.json_value([views.change_json(change) for change in changes])
        return
    render.say(f"{title}   {views.change_counts(changes)}")
    views.show_changes(changes)
    if patch:
        for change in changes:
            _show_lines(repository, change, folder)


def _show_lines(repository: Repository, change: Change, folder: Path | None) -> None:
    old = _lines(repository, change.old, None)
    new = _lines(repository, change.new, folder / os.fsdecode(change.path) if folder else None)
    if old is None or new is None:
        return
    name = render.path(change.path)
    found = list(difflib.unified_diff(old, new, f"{name} before", f"{name} now", n=1, lineterm=""))
    for line in found[:_LINES_MAX]:
        colour = {"+": "green", "-": "red", "@": "cyan"}.get(line[:1])
        render.say(click.style(line, fg=colour) if colour else line)
    if len(found) > _LINES_MAX:
        render.say(f"… {len(found) - _LINES_MAX} more lines")


def _lines(repository: Repository, entry: Entry | None, path: Path | None) -> list[str] | None:
    """None: no text that could be compared."""
    if entry is None:
        return []
    if entry.kind not in (FILE, EXECUTABLE) or entry.size > _TEXT_MAX:
        return None
    try:
        data = path.read_bytes() if path else repository.objects.read(entry.id)
        return None if b"\0" in data else data.decode("utf-8").splitlines()
    except (UnicodeDecodeError, FileNotFoundError):  # no text, or removed since it was looked at
        return None
