"""`kamld purge`: removing a file from every version for good."""

import os
import sys
from collections.abc import Sequence
from shlex import quote
from typing import Any

import click

from kamld import clock
from kamld.app.purging import Done, Plan, already, carry_out, go_on, plan
from kamld.blobs.foreign import is_bucket, is_web
from kamld.cli import render, views
from kamld.cli.context import Door, json_option, pass_door
from kamld.errors import Invalid, UsageError
from kamld.records.holes import Hole
from kamld.store import HEED_S, Holes, purged
from kamld.store.purge import Place

_PLACES_SHOWN = 20
_WORDS_SHOWN = 3
_ELSEWHERE = (
    "Copies that kamld does not know of may remain: in working folders, exports, other hubs, backups."
)


@click.command("purge")
@click.argument("target", required=False, metavar="NAME[@REVISION]:PATH")
@click.option("--every-version", is_flag=True, help="All contents that this path had in any version.")
@click.option("--reason", metavar="TEXT", help="Why, needed to purge; who asks for the file later reads it.")
@click.option("--dry-run", is_flag=True, help="Only show what would be removed, and from where.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--finish", "goes_on", is_flag=True, help="End purges that were begun and stopped.")
@click.option("--list", "listed", is_flag=True, help="List what was purged.")
@json_option
@pass_door
def command(
    door: Door, target: str | None, every_version: bool, reason: str | None, dry_run: bool, yes: bool,
    goes_on: bool, listed: bool, as_json: bool,
) -> None:  # fmt: skip
    """Remove a file from every version for good, for privacy's sake.

    The content of the file, or of all files of a folder, is removed from the hub, whichever versions,
    datasets and models list it, under whatever names. Parts that other files have too stay. Versions stay
    as they are: they say that the file was there, and who asks for it is told who purged it, when and
    why. Committing the same content again is refused. It cannot be undone, and needs a --reason; without
    one, or with --dry-run, it is only shown what would go.

    \b
    Examples:
      kamld purge flowers:people/anna.jpg --dry-run
      kamld purge flowers:people/anna.jpg --every-version --reason "consent withdrawn"
      kamld purge flowers@v2:people --reason "wrong folder" --yes
    """
    if listed or goes_on:
        if target:
            raise UsageError("usage", "--list and --finish are about all purges.", f"Leave out {target}.")
        if listed:
            _list(door, as_json)
        else:
            _told(go_on(door.app, told=render.note), as_json=as_json)
        return
    if not target:
        raise UsageError("usage", "Name a file.", "kamld purge NAME:PATH")
    made = plan(door.app, target, every_version=every_version)
    if made.purged and not (dry_run and as_json):
        _told_again(made, already(door.app, made, dry_run=dry_run), as_json)
        return
    if dry_run:
        _show(made, as_json)
        return
    if not reason:
        if not as_json:
            _show(made, as_json=False)
        raise UsageError(
            "usage", "A purge needs a reason. Nothing was removed.",
            f'kamld purge {quote(target)}{" --every-version" * every_version} --reason "…"',
        )  # fmt: skip
    if not yes:
        _show(made, as_json=False)
        _confirm(made)
    _told(carry_out(door.app, made, reason, told=render.note), as_json=as_json, others=_others(made))


def _confirm(made: Plan) -> None:
    if not sys.stdin.isatty():
        raise UsageError("usage", "A purge cannot be undone, and nobody is there to be asked.", "Add --yes.")
    name = made.dataset.said
    if click.prompt(f"This cannot be undone. Type {name} to go on", default="", show_default=False) != name:
        raise Invalid("not_confirmed", "Nothing was removed.")


def _show(made: Plan, as_json: bool) -> None:
    touched, weight = made.touched, made.weight
    if as_json:
        render.json_value(
            {
                "contents": len(made.contents), "bytes": sum(made.contents.values()),
                "places": [_place(place) for place in touched.places], "version_count": touched.versions,
                "runs": touched.runs, "endpoints": touched.endpoints, "bytes_freed": weight.bytes,
                "packs": weight.packs, "shared_parts": weight.shared, "elsewhere": weight.elsewhere,
            }
        )  # fmt: skip
        return
    count = len(made.contents)
    total = render.size(sum(made.contents.values()))
    render.say(f"{made.dataset.said}:{made.path}   {count:,} content{'s' * (count != 1)}, {total}")
    rows = [[_name(place), render.path(place.path), _words(place)] for place in touched.places]
    render.table(rows[:_PLACES_SHOWN], indent="  ")
    if len(rows) > _PLACES_SHOWN:
        render.say(f"  … and {len(rows) - _PLACES_SHOWN:,} more places")
    for what, names in (("runs", touched.runs), ("endpoints", touched.endpoints)):
        if names:
            more = f", … ({len(names):,})" if len(names) > _PLACES_SHOWN else ""
            render.say(f"  {what} that used or made such a version: {', '.join(names[:_PLACES_SHOWN])}{more}")
    render.say(
        f"Removes {render.size(weight.bytes)} from {_count(weight.packs, 'pack')}.{_stays(weight.shared)}"
    )
    _left_there(weight.elsewhere)


def _value(done: Done) -> dict[str, Any]:
    purged = done.purged
    return {
        "holes": [_hole(hole) for hole in purged.holes], "bytes_freed": purged.bytes,
        "packs": purged.packs, "shared_parts": purged.shared,
        "in_use": [str(left.path) for left in done.left], "mounts": list(done.mounts),
        "written": [str(one.path) for one in done.written], "elsewhere": purged.elsewhere,
    }  # fmt: skip


