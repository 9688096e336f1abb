"""`kamld commit`: a folder's files become a version."""

import re
from collections import Counter
from pathlib import Path
from shlex import quote

import click

from kamld.app import App
from kamld.changes.pending import into
from kamld.cli import folder_views, render, views
from kamld.cli.context import Door, FolderName, existing_folder, json_option, pass_door
from kamld.cli.folder_views import GONE
from kamld.cli.left_out import tell_left_out
from kamld.errors import Conflict, Invalid, UsageError
from kamld.records.history import Kind
from kamld.records.names import MAIN, Name, check_word, parse_name
from kamld.store import Repository
from kamld.store.refs.landing import Landed, meant_for
from kamld.store.trees.entries import Added, entries_of
from kamld.workspace import CommitResult, Wish, commit_folder, settle
from kamld.workspace.committing.standing import standing
from kamld.workspace.mounted import mount_of
from kamld.workspace.settle import bound_dataset

_UNSAID = click.core.ParameterSource.DEFAULT
_UNLIKELY = re.compile(rb"(?:^|/)(\.git|__MACOSX|\.ipynb_checkpoints|__pycache__)/")


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
    if message is not None and not message.strip():
        say = f'kamld commit {quote(str(folder))} -m "…"'
        way = "Say what changed; --amend without -m keeps the message." if amend else say
        raise UsageError("usage", "The message is empty: say what changed, in your words.", way)
    if message is None and not amend:
        say = f'kamld commit {quote(str(folder))} -m "…"'
        raise UsageError("usage", "Missing option -m: say what changed, in your words.", say)
    if branch is not None and amend:
        raise UsageError("usage", "--amend is about the branch that the folder is on; leave out -b.")
    target = existing_folder(app.folder, folder)
    binding = settle(target, app.of_binding)
    if binding is None and click.get_current_context().get_parameter_source("folder") is _UNSAID:
        _check_meant(app, target, message or "…")
    kind: Kind = "model" if model else "dataset"
    wanted = None
    if binding is None or name or project:
        within = check_word(project, "project") if project else app.project
        given = name or (binding.name if binding else check_word(target.name, f"{kind} (use --name)"))
        wanted = parse_name(given, within)
    repository = app.of_binding(target, binding) if binding else app.new_repository
    if binding and model and bound_dataset(repository, target, binding).kind != "model":
        raise Conflict("other_kind", f"{folder} is a folder of the dataset {binding.full_name} already.")
    with render.progress("Reading") as advance:
        result = commit_folder(
            repository, target, message, name=wanted, kind=kind, author=app.author,
            wish=Wish(branch, amend, keep_last), progress=advance,
        )  # fmt: skip
    if as_json:
        render.json_value(_json(repository, result))
        return
    tell_left_out(repository.objects, entries_of(result.purged))
    folder_views.tell_apart(result.apart)
    bring = "" if mount_of(target) else f"kamld switch {quote(str(folder))}"
    _show(result, quote(str(folder)), bring)
    if result.created:
        _tell_unlikely(result, quote(str(folder)))
    if result.committed and result.base and not branch:
        _tell_part(repository, result)
    if result.committed is None and binding and not result.new_branch:
        stands = standing(repository, result.dataset, binding)
        if stands.is_gone:
            render.advise(f"It {GONE[stands.how]} {binding.branch}: kamld status {quote(str(folder))}")
        if stands.how == "merged":
            way = f": {bring} {quote(stands.branch)}" if bring else "."
            render.advise(f"{binding.branch} was merged into {stands.branch} and has gone{way}")
    if result.committed and binding and not result.new_branch:
        _tell_merged(binding.branch, result.committed.landed.meant_for)


def _check_meant(app: App, folder: Path, message: str) -> None:
    """That a folder which nobody named has not everything in it. Raises Invalid (folder_not_named)."""
    home = Path(app.environment.get("HOME") or "/nonexistent").resolve()
    hub = Path(app.settings.hub).resolve()
    if folder == home:
        what = "your home folder"
    elif folder.parent == folder:
        what = "the top of the whole file system"
    elif hub.is_relative_to(folder):
        what = "the folder that the hub is in"
    else:
        return
    say = f"-m {quote(message)}"
    raise Invalid(
        "folder_not_named",
        f"{folder} is {what}, and no folder was named.",
        f"Name what you mean: kamld commit FOLDER {say}. If you mean all of it: kamld commit"
        f" {quote(str(folder))} {say}",
    )


def _tell_unlikely(result: CommitResult, folder: str) -> None:
    """Of a first version: what others make in folders and few mean to keep as data."""
    paths = result.changes.paths if isinstance(result.changes, Added) else [c.path for c in result.changes]
    found = filter(None, map(_UNLIKELY.search, paths))
    for name, count in Counter(one[1].decode() for one in found).items():
        way = f"echo {name} >> {folder}/.kamldignore"
        render.say(f"It includes {name} ({render.files(count)}); to leave it out: {way}")


