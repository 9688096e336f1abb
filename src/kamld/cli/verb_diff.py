"""`kamld diff`: what differs between two versions, or between a folder and its last commit."""

from collections.abc import Sequence

import click
import msgspec

from kamld.app import App
from kamld.catalog.metrics import MetricChange, compare_metrics
from kamld.changes.compare import Comparison, Paths, Wanted, compare_change, text_of_one
from kamld.cli import diff_views, render, views
from kamld.cli.context import Door, json_option, key_option, pass_door
from kamld.cli.diff_sides import Compared, check_there, compared
from kamld.cli.views import plain
from kamld.errors import UsageError
from kamld.store import Change
from kamld.store.trees.entries import renamed

_UNASKED_MAX = 256_000_000  # bytes of a file that is looked into when nobody asked for more than a list
_THUMBNAIL = 128


@click.command("diff")
@click.argument(
    "versions", nargs=-1, metavar="[NAME[@OLD] [[NAME]@NEW]] [PATH]... | [FOLDER] [REVISION] [PATH]..."
)
@click.option("--patch", is_flag=True, help="Show details too: rows, arrays, lines of text.")
@click.option("--stat", is_flag=True, help="A line for every file, none counted by folder.")
@click.option("--metrics", "measured", is_flag=True, help="Only what was measured of two versions.")
@key_option("The columns that tell a table's rows apart.")
@json_option
@pass_door
def command(
    door: Door, versions: tuple[str, ...], patch: bool, stat: bool, measured: bool, key: tuple[str, ...],
    as_json: bool,
) -> None:  # fmt: skip
    """Show what differs: a folder from its last commit or any other version, a version from the one
    before, or two versions.

    A folder that is there is meant by its name, and is the newer side. A word behind it is a file or folder
    in it if there is one, else a revision; @REVISION is always one.

    Tables are compared by rows, models by arrays, pictures by pixels, texts by lines, all else by bytes;
    a file that only has another place is told as renamed. Of two versions of a model also what was measured
    of them, by the runs that made them and by those that took them in. With --json, what is inside files is
    told where --patch or --stat is given.

    \b
    Examples:
      kamld diff digits                    the folder and its last commit
      kamld diff digits @v1                the folder and another version
      kamld diff digits@v1 digits@main     two versions
      kamld diff digits@main~1 @main       the same name
      kamld diff digits@main               a version and the one before it
      kamld diff digits labels.csv --key file --patch
      kamld diff @main 3 labels.csv        in the folder you are in, some paths
      kamld diff digits-net@v1 @v2 --metrics
    """
    sides, paths = compared(door.app, versions)
    if measured:
        _show_metrics(door.app, sides, as_json=as_json)
        return
    check_there(sides, paths)
    asked_for = Paths(paths)
    changes = [change for change in sides.changes if asked_for.has(change.path)]
    wanted = Wanted(
        key=key or None,
        rows=5 if patch else 0,
        thumbnail=_THUMBNAIL if patch and as_json else 0,
    )
    asked = bool(patch or stat or key or paths)
    if as_json:
        found = _look(sides, changes, wanted) if patch or stat else {}
        render.json_value([_json(change, found.get(change.path)) for change in changes])
        return
    render.say(f"{sides.title}   {views.change_counts(changes)}")
    if sides.models and not paths:
        _say_metrics(compare_metrics(door.app.repository, *sides.models))
    altered = [change for change in changes if change.sort == "changed"]
    if not asked:
        altered = [change for change in altered if _largest(change) <= _UNASKED_MAX]
    if len(altered) > views.LISTED and not (patch or stat):
        altered = []
    found = _look(sides, altered, wanted)
    sizes = {change.path: views.sizes(change) for change in altered}
    notes = {path: diff_views.summary(one, sizes[path], lines=stat) for path, one in found.items()}
    here = {change.path for change in changes}
    moved = [pair for pair in renamed(sides.changes) if here.intersection(pair)]
    views.show_changes(changes, notes, folded=not stat, renamed=moved)
    if patch:
        of_moved = {path for pair in moved for path in pair}
        _show_details(sides, [one for one in changes if one.path not in of_moved], found)


def _show_metrics(app: App, sides: Compared, *, as_json: bool) -> None:
    if sides.models is None:
        raise UsageError(
            "usage",
            "Metrics are of versions of a model.",
            "For example: kamld diff digits-net@v1 @v2 --metrics",
        )
    found = compare_metrics(app.repository, *sides.models)
    if as_json:
        render.json_value(plain(msgspec.to_builtins(found)))
        return
    _say_metrics(found)
    if not found:
        render.say("Nothing was measured of either: no run made them, or took them in.")


def _say_metrics(found: Sequence[MetricChange]) -> None:
    rows = [
        (one.name, _number(one.before), "→", _number(one.after), _difference(one), _runs(one))
        for one in found
    ]
    render.table(rows, right=(1, 3, 4), indent="  ")


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.6g}"


def _difference(one: MetricChange) -> str:
    if one.before is None or one.after is None:
        return ""
    return f"{one.after - one.before:+.3g}" if one.after != one.before else "="


def _runs(one: MetricChange) -> str:
    numbers = [number for number in (one.run_before, one.run_after) if number is not None]
    return f"run {', '.join(map(str, dict.fromkeys(numbers)))}"


def _largest(change: Change) -> int:
    return max(entry.size for entry in (change.old, change.new) if entry)


def _look(sides: Compared, changes: Sequence[Change], wanted: Wanted) -> dict[bytes, Comparison]:
    found = {}
    for change in changes:
        inside = compare_change(sides.repository, change, sides.folder, wanted)
        if inside is not None:
            found[change.path] = inside
    return found


def _json(change: Change, inside: Comparison | None) -> dict[str, object]:
    return views.change_json(change) | (diff_views.comparison_json(inside) if inside else {})


def _show_details(sides: Compared, changes: Sequence[Change], found: dict[bytes, Comparison]) -> None:
    for change in changes:
        name = render.path(change.path)
        if change.path in found:
            diff_views.show_details(name, found[change.path])
        elif text := text_of_one(sides.repository, change, sides.folder):
            diff_views.show_lines(name, text)
