"""`kamld mount`: a version as a folder, without a copy."""

import os
from pathlib import Path
from shlex import quote

import click

from kamld.app import App
from kamld.app.mounts import mount, mounts_folder, server_command, server_environment
from kamld.cli import render
from kamld.cli.context import Door, FolderName, json_option, pass_door
from kamld.errors import UsageError
from kamld.mount import MountRecord, all_mounts, check_possible, prepare
from kamld.store.refs.revisions import Resolved
from kamld.workspace.mounted import changes_of_mount


@click.command("mount")
@click.argument("name", metavar="NAME[@REVISION]", required=False)
@click.argument("folder", type=FolderName(), required=False)
@click.option("--write", is_flag=True, help="Let it be changed: kamld commit makes versions of that.")
@click.option("--foreground", is_flag=True, help="Serve it here, until Ctrl-C.")
@json_option
@pass_door
def command(
    door: Door, name: str | None, folder: Path | None, write: bool, foreground: bool, as_json: bool
) -> None:
    """Have any version as FOLDER (default: a new folder of the name) without a copy; alone: list mounts.

    Files are read from the hub when somebody reads them. It stays the version that it was when it was
    mounted, whatever others commit. With --write a branch can be changed as any folder can: what you write
    is kept in a layer of your own, and kamld status, diff and commit work in it. Needs fuse3 and
    kamld[mount].

    \b
    Examples:
      kamld mount digits                     the newest version, to be read
      kamld mount digits@v1 /mnt/first
      kamld mount digits work --write        to change it, then: kamld commit work -m "…"
      kamld mount                            what is mounted, and what is not committed
      kamld umount work
    """
    app = door.app
    if name is None:
        if write or foreground:
            raise UsageError("usage", "Say what is to be mounted.", "kamld mount NAME FOLDER")
        _list(app, as_json=as_json)
        return
    reference, resolved = app.reference(name), app.resolve(name)
    target = Path(app.folder, folder or resolved.dataset.name).resolve()
    if foreground:
        check_possible()
        hub = app.repository.blobs.location
        _, record, _ = prepare(
            mounts_folder(app), hub, resolved, str(reference.revision), target, writable=write
        )
        words = [*server_command(app, record), *(["--made"] if record.made else [])]
        os.execve(words[0], words, server_environment(app))  # noqa: S606 - ourselves
    record = mount(app, resolved, str(reference.revision), target, writable=write)
    waiting = len(changes_of_mount(target) or ()) if write else 0
    tree = app.repository.tree(app.repository.commit(record.commit))
    if as_json:
        render.json_value(
            {
                "id": record.commit, "folder": str(target), "writable": write, "files": tree.count,
                "bytes": tree.size, "changes": waiting, "pid": record.pid,
            }
        )  # fmt: skip
        return
    _show(resolved, record, folder or Path(resolved.dataset.name), tree.count, tree.size, waiting)


def _show(resolved: Resolved, record: MountRecord, folder: Path, files: int, size: int, waiting: int) -> None:
    message = resolved.commit.message if record.commit == resolved.commit_id else ""
    subject = message.splitlines()[0] if message else ""
    how = "to be changed" if record.writable else "read-only"
    what = f"{render.files(files)}, {render.size(size)}, {how}"
    render.say(f"{folder}/   {render.commit_id(record.commit)}  {subject}   {what}")
    here = quote(str(folder))
    if waiting:
        changes = f"{waiting:,} change{'' if waiting == 1 else 's'}"
        render.say(f"It has {changes} of before that you did not commit: kamld status {here}")
    if record.writable:
        render.say(f'What you change is a layer of your own until: kamld commit {here} -m "…"')
    render.say(f"kamld umount {here} ends it.")


def _list(app: App, *, as_json: bool) -> None:
    found = all_mounts(mounts_folder(app))
    if as_json:
        render.json_value(
            [
                {
                    "folder": m.record.folder, "project": m.record.project, "name": m.record.name,
                    "revision": m.record.revision, "commit": m.record.commit, "writable": m.record.writable,
                    "state": m.state, "uncommitted": m.has_changes, "pid": m.record.pid,
                    "since": m.record.since,
                }
                for m in found
            ]
        )  # fmt: skip
        return
    if not found:
        render.say("Nothing is mounted. kamld mount NAME FOLDER does it.")
        return
    rows = []
    for one in found:
        how = "written to" if one.record.writable else "read-only"
        left = "not committed yet" if one.has_changes else ""
        name = f"{one.record.name}@{one.record.revision}"
        rows.append((one.record.folder, name, render.commit_id(one.record.commit), one.state, how, left))
    render.table(rows)
    if any(one.state == "broken" for one in found):
        render.say("Nobody serves what is broken: kamld umount FOLDER, then mount it again.")
