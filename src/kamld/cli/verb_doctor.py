"""`kamld doctor`: what is well with the installation and the hub, and what is to be done."""

import click

from kamld.app.doctor import examine
from kamld.cli import render
from kamld.cli.context import Door, json_option, pass_door
from kamld.store.fsck.health import Check
from kamld.store.hub import upgrade

_WORDS = {"ok": "ok", "note": "note", "todo": "TO DO"}


@click.command("doctor")
@click.option("--upgrade", "raised", is_flag=True, help="Make an old hub one of the newest format.")
@json_option
@pass_door
def command(door: Door, raised: bool, as_json: bool) -> int:
    """See how kamld and the hub are, and what is to be done.

    Looked at are versions, settings, the room on the disk, permissions, clocks, the hub's format, its
    index, who works in it at the moment, and what was left behind. Whether every byte is what it was is
    for kamld fsck to say. Exits 0 if nothing is to be done, 3 if something is.

    --upgrade makes a hub of an older format one of the newest, where it is; nothing in it changes but
    that number. A kamld that knows only the old format refuses it afterwards, so end what older ones do.

    \b
    Examples:
      kamld doctor
      kamld doctor --upgrade
    """
    before, after = (hub.format for hub in upgrade(door.app.repository.blobs)) if raised else (0, 0)
    checks = examine(door.environment, door.folder)
    todo = sum(check.state == "todo" for check in checks)
    if as_json:
        render.json_value({"ok": not todo, "upgraded": [before, after] if raised else None, "checks": checks})
        return 3 if todo else 0
    if raised and before < after:
        render.say(f"The hub has format {after} now; it had {before}.")
    elif raised:
        render.say(f"The hub has format {after}, which is the newest.")
    _show(checks)
    render.say()
    render.say(_in_all(todo, sum(check.state == "note" for check in checks)))
    return 3 if todo else 0


def _in_all(todo: int, notes: int) -> str:
    if todo:
        return f"{todo:,} thing{'s' if todo > 1 else ''} to do."
    return f"Nothing has to be done; {notes:,} note{'s' if notes > 1 else ''}." if notes else "All is well."


def _show(checks: list[Check]) -> None:
    width = max(len(check.name) for check in checks)
    for check in checks:
        word = f"{_WORDS[check.state]:5}"
        shown = click.style(word, bold=True) if check.state == "todo" else word
        render.say(f"{shown}  {check.name:{width}}  {check.what}")
        if check.todo:
            render.advise(f"{'':{width + 9}}{check.todo}")
