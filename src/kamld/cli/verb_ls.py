"""`kamld ls`: the datasets and models of the hub, or the files of a version, in pages."""

import os
import sys
from collections.abc import Iterator
from itertools import islice
from typing import Any

import click

from kamld.cli import render, views
from kamld.cli.context import Door, json_option, limit_option, pass_door
from kamld.cli.left_out import left_elsewhere
from kamld.cli.paths import Place, find_place, shell_word, typed
from kamld.errors import UsageError
from kamld.reading.choose import no_such, pattern_of
from kamld.reading.files import KINDS
from kamld.records.kinds import EXECUTABLE, FILE, FOLDER, SYMLINK
from kamld.store import Objects
from kamld.store.trees.entries import Entry

PAGE = 1000  # lines of a page on a terminal
_LOST = 5  # names that are shown
_MARKS = {EXECUTABLE: "*", SYMLINK: "@", FOLDER: "/"}


@click.command("ls")
@click.argument("name", required=False, metavar="[NAME[@REVISION][:PATH]]")
@click.option(
    "-r", "--recursive/--no-recursive", default=None,
    help="Files in folders below too; with --json unless told not.",
)  # fmt: skip
@limit_option("List this many, and how to go on.")
@click.option("--after", metavar="ENTRY", help="Go on behind this one.")
@click.option("--all", "everything", is_flag=True, help=f"List all; a terminal gets pages of {PAGE:,}.")
@json_option
@pass_door
def command(
    door: Door, name: str | None, recursive: bool | None, limit: int | None, after: str | None,
    everything: bool, as_json: bool,
) -> None:  # fmt: skip
    """List the datasets and models there are, or the files of a version.

    PATH is a file, a folder or a pattern: * and ? within a folder, ** through any number of them. A
    page of a folder takes the same time however many files there are.

    \b
    Examples:
      kamld ls
      kamld --project vision ls
      kamld ls digits
      kamld ls digits@main~1:3
      kamld ls digits -r
      kamld ls "digits:**/*.csv"
      kamld ls digits:3 --limit 100 --after 0042.png
    """
    if name is None:
        if recursive is not None or limit or after is not None or everything:
            raise UsageError("usage", "These options are about files: name a dataset or model.")
        above = click.get_current_context().parent
        _names(door, above.params["project"] if above else None, as_json)
        return
    place = find_place(door.app, name)
    below = as_json if recursive is None else recursive
    page = limit or (PAGE if sys.stdout.isatty() and not (everything or as_json) else None)
    rows = _rows(place, below, os.fsencode(after or ""))
    if as_json:
        render.json_list(_rows_json(door.app.repository.objects, place, islice(rows, page), below))
    else:
        _show(door.app.repository.objects, place, rows, page, below, " -r" if recursive else "")


def _names(door: Door, project: str | None, as_json: bool) -> None:
    """Those of a project that was asked for, else all."""
    if door.app.is_new:
        _none_yet(door.app.settings.hub, as_json=as_json)
        return
    repository = door.app.repository
    rows, shown = [], []
    lost = list[str]()
    for dataset in repository.names.all():
        if project and dataset.project != project:
            continue
        ref = repository.refs.find(dataset, "main")
        if not ref:
            lost.append(dataset.said)
        if not ref or not ref.commit:
            continue
        commit = repository.commit(ref.commit)
        tree = repository.tree(commit)
        shown.append(
            {
                **views.dataset_json(dataset), "version": views.version_json(ref.last.version),
                "commit": ref.commit, "time": commit.time, "files": tree.count, "bytes": tree.size,
            }
        )  # fmt: skip
        version = f"v{ref.last.version}" if ref.last.version else ""
        rows.append(
            (f"{dataset.project}/{dataset.name}", dataset.kind, version, render.commit_id(ref.commit),
             render.files(tree.count), render.size(tree.size), render.ago(commit.time),
             commit.message.splitlines()[0] if commit.message else "")
        )  # fmt: skip
    if lost:
        shown_lost = ", ".join(lost[:_LOST]) + (", …" if len(lost) > _LOST else "")
        render.advise_aside(
            f"No version is known of {shown_lost}: lost, unless a first commit there was stopped or still"
            " goes on. Look: kamld fsck"
        )
    if as_json:
        render.json_value(shown)
        return
    render.table(rows, right=(4, 5), whole=(1, 2, 3, 6), spare=(7, 6, 1))
    if not rows and project:
        render.advise(f"Nothing in project {project} yet. kamld ls shows all projects.")
    elif not rows and not lost:
        render.advise("Nothing here yet. kamld commit FOLDER makes the first dataset.")


