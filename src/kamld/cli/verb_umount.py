"""`kamld umount`: end a mount."""

import os
from pathlib import Path
from shlex import quote

import click

from kamld.app.mounts import mounts_folder
from kamld.cli import render
from kamld.cli.context import Door, FolderName, json_option, pass_door
from kamld.errors import SystemFault
from kamld.mount import Mount, end, find
from kamld.records.names import Name
from kamld.workspace.mounted import DATA, LAYER, changes_of_mount, mount_of


@click.command("umount")
@click.argument("folder", type=FolderName())
@click.option("--discard", is_flag=True, help="Throw away what was changed and not committed.")
@json_option
@pass_door
def command(door: Door, folder: Path, discard: bool, as_json: bool) -> None:
    """End the mount at FOLDER.

    What was written and not committed is kept; mounting the same name at the same folder with --write goes
    on with it. Works, too, where the process that served the mount is gone.

    \b
    Examples:
      kamld umount digits
      kamld umount work --discard      what you changed goes, too
    """
    app = door.app
    target = Path(app.folder, folder).resolve()
    if app.folder.resolve().is_relative_to(target):
        os.chdir(target.parent)  # else we would be one of those who use it
    place = mount_of(target)
    found = find(place.parent if place else mounts_folder(app), target)
    count = _count(found, target)
    size = _size(found) if discard else 0
    left = end(found, discard=discard)
    if as_json:
        render.json_value(
            {
                "project": left.record.project, "name": left.record.name, "kind": left.record.kind,
                "folder": str(target), "commit": left.commit, "old_state": found.state,
                "uncommitted": left.has_changes, "bytes_freed": size,
                "layer": str(left.place) if left.has_changes else None,
            }
        )  # fmt: skip
        return
    _show(found, left, str(folder), count)
    if discard and found.has_changes:
        what = f"{count[0].lower()}{count[1:]} that {_was(count)} not committed"
        render.say(f"Thrown away: {what}, {render.size(size)}.")


def _count(mount: Mount, folder: Path) -> str:
    if mount.state != "mounted":
        return "Changes"
    try:
        count = len(changes_of_mount(folder) or ())
    except SystemFault:
        count = 0
    return f"{count:,} change{'' if count == 1 else 's'}" if count else "Changes"


def _size(mount: Mount) -> int:
    """Of what was written."""
    files = (path for path in (mount.place / LAYER / DATA).rglob("*") if path.is_file())
    return sum(path.stat().st_size for path in files)


def _is(count: str) -> str:
    return "is" if count.startswith("1 ") else "are"


def _was(count: str) -> str:
    return "was" if count.startswith("1 ") else "were"


def _show(before: Mount, left: Mount, folder: str, count: str) -> None:
    was = {"broken": "Nobody served it any more; it", "kept": "It"}
    render.say(
        f"{folder} is not mounted." if before.state == "kept" else
        f"{was.get(before.state, folder)} is unmounted."
    )  # fmt: skip
    if not left.has_changes:
        return
    name = f"{Name(left.record.project, left.record.name).said}@{left.revision}"
    render.say(f"{count} {_is(count)} not committed, and kept in {left.place / LAYER}.")
    render.advise(f"To go on: kamld mount {name} {quote(folder)} --write")
    render.advise(f"To throw them away: kamld umount {quote(folder)} --discard")
