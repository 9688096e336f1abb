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
from kamld.mount import Mount, MountRecord, all_mounts, check_possible, find, prepare
from kamld.records.names import Name
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
        _, record, _ = prepare(
            mounts_folder(app), app.repository, resolved, str(reference.revision), target, writable=write
        )
        words = [*server_command(app, record), *(["--made"] if record.made else [])]
        os.execve(words[0], words, server_environment(app))  # noqa: S606 - ourselves
    record = mount(app, resolved, str(reference.revision), target, writable=write)
    waiting = len(changes_of_mount(target) or ()) if write else 0
    tree = app.repository.tree(app.repository.commit(record.commit))
    if as_json:
        made = find(mounts_folder(app), target)
        more = {"files": tree.count, "bytes": tree.size, "change_count": waiting}
        render.json_value(_json(made) | more)
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
        render.advise(f"It has {changes} of before that you did not commit: kamld status {here}")
    if record.writable:
        render.advise(f'What you change is a layer of your own until: kamld commit {here} -m "…"')
    render.advise(f"kamld umount {here} ends it.")


def _json(mount: Mount) -> dict[str, object]:
    record = mount.record
    return {
        "project": record.project, "name": record.name, "kind": record.kind, "revision": mount.revision,
        "commit": mount.commit, "folder": record.folder, "writable": record.writable, "state": mount.state,
        "uncommitted": mount.has_changes, "pid": record.pid, "since": record.since,
    }  # fmt: skip


def _list(app: App, *, as_json: bool) -> None:
    found = all_mounts(mounts_folder(app))
    if as_json:
        render.json_value([_json(one) for one in found])
        return
    if not found:
        render.advise("Nothing is mounted. kamld mount NAME FOLDER does it.")
        return
    rows = []
    for one in found:
        how = "written to" if one.record.writable else "read-only"
        left = "not committed yet" if one.has_changes else ""
        name = f"{Name(one.record.project, one.record.name).said}@{one.revision}"
        rows.append((one.record.folder, name, render.commit_id(one.commit), one.state, how, left))
    render.table(rows)
    if any(one.state == "broken" for one in found):
        render.advise("Nobody serves what is broken: kamld umount FOLDER, then mount it again.")
