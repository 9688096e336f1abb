"""`kamld resolve`: decide about one conflict of a merge that waits."""

import os
from pathlib import Path

import click

from kamld.app.checks import check_room
from kamld.changes.merging import resolve
from kamld.cli.context import Door, json_option, pass_door
from kamld.cli.here import meant
from kamld.cli.merge_views import show_outcome
from kamld.errors import NotFound, UsageError


@click.command("resolve")
@click.argument("words", metavar="[NAME] PATH", nargs=-1, required=True)
@click.option("--into", "branch", metavar="BRANCH", help="The branch that is merged into.  [main]")
@click.option("--row", metavar="KEY", default="", help="Only this row of the table at PATH.")
@click.option("--ours", is_flag=True, help="Keep what the branch has there.")
@click.option("--theirs", is_flag=True, help="Take what comes in.")
@click.option("--file", metavar="FILE", type=click.Path(path_type=Path), help="Take this file instead.")
@json_option
@pass_door
def command(
    door: Door, words: tuple[str, ...], branch: str | None, row: str, ours: bool, theirs: bool,
    file: Path | None, as_json: bool,
) -> int:  # fmt: skip
    """Decide a conflict of the merge that waits, or with a folder or a pattern as PATH all that are in it.
    The last decision lands the merge. Without --into it is the one into main, or else the only one.

    A decision may be made anew until then. One counts for as long as both sides still have at PATH,
    or in the row, what they had. Where the rows of a table go together but for some, a side is about
    those; what else both changed in it stays.

    \b
    Examples:
      kamld merge digits                              what there is to decide
      kamld resolve digits "photos/**/*.png" --ours
      kamld resolve labels.csv --theirs               of the folder that you are in
      kamld resolve digits labels.csv --row 0/b.png --theirs
      kamld resolve digits labels.csv --ours          its other rows
      kamld resolve digits labels.csv --file by-hand.csv
    """
    if ours + theirs + (file is not None) != 1:
        raise UsageError("usage", "How? One of --ours, --theirs and --file FILE.", "kamld resolve --help")
    if row and file:
        raise UsageError("usage", "A file is taken whole: --row goes with --ours or --theirs.")
    if len(words) > 2:
        raise UsageError("usage", "One PATH at a time, which may be a pattern.", "kamld resolve --help")
    path = words[-1]
    app, name = meant(door.app, words[0] if len(words) == 2 else None, whole=True)
    decision = "ours" if ours else "theirs" if theirs else str(_found(app.folder, file))
    dataset = app.dataset(name)
    outcome = resolve(
        app.repository, dataset, branch, os.fsencode(path.strip("/")), decision, author=app.author,
        row=row, room=check_room(app),
    )  # fmt: skip
    return show_outcome(app.repository, dataset, outcome, as_json=as_json)


def _found(folder: Path, given: Path | None) -> Path:
    """In full, so that it is never one of the two words."""
    place = Path(folder, given or "")
    if not place.is_file():
        raise NotFound("no_such_file", f"There is no file {given}.", "Name a file that is there.")
    return place.absolute()
