"""`kamld gc`: giving back the room of what nothing leads to any more."""

import re
from datetime import timedelta

import click

from kamld import clock
from kamld.cli import render
from kamld.cli.context import Door, json_option, pass_door
from kamld.errors import UsageError
from kamld.store.gc import Collected, Garbage, collect, find_roots, kept_by, look, since

_AGE = re.compile(r"([0-9]{1,6})(s|m|h|d)")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}

_SHORTEST = timedelta(hours=1)


@click.command("gc")
@click.option("-n", "--dry-run", is_flag=True, help="Only show what there is to give back.")
@click.option("--why", metavar="NAME[@REVISION]", help="Show what keeps this version in the hub.")
@click.option("--older-than", metavar="AGE", default="1d", help="How long garbage stays first. [1d]")
@json_option
@pass_door
def command(door: Door, dry_run: bool, why: str | None, older_than: str, as_json: bool) -> None:
    """Give back the room of what nothing leads to any more.

    What was removed, undone or moved away can be had back for `keep_days` days (30); until then it is
    no garbage. Garbage goes in two steps: one gc marks it, and one that comes a day later deletes it,
    so that whoever is writing at the moment loses nothing. Run it daily, beside anything else.

    \b
    Examples:
      kamld gc --dry-run
      kamld gc
      kamld gc --why flowers@v2
      kamld gc --older-than 6h
    """
    repository, days, age = door.app.repository, door.app.settings.keep_days, _age(older_than)
    if why is not None:
        _why(door, why, age, as_json)
    elif dry_run:
        _look(look(repository, days, age), as_json)
    else:
        _collected(collect(repository, days, age), age, as_json)


def _age(text: str) -> timedelta:
    match = _AGE.fullmatch(text)
    if not match:
        raise UsageError("usage", f'"{text}" is no age.', "Write 30m, 6h or 1d.")
    age = timedelta(**{_UNITS[match[2]]: int(match[1])})
    if age < _SHORTEST:
        raise UsageError(
            "usage", f"{text} is too short: who works at the moment must be able to end.", "Write 1h or more."
        )
    return age


def _look(found: Garbage, as_json: bool) -> None:
    packs = len(found.sparse)
    if as_json:
        render.json_value({"bytes": found.bytes, "objects": found.objects, "packs": packs})
    elif not packs:
        render.say("There is nothing to give back.")
    else:
        render.say(f"{render.size(found.bytes)} can be given back, in {_many(packs, 'pack')}.")
        render.say("Next: kamld gc")


def _collected(done: Collected, age: timedelta, as_json: bool) -> None:
    if as_json:
        render.json_value(
            {
                "deleted_packs": done.deleted, "freed": done.freed, "copied_objects": done.copied,
                "forgotten": done.forgotten, "condemned_packs": done.condemned,
                "condemned_bytes": done.condemned_bytes, "since": done.since, "waits_for": done.waits_for,
            }
        )  # fmt: skip
        return
    for name in done.forgotten:
        render.say(f"{name} was removed long ago and cannot be had back from now on.")
    if done.deleted:
        kept = f"; {_many(done.copied, 'object')} in them moved elsewhere" if done.copied else ""
        render.say(f"Given back: {render.size(done.freed)} in {_many(done.deleted, 'pack')}{kept}.")
    if done.waits_for:
        render.say(f"Waiting for {_many(len(done.waits_for), 'command')} that began before; nothing deleted.")
        render.say("Next: kamld gc, once it has ended.")
    elif done.condemned:
        room = f"{render.size(done.condemned_bytes)} in " if done.condemned_bytes else ""
        due = clock.text(clock.moment(done.since) + age)
        render.say(f"Marked for deletion: {room}{_many(done.condemned, 'pack')}.")
        render.say(f"Next: kamld gc, after {due[:16].replace('T', ' ')} UTC, deletes it.")
    elif not done.deleted:
        render.say("There is nothing to give back.")


def _why(door: Door, name: str, age: timedelta, as_json: bool) -> None:
    repository = door.app.repository
    resolved = door.app.resolve(name)
    roots = find_roots(repository, since(door.app.settings.keep_days, age))
    about = sorted({root.about for root in kept_by(repository, resolved.commit_id, roots)})
    if as_json:
        render.json_value({"commit": resolved.commit_id, "kept_by": about})
        return
    if not about:
        render.say(f"Nothing keeps {render.commit_id(resolved.commit_id)}: the next kamld gc marks it.")
        return
    render.say(f"{render.commit_id(resolved.commit_id)} is kept by")
    for line in about:
        render.say(f"  {line}")


def _many(count: int, what: str) -> str:
    return f"{count:,} {what}{'' if count == 1 else 's'}"
