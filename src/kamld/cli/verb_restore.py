"""`kamld restore`: files of a folder as they are in a version."""

import os
from pathlib import Path

import click

from kamld.cli import render, views
from kamld.cli.context import Door, existing_folder, json_option, pass_door
from kamld.cli.left_out import paths_left_out, tell_left_out
from kamld.errors import Invalid, UsageError
from kamld.records.names import Name, Reference, parse_revision
from kamld.store.trees import present
from kamld.store.trees.entries import entries_of
from kamld.workspace import find_binding, read_binding
from kamld.workspace.settle import bound_dataset
from kamld.workspace.switch import restore


@click.command("restore")
@click.argument("words", metavar="[FOLDER] PATH...", nargs=-1, required=True)
@click.option("--from", "revision", metavar="REVISION", help="Take them from there, not the last commit.")
@json_option
@pass_door
def command(door: Door, words: tuple[str, ...], revision: str | None, as_json: bool) -> None:
    """Have files or folders back as they are in the version that FOLDER comes from.

    What was changed or removed there since is replaced; new files stay. "." is all of the folder. PATH may be
    a pattern, of which there must be a file.

    \b
    Examples:
      kamld restore digits labels.csv              as last committed
      kamld restore digits 3 --from main~2         a whole folder, from two versions back
      kamld restore digits "**/*.csv"              by a pattern
      kamld restore labels.csv                     in the folder you are in
    """
    app = door.app
    if "" in words:
        raise UsageError("usage", "One of the names is empty.", "kamld restore --help")
    start, paths = app.folder, words
    if read_binding(app.folder / words[0]) is not None and Path(app.folder, words[0]).resolve() != app.folder:
        start, paths = existing_folder(app.folder, Path(words[0])), words[1:]
        if not paths:
            raise UsageError("usage", f"Which files of {words[0]}?", f"All of it: kamld restore {words[0]} .")
    top, binding = find_binding(_bound_above(start.resolve(), paths[0]), app.of_binding)
    repository = app.of_binding(top, binding)
    wanted = [_inside(top, start.resolve(), path) for path in paths]
    commit_id = binding.commit
    if revision is not None:
        dataset = bound_dataset(repository, top, binding)
        name = Name(dataset.project, dataset.name)
        commit_id = repository.resolve(Reference(name, parse_revision(revision))).commit_id
    with render.progress("Writing") as advance:
        asked = restore(repository, top, wanted, commit_id, progress=advance)
    brought = entries_of([change.new for change in asked if change.new])
    gone = set(present(repository.objects, brought)[1])
    changes = [change for change in asked if change.path not in gone]
    if as_json:
        rows = [views.change_json(change) for change in changes]
        left_out = paths_left_out(repository.objects, brought)
        shape = {"folder": str(top), "branch": binding.branch or None, "commit": commit_id}
        of = views.dataset_json(bound_dataset(repository, top, binding))
        render.json_value(of | shape | {"changes": rows, "purged": left_out})
        return
    tell_left_out(repository.objects, brought)
    if gone and not changes:
        return
    if not changes:
        render.say(f"Nothing differs from {render.commit_id(commit_id)} there.")
        return
    views.show_changes(changes)
    render.say(f"As in {render.commit_id(commit_id)} again: {render.files(len(changes))}.")


def _bound_above(start: Path, path: str) -> Path:
    """The folder below `start` that the path is in and that is bound, as status finds it; else `start`."""
    full = Path(os.path.normpath(start / path))
    below = [above for above in full.parents if above.is_relative_to(start) and above != start]
    return next((above for above in below if read_binding(above) is not None), start)


def _inside(top: Path, start: Path, path: str) -> bytes:
    """The path within the version; empty for all of it. Raises Invalid (outside)."""
    full = os.path.normpath(start / path)
    if full != str(top) and not full.startswith(f"{top}{os.sep}"):
        raise Invalid("outside", f"{path} is not in {top}.", "Name files of one folder.")
    return os.fsencode(full)[len(os.fsencode(top)) + 1 :]
