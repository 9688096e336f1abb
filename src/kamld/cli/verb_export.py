"""`kamld export`: a version as a folder, an archive, or a stream of tar."""

import os
import sys
from pathlib import Path

import click

from kamld.cli import render
from kamld.cli.context import Door, json_option, pass_door
from kamld.errors import NotFound, UsageError
from kamld.exchange.export import export


@click.command("export")
@click.argument("name", metavar="NAME[@REVISION][:PATH]")
@click.argument("dest", metavar="DEST")
@json_option
@pass_door
def command(door: Door, name: str, dest: str, as_json: bool) -> None:
    """Write a version, or a part of it, to DEST, for those who have no kamld.

    DEST is a new folder, a new .tar, .tar.gz, .tar.zst or .zip file, or - for tar on standard output.
    The same version always gives the same archive, byte for byte.

    \b
    Examples:
      kamld export digits digits.tar.zst
      kamld export digits@v1 for-the-museum             a folder that is bound to nothing
      kamld export digits@main~1:3 threes.zip           one folder of it
      kamld export digits - | ssh elsewhere tar -x
    """
    app = door.app
    if "://" in dest:
        raise UsageError("usage", f"{dest}: only folders and archives can be exported to so far.")
    if dest == "-" and as_json:
        raise UsageError("usage", "Standard output cannot be both the archive and JSON.")
    reference = app.reference(name)
    resolved = app.repository.resolve(reference)
    entries = app.repository.tree(resolved.commit).under(os.fsencode(reference.path.strip("/")))
    if reference.path and not len(entries):
        raise NotFound(
            "unknown_path", f'There is no "{reference.path}" in {reference.name}@{reference.revision}.',
            f"kamld ls {reference.name.name}@{reference.revision} shows what there is.",
        )  # fmt: skip
    target = sys.stdout.buffer if dest == "-" else Path(app.folder, dest)
    with render.progress("Writing", len(entries)) as advance:
        done = export(
            app.repository.objects, resolved.commit, entries, target, threads=app.threads, progress=advance
        )
    if as_json:
        shape = {"id": resolved.commit_id, "target": str(target), "kind": done.kind}
        render.json_value({**shape, "files": done.files, "bytes": done.bytes})
    elif dest != "-":
        slash = "/" if done.kind == "folder" else ""
        what = f"{render.files(done.files)}, {render.size(done.bytes)}"
        render.say(f"{dest}{slash}   {render.commit_id(resolved.commit_id)}   {what}")