def _none_yet(place: str, *, as_json: bool) -> None:
    if as_json:
        render.json_value([])
    else:
        render.advise(f"Nothing here yet: there is no hub at {place}. kamld commit FOLDER makes it.")


def _rows(place: Place, below: bool, after: bytes) -> Iterator[Entry]:
    """What is listed, one after the other, read as it is asked for; `after` is as it was shown.

    Raises NotFound (unknown_path, no_match).
    """
    folders, path = place.folders, os.fsencode(place.path)
    if glob := pattern_of(folders, place.path):
        rows = folders.matching(glob, after)
    else:
        found = folders.find(path)
        if found is None:
            raise no_such(folders, place.path, place.where)
        if found.kind != FOLDER:
            rows = iter([] if after else [found])
        elif below:
            rows = folders.below(path, _joined(path, after) if after else b"")
        else:
            rows = folders.children(path, after)
    first = next(rows, None)
    if first is None and glob and not after:
        raise no_such(folders, place.path, place.where)
    if first:
        yield first
        yield from rows


def _show(
    objects: Objects, place: Place, rows: Iterator[Entry], page: int | None, below: bool, options: str
) -> None:
    """Lines of files with size and mark, folders with what is in them; then how to go on."""
    last, top, shown = None, _top(place), islice(rows, page)
    left, places = 0, set[str]()
    while some := list(islice(shown, PAGE)):
        render.table([_line(place, row, top, below) for row in some], right=(0,), whole=(2,))
        last = some[-1]
        count, where = left_elsewhere(objects, some)
        left, places = left + count, places | ({where} if count else set())
    if left:
        render.say(f"{render.files(left)} of these left in {', '.join(sorted(places))}; the hub has no copy.")
    if last and page and next(rows, None):
        name = shell_word(last.path[top:])
        asked = shell_word(os.fsencode(place.text)) + options
        render.say(f"… more with: {typed()} ls {asked} --limit {page} --after {name}")


def _line(place: Place, row: Entry, top: int, below: bool) -> tuple[str, str, str]:
    name = render.path(row.path[top:]) + _MARKS.get(row.kind, "")
    if row.kind != FOLDER:
        return render.size(row.size), name, ""
    count, size = place.folders.totals(row.path)
    return render.size(size), name, render.files(count) if count and not below else "empty"


def _top(place: Place) -> int:
    """How much of each path is not shown: the folder that is listed."""
    path = os.fsencode(place.path)
    found = None if pattern_of(place.folders, place.path) else place.folders.find(path)
    return len(path) + 1 if path and found and found.kind == FOLDER else 0


def _rows_json(
    objects: Objects, place: Place, rows: Iterator[Entry], below: bool
) -> Iterator[dict[str, Any]]:  # fmt: skip
    """Of files also whether they were left where they are, and the hub has no copy."""
    while some := list(islice(rows, PAGE)):
        left = set(objects.left([row.id for row in some if row.kind in (FILE, EXECUTABLE)]))
        for row in some:
            of_file = {"left_elsewhere": row.id in left} if row.kind in (FILE, EXECUTABLE) else {}
            yield _json(place, row, below) | of_file


def _json(place: Place, row: Entry, below: bool) -> dict[str, Any]:
    shown = {**views.path_json(row.path), "kind": KINDS.get(row.kind, "unknown")}
    if row.kind == FOLDER and not below:
        count, size = place.folders.totals(row.path)
        return {**shown, "size": size, "files": count}
    return {**shown, "size": row.size, "id": row.id.hex()}


def _joined(path: bytes, name: bytes) -> bytes:
    return path + b"/" + name if path else name
