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
    repository = door.app.repository
    place = Path(door.app.settings.hub)
    listed = list(repository.blobs.list(""))
    used = sum(blob.size for blob in listed)
    names = repository.names.all()
    free = shutil.disk_usage(place).free
    if as_json:
        render.json_value(
            {
                "path": str(place), "id": repository.hub.id, "format": repository.hub.format,
                "bytes": used, "objects": len(listed), "free_bytes": free,
                "datasets": sum(d.kind == "dataset" for d in names),
                "models": sum(d.kind == "model" for d in names),
            }
        )  # fmt: skip
        return
    models = sum(d.kind == "model" for d in names)
    share = used / (used + free) * 100
    render.say(f"{place}   {render.size(used)}, {share:.0f} % of the room there; {render.size(free)} free")
    render.say(f"{_many(len(names) - models, 'dataset')}, {_many(models, 'model')}.   kamld ls shows them.")


def _many(count: int, what: str) -> str:
    return f"{count:,} {what}{'' if count == 1 else 's'}"
