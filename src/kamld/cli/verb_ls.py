"""`kamld ls`: the datasets and models of the hub, or the files of a version."""

import os

import click

from kamld.cli import render, views
from kamld.cli.context import Door, json_option, pass_door
from kamld.errors import NotFound
from kamld.store.trees import EXECUTABLE, FILE, FOLDER, SYMLINK, Entries

_KINDS = {FILE: "file", EXECUTABLE: "executable", SYMLINK: "link", FOLDER: "folder"}
_MARKS = {EXECUTABLE: "*", SYMLINK: "@", FOLDER: "/"}


@click.command("ls")
@click.argument("name", required=False, metavar="[NAME[@REVISION][:PATH]]")
@click.option("-r", "--recursive", is_flag=True, help="Files in folders below too.")
@json_option
@pass_door
def command(door: Door, name: str | None, recursive: bool, as_json: bool) -> None:
    """List the datasets and models there are, or the files of a version.

    \b
    Examples:
      kamld ls
      kamld ls digits
      kamld ls digits@main~1:3
      kamld ls digits -r
    """
    if name is None:
        _names(door, as_json)
    else:
        _files(door, name, recursive, as_json)


def _names(door: Door, as_json: bool) -> None:
    repository = door.app.repository
    rows, shown = [], []
    for dataset in repository.names.all():
        ref = repository.refs.find(dataset, "main")
        if not ref or not ref.commit:
            continue
        commit = repository.commit(ref.commit)
        tree = repository.tree(commit)
        shown.append(
            {
                "project": dataset.project, "name": dataset.name, "kind": dataset.kind,
                "commit": ref.commit, "time": commit.time, "files": tree.count, "bytes": tree.size,
            }
        )  # fmt: skip
        version = f"v{ref.last.version}" if ref.last.version else ""
        rows.append(
            (f"{dataset.project}/{dataset.name}", dataset.kind, version, render.commit_id(ref.commit),
             render.files(tree.count), render.size(tree.size), render.ago(commit.time),
             commit.message.splitlines()[0] if commit.message else "")
        )  # fmt: skip
    if as_json:
        render.json_value(shown)
        return
    render.table(rows, right=(4, 5))
    if not rows:
        render.say("Nothing here yet. kamld commit FOLDER makes the first dataset.")


def _files(door: Door, name: str, recursive: bool, as_json: bool) -> None:
    app = door.app
    reference = app.reference(name)
    resolved = app.repository.resolve(reference)
    path = os.fsencode(reference.path.strip("/"))
    entries = app.repository.tree(resolved.commit).under(path)
    if path and not len(entries):
        raise NotFound("unknown_path", f'There is no "{reference.path}" in {name.partition(":")[0]}.')
    if as_json:
        render.json_value(
            [
                {**views.path_json(row.path), "kind": _KINDS[row.kind], "size": row.size, "id": row.id.hex()}
                for row in entries.rows()
            ]
        )
        return
    render.table(_lines(entries, path, recursive), right=(0,))


def _lines(entries: Entries, path: bytes, recursive: bool) -> list[tuple[str, str, str]]:
    """Files with size and mark; folders below as one line with their count unless `recursive`."""
    top = len(path) + 1 if path and entries.paths != [path] else 0
    files, folders = [], dict[bytes, list[int]]()
    for row in entries.rows():
        folder, slash, _ = row.path[top:].partition(b"/")
        if slash and not recursive:
            folders.setdefault(folder, []).append(row.size)
        else:
            shown = render.path(row.path[top:]) + _MARKS.get(row.kind, "")
            files.append((render.size(row.size), shown, ""))
    there = [
        (render.size(sum(sizes)), f"{render.path(folder)}/", render.files(len(sizes)))
        for folder, sizes in folders.items()
    ]
    return there + files
