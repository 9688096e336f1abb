"""`kamld du`: what takes the space in the hub."""

from typing import Any

import click

from kamld.cli import render, views
from kamld.cli.advice import complete
from kamld.cli.context import Door, json_option, pass_door
from kamld.store.gc.usage import Usage, Used, measure

_HEADER = ("", "newest", "versions", "as files", "stored", "alone", "history")


@click.command("du")
@click.argument("names", nargs=-1, metavar="[NAME]...")
@json_option
@pass_door
def command(door: Door, names: tuple[str, ...], as_json: bool) -> None:
    """Show what takes the space: for each dataset and model, and for the rest of the hub.

    newest: files of the newest version. as files: those of all versions, as copies would take. stored:
    what all versions take here, compressed and each content once. alone: of that, what no other dataset
    or model has too. history: of that, what the newest version does not need.

    All commits and lists of files of the hub are read, but no file.

    \b
    Examples:
      kamld du
      kamld du digits digits-train
      kamld du --json
    """
    app = door.app
    wanted = {app.dataset(name).id for name in names}
    usage = measure(app.repository)
    chosen = [used for used in usage.datasets if not wanted or used.dataset.id in wanted]
    chosen.sort(key=lambda used: -used.stored)
    if as_json:
        render.json_value(_json(usage, chosen))
        return
    rows = [_row(used) for used in chosen]
    if rows:
        render.table(rows, header=_HEADER, right=(1, 2, 3, 4, 5, 6), spare=(3, 5))
    if not names:
        _rest(usage)
    elif all(used.versions == 0 for used in chosen):
        render.say("Nothing was committed there yet.")


def _row(used: Used) -> tuple[str, ...]:
    sizes = (used.as_files, used.stored, used.alone, used.history)
    name = f"{used.dataset.project}/{used.dataset.name}"
    return (name, render.size(used.newest), f"{used.versions:,}", *map(render.size, sizes))


def _rest(usage: Usage) -> None:
    if usage.datasets:
        render.say()
    alone = sum(used.alone for used in usage.datasets)
    look = complete("kamld gc --dry-run")
    rows = [
        ("", render.size(alone), "of one dataset or model alone"),
        ("", render.size(usage.shared), "of several, once"),
        ("", render.size(usage.other), f"of runs, removed or taken back, or not needed: {look}"),
        ("", render.size(usage.lists + usage.records), "lists of what is where, names, history"),
        ("", render.size(usage.local), "this machine's databases and caches"),
        ("", render.size(usage.total), "in all"),
    ]
    render.table([row for row in rows if row[1] != "0 B" or row[2] == "in all"], right=(1,))


def _json(usage: Usage, chosen: list[Used]) -> dict[str, Any]:
    return {
        "datasets": [
            {
                **views.dataset_json(used.dataset),
                "newest": used.newest, "version_count": used.versions, "as_files": used.as_files,
                "stored": used.stored, "alone": used.alone, "history": used.history,
            }
            for used in chosen
        ],
        "shared": usage.shared, "other": usage.other, "lists": usage.lists, "records": usage.records,
        "local": usage.local, "bytes": usage.total,
    }  # fmt: skip
