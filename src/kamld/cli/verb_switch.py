"""`kamld switch`: a folder becomes another version, where it is."""

from pathlib import Path
from shlex import quote

import click

from kamld.cli import render, views
from kamld.cli.context import Door, existing_folder, json_option, pass_door
from kamld.cli.left_out import tell_left_out
from kamld.errors import UsageError
from kamld.records.names import Name, Reference, parse_revision
from kamld.store.trees.entries import entries_of
from kamld.workspace import find_binding
from kamld.workspace.settle import bound_dataset
from kamld.workspace.switch import Switched, switch, switch_to_new


@click.command("switch")
@click.argument("words", metavar="[FOLDER] REVISION", nargs=-1, required=True)
@click.option("-c", "--create", is_flag=True, help="Make the branch REVISION here first.")
@json_option
@pass_door
def command(door: Door, words: tuple[str, ...], create: bool, as_json: bool) -> None:
    """Make FOLDER another version of its dataset: only what differs is written.

    Files that you changed stay as they are; if the other version differs in one of them, nothing is
    done and they are named. On a branch, the next commit goes there. Any other revision leaves the
    folder on no branch: look around; to keep what you change there, kamld commit -b NEW.

    \b
    Examples:
      kamld switch digits clean            to another branch
      kamld switch digits main             the newest version of main
      kamld switch digits main~3           three versions back
      kamld switch try -c                  a new branch from here, in the folder you are in
    """
    app = door.app
    if len(words) > 2 or "" in words:
        raise UsageError("usage", "Name a folder and a revision, or a revision.", "kamld switch --help")
    folder, revision = Path(words[0] if len(words) == 2 else "."), words[-1]
    top, binding = find_binding(existing_folder(app.folder, folder), app.of_binding)
    repository = app.of_binding(top, binding)
    dataset = bound_dataset(repository, top, binding)
    if create:
        done = switch_to_new(repository, top, revision, author=app.author)
    else:
        name = Name(dataset.project, dataset.name)
        resolved = repository.resolve(Reference(name, parse_revision(revision.removeprefix("@"))))
        with render.progress("Writing") as advance:
            done = switch(repository, top, resolved, progress=advance)
    now, was = done.binding, done.before
    if as_json:
        render.json_value(
            {**views.dataset_json(dataset), "folder": str(top), "branch": now.branch or None,
             "commit": now.commit, "old_branch": was.branch or None, "old_commit": was.commit,
             "changes": [views.change_json(change) for change in done.changes], "own_changes": done.kept,
             "purged": [render.path(entry.path) for entry in done.purged]}
        )  # fmt: skip
        return
    tell_left_out(repository.objects, entries_of(done.purged))
    message = repository.commit(now.commit).message
    _show(done, message.splitlines()[0] if message else "", str(folder))


def _show(done: Switched, subject: str, folder: str) -> None:
    now = done.binding
    where = f"on {now.branch}" if now.branch else "on no branch"
    what = f"   {views.changed_files(done.changes)}" if done.changes else ""
    render.say(f"{now.full_name.said} {where}, {render.commit_id(now.commit)}  {subject}{what}")
    if done.kept:
        render.say(f"What you had changed is still there: {render.files(done.kept)}.")
    if not now.branch:
        render.advise(f'To go on from here: kamld commit {quote(folder)} -b NEW -m "…"')
        back = done.before.branch or "main"
        render.advise(f"Back: kamld switch {quote(folder)} {quote(back)}")
