"""`kamld checkout`: the files of any version, in a folder."""

from pathlib import Path
from shlex import quote

import click

from kamld.cli import render, views
from kamld.cli.context import Door, FolderName, json_option, pass_door
from kamld.cli.left_out import paths_left_out, tell_left_out
from kamld.cli.paths import find_place
from kamld.errors import SystemFault
from kamld.store import Entries
from kamld.store.refs.revisions import Resolved
from kamld.store.trees import present
from kamld.workspace import check_out


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


def _show(resolved: Resolved, entries: Entries, folder: Path, *, bound: bool, part: bool) -> None:
    what = f"{render.files(len(entries))}, {render.size(int(entries.sizes.sum()))}"
    subject = resolved.commit.message.splitlines()[0] if resolved.commit.message else ""
    render.say(f"{folder}/   {render.commit_id(resolved.commit_id)}  {subject}   {what}")
    if not bound and not part:
        name = resolved.dataset.said
        render.say(f"It is a copy, on no branch. A folder to work in: kamld checkout {name} FOLDER")
    elif bound:
        render.say(f'It is on {resolved.branch}: change files, then kamld commit {quote(str(folder))} -m "…"')
