"""`kamld gc`: giving back the room of what nothing leads to any more."""

import re
from datetime import timedelta
from itertools import islice

import click

from kamld import clock
from kamld.app import App
from kamld.app.unfinished import unfinished
from kamld.cli import render
from kamld.cli.context import Door, json_option, pass_door
from kamld.cli.paths import find_place
from kamld.errors import UsageError
from kamld.store.gc import (
    SHORTEST,
    Collected,
    Garbage,
    Root,
    collect,
    find_roots,
    kept_by,
    look,
    needs,
    objects_in,
    since,
)

_AGE = re.compile(r"([0-9]{1,6})(s|m|h|d)")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}

_PACK = re.compile(r"packs/[0-9a-f]{2}/[0-9a-f]{8,64}(\.pack)?|[0-9a-f]{64}")
_SHOWN = 10  # versions that need something


@click.command("gc")
@click.option("-n", "--dry-run", is_flag=True, help="Only show what there is to give back.")
@click.option("--why", metavar="WHAT", help="Show what keeps a version, a file or a pack in the hub.")
@click.option("--older-than", metavar="AGE", default="1d", help="How long garbage stays first. [1d]")
@json_option
@pass_door
def command(door: Door, dry_run: bool, why: str | None, older_than: str, as_json: bool) -> None:
    """Give back the room of what nothing leads to any more.

    What was removed, undone or moved away can be had back for `keep_days` days (30); until then it is
    no garbage. Garbage goes in two steps: one gc marks it, and one that comes a day later deletes it,
    so that whoever is writing at the moment loses nothing. Run it daily, beside anything else.

    --why takes a version (flowers@v2), a file in one (flowers@v2:roses/1.png), or the key or name of a
    pack, as kamld fsck names it.

    \b
    Examples:
      kamld gc --dry-run
      kamld gc
      kamld gc --why flowers@v2
      kamld gc --why flowers:roses/1.png
      kamld gc --older-than 6h
    """
    repository, days, age = door.app.repository, door.app.settings.keep_days, _age(older_than)
    drafts = unfinished(door.app)
    if why is not None:
        _why(door.app, why, find_roots(repository, since(days, age), drafts), as_json)
        return
    if dry_run:
        with render.progress("Marking") as advance:
            garbage = look(repository, days, age, drafts, advance)
        _look(garbage, as_json)
    else:
        with render.progress("Marking") as advance:
            done = collect(repository, days, age, drafts, advance)
        _collected(done, age, as_json)


def _age(text: str) -> timedelta:
    match = _AGE.fullmatch(text)
    if not match:
        raise UsageError("usage", f'"{text}" is no age.', "Write 30m, 6h or 1d.")
    age = timedelta(**{_UNITS[match[2]]: int(match[1])})
    if age < SHORTEST:
        raise UsageError(
            "usage", f"{text} is too short: who works at the moment must be able to end.", "Write 1h or more."
        )
    return age


def _look(found: Garbage, as_json: bool) -> None:
    packs = len(found.sparse)
    if as_json:
        render.json_value(
            {
                "bytes": found.bytes, "objects": found.objects, "packs": packs, "needed_objects": found.live,
                "left_bytes": found.left, "missing": found.missing,
            }
        )  # fmt: skip
        return
    if packs:
        render.say(f"{render.size(found.bytes)} can be given back, in {_many(packs, 'pack')}.")
        render.say("Next: kamld gc")
    else:
        render.say("There is nothing to give back.")
    if found.left:
        render.note(f"{render.size(found.left)} more are too few in their packs to copy the rest for.")
    if found.missing:
        render.note(f"{_many(found.missing, 'file')} of kept versions are not in the hub: see kamld fsck")


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


def _why(app: App, what: str, roots: set[Root], as_json: bool) -> None:
    if _PACK.fullmatch(what):
        key, ids = objects_in(app.repository, what)
        _needed(app, key, ids, roots, as_json)
        return
    if app.reference(what).path:
        (entry, *_) = find_place(app, what).chosen().rows()
        _needed(app, what, [entry.id], roots, as_json)
        return
    commit_id = app.resolve(what).commit_id
    about = sorted({root.about for root in kept_by(app.repository, commit_id, roots)})
    if as_json:
        render.json_value({"commit": commit_id, "kept_by": about})
        return
    if not about:
        render.say(f"Nothing keeps {render.commit_id(commit_id)}: the next kamld gc marks it.")
        return
    render.say(f"{render.commit_id(commit_id)} is kept by")
    for line in about:
        render.say(f"  {line}")


def _needed(app: App, what: str, ids: list[bytes], roots: set[Root], as_json: bool) -> None:
    """The versions that need any of these objects: all for programs, some for people."""
    found = needs(app.repository, roots, ids)
    if as_json:
        needed = [{"commit": need.commit, "kept_by": need.about} for need in found]
        render.json_value({"what": what, "objects": len(ids), "needed_by": needed})
        return
    shown = list(islice(found, _SHOWN + 1))
    if not shown:
        render.say(f"Nothing needs {what}: the next kamld gc marks it.")
        return
    render.say(f"{what} is needed by")
    for need in shown[:_SHOWN]:
        render.say(f"  {render.commit_id(need.commit) or '-':12}  {need.about}")
    if len(shown) > _SHOWN:
        render.say("  … and more; --json has all.")


def _many(count: int, what: str) -> str:
    return f"{count:,} {what}{'' if count == 1 else 's'}"
