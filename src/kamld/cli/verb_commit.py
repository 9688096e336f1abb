"""`kamld commit`: a folder's files become a version."""

from pathlib import Path
from shlex import quote

import click

from kamld.cli import render, views
from kamld.cli.context import Door, FolderName, existing_folder, json_option, pass_door
from kamld.errors import Conflict, UsageError
from kamld.records.history import Kind
from kamld.records.names import MAIN, check_word, parse_name
from kamld.store.refs.landing import Landed
from kamld.workspace import CommitResult, Wish, commit_folder, settle
from kamld.workspace.settle import bound_dataset


@click.command("commit")
@click.argument("folder", type=FolderName(), default=".")
@click.option("-m", "--message", help="What changed, in your words.")
@click.option("-b", "--branch", metavar="NEW", help="Begin this branch with it; the folder is there then.")
@click.option("--amend", is_flag=True, help="Replace the newest version, which FOLDER comes from.")
@click.option(
    "--keep-last",
    type=click.IntRange(1),
    metavar="N",
    help="A checkpoint: its files go once N newer checkpoints follow.",
)
@click.option("--model", is_flag=True, help="Make a model of it, not a dataset, on first use.")
@click.option("--name", help="Name on first use. Default: the folder's own.")
@click.option("--project", help="Project on first use. Default: the settings'.")
@json_option
@pass_door
def command(
    door: Door, folder: Path, message: str | None, branch: str | None, amend: bool, keep_last: int | None,
    model: bool, name: str | None, project: str | None, as_json: bool,
) -> None:  # fmt: skip
    """Keep what is in FOLDER as a new version.

    The first commit makes the dataset. No server, no configuration. What .kamldignore names is left
    out (Git's patterns); so are .kamld folders and hubs.

    With --amend the newest version is replaced, and keeps its message unless you give another; that is
    refused where others have gone on from it. kamld undo takes it back. With --keep-last a training can
    save as often as it likes: the history stays, and kamld gc gives back what old checkpoints needed. A
    tag keeps one of them for good.

    \b
    Examples:
      kamld commit digits -m "as delivered"
      kamld commit digits -m "relabelled 40"          a second version
      kamld commit net --model -m "from the old server"
      kamld commit digits -b try -m "cropped"         to a new branch
      kamld commit digits --amend                     one more file in the last version
      kamld commit net --keep-last 5 -m "epoch 12"
    """
    app = door.app
    if message is None and not amend:
        say = f'kamld commit {quote(str(folder))} -m "…"'
        raise UsageError("usage", "Missing option -m: say what changed, in your words.", say)
    if branch is not None and amend:
        raise UsageError("usage", "--amend is about the branch that the folder is on; leave out -b.")
    target = existing_folder(app.folder, folder)
    binding = settle(target, app.of_binding)
    kind: Kind = "model" if model else "dataset"
    wanted = None
    if binding is None or name or project:
        within = check_word(project, "project") if project else app.project
        wanted = parse_name(name or check_word(target.name, f"{kind} (use --name)"), within)
    repository = app.of_binding(target, binding) if binding else app.new_repository
    if binding and model and bound_dataset(repository, target, binding).kind != "model":
        raise Conflict("other_kind", f"{folder} is a folder of the dataset {binding.full_name} already.")
    with render.progress("Reading") as advance:
        result = commit_folder(
            repository, target, message, name=wanted, kind=kind, author=app.author,
            wish=Wish(branch, amend, keep_last), progress=advance,
        )  # fmt: skip
    if as_json:
        render.json_value(_json(result))
    else:
        _show(result, str(folder))


def _show(result: CommitResult, folder: str) -> None:
    dataset = result.dataset
    if result.committed is None:
        render.say(f"Nothing has changed since {render.commit_id(result.base or '')}; no new version.")
        if result.new_branch:
            render.say(f"The folder is on {result.branch} now, a new branch.")
        return
    made, landed = result.committed, result.committed.landed
    if result.created:
        hint = f' (project "{dataset.project}"; change it with --project)'
        render.say(f"Created {dataset.kind} {dataset.project}/{dataset.name}{hint}.")
    what = (
        f"{render.files(result.files)}, {render.size(result.bytes)}"
        if result.base is None
        else f"{views.change_counts(result.changes)} files"
        if result.changes
        else "the same files"
    )
    version = f"v{landed.move.version}  " if landed.move.version and landed.how == "moved" else ""
    first_line = made.commit.message.splitlines()[0] if made.commit.message else ""
    render.say(
        f"{render.commit_id(made.commit_id)}  {version}{first_line}   {what},"
        f" {render.size(result.bytes_added)} new"
    )
    if result.amended:
        render.say(f"It takes the place of {render.commit_id(result.base or '')}.")
        render.say(f"This takes it back: kamld undo {dataset.name}{_at(landed.branch)}")
    if result.new_branch:
        render.say(f"The folder is on {landed.branch} now, a new branch.")
    if landed.how == "merged":
        render.say(
            f"Others had committed to {landed.branch} meanwhile; theirs and yours are merged in"
            f" {render.commit_id(landed.head)}."
        )
    if landed.how == "kept":
        kept_apart(dataset.name, landed)
    elif result.created:
        render.say(f"Next: kamld status {quote(folder)}, kamld log {dataset.name}")


def _at(branch: str) -> str:
    return "" if branch == MAIN else f"@{branch}"


def kept_apart(name: str, landed: Landed) -> None:
    """Why a commit is on a branch of its own, and how it gets where it was meant for."""
    meant_for = landed.meant_for
    into = "" if meant_for == MAIN else f" --into {meant_for}"
    if landed.protected:
        why = f"{meant_for} was protected meanwhile."
    else:
        some = ", ".join(render.path(p) for p in landed.conflicts[:3])
        more = len(landed.conflicts) - 3
        why = f"Others had changed {some}{f' and {more:,} more' if more > 0 else ''} too."
    render.say(f"{why} Yours is kept as branch {landed.branch}; nothing is lost.")
    render.say(f"Look: kamld diff {name}@{meant_for} {name}@{landed.branch}")
    render.say(f"Bring it in: kamld merge {name} {landed.branch}{into}")


def _json(result: CommitResult) -> dict[str, object]:
    common = {
        "project": result.dataset.project,
        "name": result.dataset.name,
        "kind": result.dataset.kind,
        "created": result.created,
        "files": result.files,
        "bytes": result.bytes,
        "bytes_added": result.bytes_added,
    }
    if result.committed is None:
        return {"id": result.base, "changed": False, "branch": result.branch, **common}
    made = result.committed
    landed = {
        "branch": made.landed.branch,
        "landed": made.landed.how,
        "version": made.landed.move.version,
        "amended": result.base if result.amended else None,
    }
    return {**views.commit_json(made.commit_id, made.commit), "changed": True, **landed, **common}