def _told_again(made: Plan, done: Done, as_json: bool) -> None:
    if as_json:
        render.json_value(_value(done))
        return
    render.say(f"{purged(made.purged[0]).message}{_stays(made.weight.shared)}")
    if len(made.purged) > 1:
        render.say(f"So {'was' if len(made.purged) == 2 else 'were'} {len(made.purged) - 1:,} more.")
    render.say("There is nothing left of it to remove.")
    _elsewhere(done)


def _left_there(addresses: Sequence[str]) -> None:
    """What an import left where it was, and of which the hub had only the address."""
    if not addresses:
        return
    render.say("It was left elsewhere, where kamld does not remove what is not its own:")
    for address in addresses[:_PLACES_SHOWN]:
        render.say(f"  {render.path(os.fsencode(address))}{_is_there(address)}")
    if len(addresses) > _PLACES_SHOWN:
        render.say(f"  … and {len(addresses) - _PLACES_SHOWN:,} more; --json has all")


def _is_there(address: str) -> str:
    """As far as this machine can see."""
    if is_bucket(address) or is_web(address):
        return ""
    return ", still there" if os.path.lexists(address) else ", not seen from here"


def _elsewhere(done: Done) -> None:
    _left_there(done.purged.elsewhere)
    for left in done.left:
        path = render.path(bytes(left.path))
        render.advise(f"Still there, for {left.why}: {path}. Remove it then, or: kamld purge --finish")
    for folder in done.mounts:
        render.say(f"Mounted at {folder}: there it cannot be read any more within {HEED_S:.0f} seconds.")
    for one in done.written:
        folder = one.mount.record.folder
        gone = "remove it there, or throw away" if one.mount.state == "mounted" else "to throw away"
        render.say(f"Your own copy, written to the mount at {folder}, stays: {render.path(bytes(one.path))}")
        render.advise(
            f"No commit takes it; {gone} all that was written: kamld umount {quote(folder)} --discard"
        )


def _others(made: Plan) -> list[str]:
    """Where else the same content was: other paths, other datasets, also removed ones."""
    own, path = made.dataset.id, made.path.strip("/").encode("utf-8", "surrogateescape")
    return [
        f"{_name(place)}:{render.path(place.path)}" for place in made.touched.places
        if place.dataset is None or place.dataset.id != own
        or (place.path != path and not place.path.startswith(path + b"/"))
    ]  # fmt: skip


def _told(finished: Done, *, as_json: bool, others: Sequence[str] = ()) -> None:
    done = finished.purged
    if as_json:
        render.json_value(_value(finished))
        return
    if not done.holes:
        render.say("There was nothing to be ended.")
        _elsewhere(finished)
        return
    count = f"{len(done.holes):,} content{'s' * (len(done.holes) != 1)}"
    render.say(
        f"Purged {count}: {render.size(done.bytes)} from {_count(done.packs, 'pack')}.{_stays(done.shared)}"
    )
    if others:
        more = f" and {len(others) - _WORDS_SHOWN:,} more places" if len(others) > _WORDS_SHOWN else ""
        render.say(f"The same content went from {', '.join(others[:_WORDS_SHOWN])}{more}.")
    _elsewhere(finished)
    render.say(_ELSEWHERE)


def _list(door: Door, as_json: bool) -> None:
    holes = sorted(Holes(door.app.repository.blobs).all(), key=lambda hole: hole.time)
    if as_json:
        render.json_list(_hole(hole) for hole in holes)
        return
    rows = [
        [
            clock.local(hole.time)[:10], render.who(hole.author, door.app.author),
            ", ".join(f"{one.project}/{one.name}:{one.path}" for one in hole.files[:1]) or hole.id[:12],
            "" if hole.done else "not ended",
            hole.reason,
        ]
        for hole in holes
    ]  # fmt: skip
    render.table(rows)
    if not rows:
        render.say("Nothing was purged in this hub.")


def _place(place: Place) -> dict[str, Any]:
    """Of a dataset that has no name any more, none."""
    of = views.dataset_json(place.dataset) if place.dataset else dict.fromkeys(("project", "name", "kind"))
    return of | views.path_json(place.path) | {"revisions": place.versions, "removed": place.removed}


def _hole(hole: Hole) -> dict[str, Any]:
    files = [
        {"project": one.project, "name": one.name, "path": one.path, "version_count": one.versions}
        for one in hole.files
    ]
    return {
        "id": hole.id, "size": hole.size, "time": hole.time, "author": hole.author, "reason": hole.reason,
        "done": hole.done or None, "places": files,
    }  # fmt: skip


def _name(place: Place) -> str:
    if place.dataset is None:
        return "(no name any more)"
    removed = " (removed)" if place.removed else ""
    return f"{place.dataset.project}/{place.dataset.name}{removed}"


def _words(place: Place) -> str:
    more = len(place.versions) - _WORDS_SHOWN
    return ", ".join(place.versions[:_WORDS_SHOWN]) + (f" and {more:,} more" if more > 0 else "")


def _stays(shared: int) -> str:
    return (
        f" {_count(shared, 'part')} of it {'is' if shared == 1 else 'are'} in other files too, and stay."
        if shared
        else ""
    )


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"
