"""`kamld checkout`: the files of any version, in a folder."""

import os
from pathlib import Path
from shlex import quote

import click

from kamld.cli import render, views
from kamld.cli.context import Door, FolderName, json_option, pass_door
from kamld.cli.left_out import paths_left_out, tell_left_out
from kamld.cli.paths import Place, find_place
from kamld.errors import Conflict, SystemFault
from kamld.store import Entries
from kamld.store.refs.revisions import Resolved
from kamld.store.trees import present
from kamld.workspace import check_out, read_binding


@click.command("checkout")
@click.argument("name", metavar="NAME[@REVISION][:PATH]")
@click.argument("folder", type=FolderName(), required=False)
@json_option
@pass_door
def command(door: Door, name: str, folder: Path | None, as_json: bool) -> None:
    """Get the files of any version into FOLDER (default: a new folder of the name).

    A branch makes a folder to work in: change files and commit. Any other revision, or a part, is an
    export. FOLDER must be empty or new.

    \b
    Examples:
      kamld checkout digits                        the newest version, to work on
      kamld checkout digits@main~1 before          the one before it
      kamld checkout digits@v1:3 threes            one folder of it
      kamld checkout "digits:**/*.csv" tables      only the files that match
      kamld checkout digits@main@{2026-03-02T10:00} friday
    """
    app = door.app
    place = find_place(app, name)
    resolved, entries = place.resolved, place.chosen()
    target = Path(app.folder, folder or resolved.dataset.name)
    if place.path:
        _check_apart(place, target)
    with render.progress("Writing", len(entries)) as advance:
        try:
            bound = check_out(
                app.repository, resolved, entries, target, threads=app.threads, progress=advance
            )
        except SystemFault as fault:
            if not fault.code.startswith("left_file"):
                raise
            rest = f"kamld checkout {quote(f'{place.where}:PATH')} FOLDER; kamld fsck names what is lost."
            hint = f"{fault.hint} What is there can be had by its path: {rest}"
            raise SystemFault(fault.code, fault.message, hint) from None
    there = present(app.repository.objects, entries)[0]
    if as_json:
        shape = views.dataset_json(resolved.dataset) | {
            "commit": resolved.commit_id, "branch": resolved.branch if bound else None,
            "folder": str(target), "bound": bound,
        }  # fmt: skip
        left_out = paths_left_out(app.repository.objects, entries)
        there_are = {"files": len(there), "bytes": int(there.sizes.sum())}
        render.json_value(shape | there_are | {"purged": left_out})
        return
    tell_left_out(app.repository.objects, entries)
    at = folder or Path(resolved.dataset.name)
    _show(resolved, there, at, bound=bound, part=bool(place.path))
    if place.path and place.folders.find(os.fsencode(place.path)) == next(iter(entries.rows())):
        render.advise(f"The file alone: kamld export {quote(name)} FILE")


def _check_apart(place: Place, target: Path) -> None:
    """That no part gets into a folder of the very dataset. Raises Conflict (inside_its_folder)."""
    dataset, resolved = place.resolved.dataset, target.resolve()
    for above in resolved.parents:
        if (bound := read_binding(above)) is None:
            continue
        if bound.dataset == dataset.id:
            revision = quote(place.where.partition("@")[2])
            raise Conflict(
                "inside_its_folder",
                f"{target} is in {above}, a folder of {dataset.said}, where this would be more files of it.",
                "To have that part back in its place: kamld restore"
                f" {quote(str(above))} {quote(place.path)} --from {revision}",
            )
        return


def _show(resolved: Resolved, entries: Entries, folder: Path, *, bound: bool, part: bool) -> None:
    what = f"{render.files(len(entries))}, {render.size(int(entries.sizes.sum()))}"
    subject = resolved.commit.message.splitlines()[0] if resolved.commit.message else ""
    render.say(f"{folder}/   {render.commit_id(resolved.commit_id)}  {subject}   {what}")
    if not bound and not part:
        name = resolved.dataset.said
        render.advise(f"It is a copy, bound to nothing. A folder to work in: kamld checkout {name} FOLDER")
    elif bound:
        say = f'kamld commit {quote(str(folder))} -m "…"'
        render.advise(f"It is on {resolved.branch}: change files, then {say}")
