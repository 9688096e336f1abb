"""`kamld export`: a version as a folder, an archive, a stream of tar, or objects in a bucket."""

import os
import sys
from pathlib import Path

import click

from kamld.blobs.foreign import is_bucket
from kamld.cli import render, views
from kamld.cli.context import Door, json_option, pass_door
from kamld.cli.left_out import paths_left_out, tell_left_out
from kamld.cli.paths import find_place
from kamld.errors import UsageError
from kamld.exchange import BucketPlan, export, export_file, export_to_bucket, file_target
from kamld.store import Entries
from kamld.store.refs.revisions import Resolved

_SHOWN = 20  # paths of a dry run


@click.command("export")
@click.argument("name", metavar="NAME[@REVISION][:PATH]")
@click.argument("dest", metavar="DEST")
@click.option("--dry-run", is_flag=True, help="Bucket: only say what would be done.")
@click.option(
    "--delete", is_flag=True, help="Bucket: remove what earlier exports put and this version lacks."
)
@click.option("--overwrite", is_flag=True, help="Bucket: replace what somebody else put there, too.")
@json_option
@pass_door
def command(
    door: Door, name: str, dest: str, dry_run: bool, delete: bool, overwrite: bool, as_json: bool
) -> None:
    """Write a version, or a part of it, to DEST, for those who have no kamld.

    DEST is a new folder, a new .tar, .tar.gz, .tar.zst or .zip file, or - for tar on standard output. A
    single file becomes the file DEST, or gets into it where DEST is a folder or ends with /. The same
    version always gives the same archive, byte for byte. It may also be a place in a bucket
    (s3://BUCKET/PREFIX, gs://…, az://…): only what differs is put there, every object is checked, and
    an export that was interrupted goes on where it was.

    \b
    Examples:
      kamld export digits digits.tar.zst
      kamld export digits@v1 for-the-museum             a folder that is bound to nothing
      kamld export digits@main~1:3 threes.zip           one folder of it
      kamld export digits:labels.csv old.csv            one file
      kamld export "digits:**/*.csv" tables.zip         only the files that match
      kamld export digits s3://shop/digits --dry-run
      kamld export digits - | ssh elsewhere tar -x
    """
    app = door.app
    if "://" in dest and not is_bucket(dest):
        raise UsageError("usage", f"{dest} is no place to export to.", "s3://BUCKET/PREFIX, gs:// or az://")
    if (dry_run or delete or overwrite) and not is_bucket(dest):
        raise UsageError("usage", "--dry-run, --delete and --overwrite are for buckets.")
    if dest == "-" and as_json:
        raise UsageError("usage", "Standard output cannot be both the archive and JSON.")
    place = find_place(app, name)
    resolved, entries = place.resolved, place.chosen()
    objects = app.repository.objects
    if is_bucket(dest):
        version = {"name": place.where.partition("@")[0], "commit": resolved.commit_id}
        with render.progress("Writing", len(entries)) as advance:
            planned = export_to_bucket(
                objects, objects.foreign, dest, entries, version, overwrite=overwrite, delete=delete,
                dry_run=dry_run, progress=advance,
            )  # fmt: skip
        _show_bucket(dest, resolved, entries, planned, dry_run, delete, as_json)
        return
    target = sys.stdout.buffer if dest == "-" else Path(app.folder, dest)
    file = file_target(entries, place.path, dest, app.folder) if dest != "-" else None
    if file:
        target, dest = file, os.path.join(dest, file.name) if Path(app.folder, dest) != file else dest
        done = export_file(objects, entries.row(0), file)
    else:
        with render.progress("Writing", len(entries)) as advance:
            done = export(
                objects, resolved.commit, entries, target, threads=app.threads, progress=advance
            )  # fmt: skip
    if not as_json:
        tell_left_out(objects, entries)
    if as_json:
        shape = {"target": str(target), "target_kind": done.kind, "files": done.files, "bytes": done.bytes}
        render.json_value(_of(resolved) | shape | {"purged": paths_left_out(objects, entries)})
    elif dest != "-":
        slash = "/" if done.kind == "folder" else ""
        what = f"{render.files(done.files)}, {render.size(done.bytes)}"
        render.say(f"{dest}{slash}   {render.commit_id(resolved.commit_id)}   {what}")


def _of(resolved: Resolved) -> dict[str, object]:
    return views.dataset_json(resolved.dataset) | {"commit": resolved.commit_id}


def _show_bucket(
    dest: str, resolved: Resolved, entries: Entries, planned: BucketPlan, dry_run: bool, delete: bool,
    as_json: bool,
) -> None:  # fmt: skip
    files, size = len(entries) - planned.empty_folders, int(entries.sizes.sum())
    if as_json:
        render.json_value(_of(resolved) | {
            "target": dest, "target_kind": "bucket", "files": files, "bytes": size,
            "put": len(planned.put), "bytes_put": planned.bytes, "same": len(planned.same),
            "deleted": len(planned.gone) if delete else 0, "foreign": planned.foreign,
            "left_there": [] if delete else planned.gone, "dry_run": dry_run,
        })  # fmt: skip
        return
    done = f"{render.files(len(planned.put))} {'would be ' * dry_run}put, {render.size(planned.bytes)}"
    same = f"{len(planned.same):,} there already"
    render.say(f"{dest.rstrip('/')}/   {render.commit_id(resolved.commit_id)}   {done}; {same}")
    if dry_run:
        marked = [(entry.path, "replaces another's" if render.path(entry.path) in planned.foreign else "put")
                  for entry in planned.put]  # fmt: skip
        for raw, what in marked[:_SHOWN]:
            render.say(f"  {what}  {render.path(raw)}")
        if len(marked) > _SHOWN:
            render.say(f"  … {len(marked) - _SHOWN:,} more")
    if planned.gone:
        of = f"{render.files(len(planned.gone))} of earlier exports"
        verb = "would be removed" if dry_run else "removed"
        render.say(f"{of} {verb}." if delete else f"{of} still there; --delete removes them.")
    if planned.empty_folders:
        render.note(f"Empty folders ({planned.empty_folders:,}) are not kept in a bucket.")
