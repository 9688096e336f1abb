"""`kamld rebuild`: what is derived, made anew from what is kept."""

import click
import msgspec

from kamld.app.catalog import open_catalog
from kamld.cli import render
from kamld.cli.context import Door, json_option, pass_door


@click.command("rebuild")
@json_option
@pass_door
def command(door: Door, as_json: bool) -> None:
    """Make the index and the catalog anew.

    Both are derived: the index from the packs, the catalog from commits, refs, runs and deployment
    events. Nothing that you made is changed; no answer is another afterwards.

    \b
    Examples:
      kamld rebuild
    """
    objects = door.app.repository.rebuild_index()
    with open_catalog(door.app) as catalog:
        made = catalog.rebuild()
    if as_json:
        render.json_value({"objects": objects, "catalog": msgspec.to_builtins(made)})
        return
    render.say(f"Index made anew from the packs: {objects:,} objects.")
    render.say(
        f"Catalog made anew from the store: {made.commits:,} commits, {made.moves:,} moves of refs,"
        f" {made.runs:,} runs, {made.events:,} deployment events."
    )
