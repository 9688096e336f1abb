"""`kamld gc`: giving back the room of what nothing leads to any more."""

import re
from collections.abc import Sequence
from datetime import timedelta
from itertools import islice

import click

from kamld import clock
from kamld.app.kept import Kept, why_kept
from kamld.app.unfinished import unfinished
from kamld.cli import render, views
from kamld.cli.context import Door, json_option, pass_door
from kamld.errors import UsageError
from kamld.store import purged
from kamld.store.gc import SHORTEST, Collected, Garbage, collect, look

_AGE = re.compile(r"([0-9]{1,6})(s|m|h|d)")
_WRITE = "Write 1h or more, such as 6h or 1d."
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}

_SHOWN = 10  # versions that need something


@click.command("gc")
@click.option("--dry-run", is_flag=True, help="Only show what there is to give back.")
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
    age = _age(older_than)
    if why is not None:
        _why(why_kept(door.app, why, age), as_json)
        return
    repository, days, drafts = door.app.repository, door.app.settings.keep_days, unfinished(door.app)
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
        raise UsageError("usage", f'"{text}" is no age.', _WRITE)
    age = timedelta(**{_UNITS[match[2]]: int(match[1])})
    if age < SHORTEST:
        raise UsageError(
            "usage", f"{text} is too short: who works at the moment must be able to end.", _WRITE
        )
    return age


def _look(found: Garbage, as_json: bool) -> None:
    packs = len(found.sparse)
    if as_json:
        render.json_value(
            {
                "bytes": found.bytes, "objects": found.objects, "packs": packs, "needed_objects": found.live,
                "bytes_left": found.left, "missing": found.missing,
            }
        )  # fmt: skip
        return
    if packs:
        render.say(f"{render.size(found.bytes)} can be given back, in {_many(packs, 'pack')}.")
        render.advise("Next: kamld gc")
    else:
        render.say("There is nothing to give back.")
    if found.left:
        more = " more" if packs else " of garbage"
        render.note(
            f"{render.size(found.left)}{more} stay for now: a pack is written anew once a quarter of it is"
            " garbage."
        )
    if found.missing:
        missing = _many(found.missing, "file")
        render.advise_aside(f"{missing} of kept versions are not in the hub: see kamld fsck")


def _collected(done: Collected, age: timedelta, as_json: bool) -> None:
    if as_json:
        render.json_value(
            {
                "deleted_packs": done.deleted, "bytes_freed": done.freed, "copied_objects": done.copied,
                "forgotten": done.forgotten, "condemned_packs": done.condemned,
                "bytes_condemned": done.condemned_bytes, "since": done.since or None,
                "waits_for": done.waits_for,
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
        render.advise("Next: kamld gc, once it has ended.")
    elif done.condemned:
        room = f"{render.size(done.condemned_bytes)} in " if done.condemned_bytes else ""
        due = clock.text(clock.moment(done.since) + age)
        render.say(f"Marked for deletion: {room}{_many(done.condemned, 'pack')}.")
        render.advise(f"Next: kamld gc, after {clock.local(due)}, deletes it.")
    elif not done.deleted:
        render.say("There is nothing to give back.")


def _why(found: Kept, as_json: bool) -> None:
    """What keeps a version; or the versions that need something: all for programs, some for people."""
    if as_json and found.commit:
        kept = [need.about for need in found.by]
        render.json_value({"commit": found.commit, "kept_by": kept, "expired": found.expired})
        return
    if as_json:
        needed = [{"commit": need.commit or None, "kept_by": need.about} for need in found.by]
        gone = [views.path_json(path)["path"] for path, _ in found.purged]
        value = {"what": found.what, "objects": found.objects, "needed_by": needed, "purged": gone}
        render.json_value(value)
        return
    if found.commit:
        _list(found, f"{render.commit_id(found.commit)} is kept by", [(need.about,) for need in found.by])
        if found.expired:
            render.say("It was a checkpoint, and expired: its files are gone, the commit stays.")
        return
    _holes(found)
    if found.purged and not found.objects:
        return
    shown = list(islice(found.by, _SHOWN + 1))
    rows = [(f"{render.commit_id(need.commit) or '-':12}", need.about) for need in shown[:_SHOWN]]
    _list(found, f"{found.what} is needed by", rows)
    if len(shown) > _SHOWN:
        render.say("  … and more; --json has all.")


def _holes(found: Kept) -> None:
    for path, hole in found.purged[:_SHOWN]:
        said = purged(hole).message
        render.say(said if len(found.purged) == 1 else f"{render.path(path)}: {said}")
    if len(found.purged) > _SHOWN:
        render.say(f"… and {len(found.purged) - _SHOWN:,} more were purged; --json has all.")
    if found.purged and not found.objects:
        render.say("Versions still list it; nothing of it is in the hub.")


def _list(found: Kept, heading: str, rows: Sequence[tuple[str, ...]]) -> None:
    if not rows:
        what = f"keeps {render.commit_id(found.commit)}" if found.commit else f"needs {found.what}"
        render.advise(f"Nothing {what}: the next kamld gc marks it.")
        return
    render.say(heading)
    for row in rows:
        render.say(f"  {'  '.join(row)}")


def _many(count: int, what: str) -> str:
    return f"{count:,} {what}{'' if count == 1 else 's'}"