def _tell_merged(before: str, now: str) -> None:
    if before != now:
        render.say(f"{before}, which the folder was on, was merged into {now} and has gone.")


def _show(result: CommitResult, folder: str, bring: str) -> None:
    """`folder` as it is typed, and the command that makes it another version, if one can."""
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
        else views.changed_files(result.changes)
        if result.changes
        else "the same files"
    )
    if result.purged:
        what += f", {len(result.purged):,} purged left out"
    whole = landed.how in ("moved", "carried")
    version = f"v{landed.move.version}  " if landed.move.version and whole else ""
    first_line = made.commit.message.splitlines()[0] if made.commit.message else ""
    shown = landed.head if landed.how == "carried" else made.commit_id
    what += f", {render.size(result.bytes_added)} new"
    if landed.how != "kept" and not result.new_branch and landed.branch != MAIN:
        what += f", on {landed.branch}"
    render.say(f"{render.commit_id(shown)}  {version}{first_line}   {what}")
    if result.amended:
        render.say(f"It takes the place of {render.commit_id(result.base or '')}.")
        render.advise(f"This takes it back: kamld undo {dataset.said}{_at(landed.branch)}")
    if result.new_branch:
        render.say(f"The folder is on {landed.branch} now, a new branch.")
    if landed.how == "merged":
        render.say(
            f"Others had committed to {landed.branch} meanwhile; theirs and yours are merged in"
            f" {render.commit_id(landed.head)}."
        )
        if bring:
            render.advise(f"The folder has only yours. To have both there: {bring} {quote(landed.branch)}")
    if landed.how == "carried":
        render.say(
            f"The folder has what {GONE[landed.gone.how if landed.gone else 'taken back']}"
            f" {landed.branch}; only what you changed since was added there."
        )
        if bring:
            render.advise(f"Make the folder {landed.branch}'s: {bring} {quote(landed.branch)}")
    if landed.how == "kept":
        _kept_apart(dataset.said, landed, bring)
    elif (meant := meant_for(landed.branch)) != landed.branch and not result.new_branch:
        render.advise(
            f"That branch was kept apart from {meant}. Bring it in:"
            f" kamld merge {dataset.said} {landed.branch}{into(meant)}"
        )
    elif result.created:
        render.advise(f"Next: kamld status {folder}, kamld log {dataset.said}")


def _tell_part(repository: Repository, result: CommitResult) -> None:
    """Once, when the first version follows on those that a split made."""
    before = repository.commit(result.base or "")
    branch = result.committed.landed.branch if result.committed else ""
    if before.split and before.origin and branch == MAIN and not result.amended:
        name, of = result.dataset.said, Name(before.origin.project, before.origin.name).said
        render.advise_aside(
            f"{name} was made by a split of {of}. A split does not replace it any more,"
            f" unless this is taken back: kamld undo {name}"
        )


def _at(branch: str) -> str:
    return "" if branch == MAIN else f"@{branch}"


def _kept_apart(name: str, landed: Landed, bring: str) -> None:
    """Why a commit is on a branch of its own, where that leaves the folder, and how it gets where it was
    meant for."""
    meant = landed.meant_for
    some = ", ".join(render.path(p) for p in landed.conflicts[:3])
    more = len(landed.conflicts) - 3
    some += f" and {more:,} more" if more > 0 else ""
    if landed.protected:
        why = f"{meant} was protected meanwhile."
    elif landed.gone:
        why = f"Your change to {some} builds on what {GONE[landed.gone.how]} {meant}."
    else:
        why = f"Others had changed {some} too."
    render.say(f"{why} Yours is kept as branch {landed.branch}; nothing is lost.")
    render.say(f"The folder is on {landed.branch} now, and so is what you commit there next.")
    render.advise(f"Look: kamld diff {name}@{meant} {name}@{landed.branch}")
    back = ", with what is gone" if landed.gone else ""
    render.advise(f"Bring it in{back}: kamld merge {name} {landed.branch}{into(meant)}")
    if bring:
        render.advise(f"Leave it there, and go on with {meant}: {bring} {quote(meant)}")


def _json(repository: Repository, result: CommitResult) -> dict[str, object]:
    return {
        **views.landed_json(repository, result.dataset, result.base, result.committed),
        **views.dataset_json(result.dataset),
        "branch": result.committed.landed.branch if result.committed else result.branch,
        "amended": result.base if result.amended else None,
        "purged": [render.path(entry.path) for entry in result.purged],
        "apart": folder_views.apart_json(result.apart),
        "created": result.created,
        "files": result.files,
        "bytes": result.bytes,
        "bytes_added": result.bytes_added,
    }
