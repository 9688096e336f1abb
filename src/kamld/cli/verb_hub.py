"""`kamld hub`: where everything is kept, and how full it is."""

import shutil
from pathlib import Path

import click

from kamld.cli import render
from kamld.cli.context import Door, json_option, pass_door


@click.command("hub")
@json_option
@pass_door
def command(door: Door, as_json: bool) -> None:
    """Show where the hub is, and how full.

    \b
    Examples:
      kamld hub
      KAMLD_HUB=/data/hub kamld hub      another one, for one command
    """
    place = Path(door.app.settings.hub)
    if door.app.is_new:
        _none_yet(place, as_json=as_json)
        return
    repository = door.app.repository
    listed = list(repository.blobs.list(""))
    used = sum(blob.size for blob in listed)
    names = repository.names.all()
    free = shutil.disk_usage(place).free
    if as_json:
        render.json_value(
            {
                "path": str(place), "id": repository.hub.id, "format": repository.hub.format,
                "bytes": used, "objects": len(listed), "bytes_free": free,
                "dataset_count": sum(d.kind == "dataset" for d in names),
                "model_count": sum(d.kind == "model" for d in names),
            }
        )  # fmt: skip
        return
    models = sum(d.kind == "model" for d in names)
    share = used / (used + free) * 100
    render.say(f"{place}   {render.size(used)}, {share:.0f} % of the room there; {render.size(free)} free")
    there = f"{_many(len(names) - models, 'dataset')}, {_many(models, 'model')}"
    render.advise(f"{there}.   kamld ls shows them.")


def _none_yet(place: Path, *, as_json: bool) -> None:
    """The disk is that of the nearest folder that is there."""
    free = shutil.disk_usage(next(folder for folder in place.parents if folder.exists())).free
    if as_json:
        render.json_value(
            {"path": str(place), "id": None, "format": None, "bytes": 0, "objects": 0, "bytes_free": free,
             "dataset_count": 0, "model_count": 0}
        )  # fmt: skip
        return
    render.say(f"{place}   not there yet; {render.size(free)} free")
    render.advise("The first kamld commit makes it. If it was moved: kamld --hub PLACE, or KAMLD_HUB=PLACE.")


def _many(count: int, what: str) -> str:
    return f"{count:,} {what}{'' if count == 1 else 's'}"
