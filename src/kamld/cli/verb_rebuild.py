"""`kamld rebuild`: what is derived, made anew from what is kept."""

import click

from kamld.app.catalog import open_catalog
from kamld.cli import render
from kamld.cli.context import Door, json_option, pass_door


@click.command("rebuild")
@json_option
@pass_door
def command(door: Door, as_json: bool) -> int:
    """Make the index and the catalog anew.

    Both are derived: the index from the packs, the catalog from commits, refs, runs and deployment
    events. Nothing that you made is changed; no answer is another afterwards.

    \b
    Examples:
      kamld rebuild
    """
    objects, damaged = door.app.repository.rebuild_index()
    with open_catalog(door.app) as catalog:
        made = catalog.rebuild()
    status = 3 if damaged or made.damaged else 0
    if as_json:
        counts = {
            "commit_count": made.commits, "move_count": made.moves, "run_count": made.runs,
            "event_count": made.events, "damaged": made.damaged,
        }  # fmt: skip
        render.json_value({"objects": objects, "damaged_packs": damaged, "catalog": counts})
        return status
    render.say(f"Index made anew from the packs: {objects:,} objects.")
    render.say(
        f"Catalog made anew from the store: {made.commits:,} commits, {made.moves:,} moves of refs,"
        f" {made.runs:,} runs, {made.events:,} deployment events."
    )
    for key in damaged:
        render.advise_aside(f"{key} is damaged and left out; kamld fsck --repair keeps what is sound in it.")
    for sentence in made.damaged:
        render.note(sentence)
    return status
