"""`kamld checkout`: the files of any version, in a folder."""

from pathlib import Path
from shlex import quote

import click

from kamld.cli import render
from kamld.cli.context import Door, FolderName, json_option, pass_door
from kamld.cli.left_out import paths_left_out, tell_left_out
from kamld.cli.paths import find_place
from kamld.store import Entries
from kamld.store.refs.revisions import Resolved
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
        bound = check_out(app.repository, resolved, entries, target, threads=app.threads, progress=advance)
    if as_json:
        shape = {"id": resolved.commit_id, "folder": str(target), "bound": bound}
        left_out = paths_left_out(app.repository.objects, entries)
        files = len(entries) - len(left_out)
        render.json_value({**shape, "files": files, "bytes": int(entries.sizes.sum()), "purged": left_out})
        return
    tell_left_out(app.repository.objects, entries)
    _show(resolved, entries, folder or Path(resolved.dataset.name), bound)


def _show(resolved: Resolved, entries: Entries, folder: Path, bound: bool) -> None:
    what = f"{render.files(len(entries))}, {render.size(int(entries.sizes.sum()))}"
    subject = resolved.commit.message.splitlines()[0] if resolved.commit.message else ""
    render.say(f"{folder}/   {render.commit_id(resolved.commit_id)}  {subject}   {what}")
    if bound:
        render.say(f'It is on {resolved.branch}: change files, then kamld commit {quote(str(folder))} -m "…"')
