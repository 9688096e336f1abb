"""`kamld init`: a folder begins a dataset or model that has no files yet."""

from pathlib import Path
from shlex import quote

import click

from kamld.app import App
from kamld.cli import render, views
from kamld.cli.context import Door, FolderName, existing_folder, json_option, pass_door
from kamld.errors import UsageError
from kamld.records.names import check_word, parse_name
from kamld.workspace import settle
from kamld.workspace.committing.begin import Begun, begin
from kamld.workspace.committing.rebind import rebind


@click.command("init")
@click.argument("folder", type=FolderName(), default=".")
@click.option("--name", help="What it is called. Default: the folder's own name.")
@click.option("--model", is_flag=True, help="Make a model, not a dataset.")
@click.option("--project", help="Its project. Default: the settings'.")
@click.option("--bind", metavar="NAME[@REVISION]", help="Bind FOLDER, which has its files, to that again.")
@json_option
@pass_door
def command(
    door: Door, folder: Path, name: str | None, model: bool, project: str | None, bind: str | None,
    as_json: bool,
) -> None:  # fmt: skip
    """Begin a dataset or model with FOLDER, which may be empty, or not be there yet.

    Nothing in the folder is kept before the first kamld commit, and a model gets its first number then.
    You need not begin with this: kamld commit makes the dataset too.

    With --bind, a folder that lost its record of what it comes from, or whose version the hub lost, is a
    folder of that dataset again. Of a branch, the version is taken that its files are most like. No file is
    touched: kamld status then shows what differs.

    \b
    Examples:
      kamld init digits
      kamld init                             the folder you are in
      kamld init net --model --project vision
      kamld init digits --bind digits        .kamld/folder.json was lost
    """
    app = door.app
    if bind is not None:
        if name or model or project:
            raise UsageError("usage", "--bind names what is there: leave out --name, --model and --project.")
        _bind(app, existing_folder(app.folder, folder), bind, str(folder), as_json=as_json)
        return
    target = Path(app.folder, folder)
    known = target.exists() or target.is_symlink()
    target = existing_folder(app.folder, folder if known else folder.parent) / ("" if known else folder.name)
    binding = settle(target, app.of_binding)
    wanted = None
    if binding is None or name or project:
        within = check_word(project, "project") if project else app.project
        wanted = parse_name(name or check_word(target.name, "dataset or model (use --name)"), within)
    repository = app.of_binding(target, binding) if binding else app.new_repository
    kind = "model" if model else "dataset"
    begun = begin(repository, target, app.of_binding, name=wanted, kind=kind, author=app.author)
    if as_json:
        render.json_value(_json(begun, target))
    else:
        _show(begun, str(folder))


def _bind(app: App, target: Path, bind: str, folder: str, *, as_json: bool) -> None:
    done = rebind(app.repository, target, app.resolve(bind), app.hub_of)
    at = done.binding
    if as_json:
        of = views.dataset_json(done.dataset)
        shape = {"folder": str(target), "created": False, "branch": at.branch or None, "commit": at.commit}
        render.json_value(of | shape | {"same": done.same, "differ": done.differ})
        return
    where = f"on {at.branch}" if at.branch else "on no branch"
    subject = done.commit.message.splitlines()[0] if done.commit.message else ""
    render.say(f"{folder} is a folder of {at.full_name}, {where}, {render.commit_id(at.commit)}  {subject}")
    differ = f"{render.files(done.differ)} {'differs' if done.differ == 1 else 'differ'}"
    render.advise(
        f"{render.files(done.same)} {'is' if done.same == 1 else 'are'} as in that version, {differ}:"
        f" kamld status {quote(folder)}"
    )


def _json(begun: Begun, target: Path) -> dict[str, object]:
    of = begun.dataset
    return {
        "project": of.project, "name": of.name, "kind": of.kind, "folder": str(target),
        "created": begun.created, "branch": begun.branch or None, "commit": begun.commit,
    }  # fmt: skip


def _show(begun: Begun, folder: str) -> None:
    of = begun.dataset
    if not begun.created:
        where = f"on {begun.branch}" if begun.branch else "on no branch"
        at = render.commit_id(begun.commit)
        render.say(f"{folder} is a folder of {of.project}/{of.name} already, {where}, {at}.")
        return
    render.say(
        f'Created {of.kind} {of.project}/{of.name} (project "{of.project}"; change it with --project).'
    )
    say = f'kamld commit {quote(folder)} -m "…"'
    if begun.files:
        is_there = "file that is" if begun.files == 1 else "files that are"
        what = f"the {begun.files:,} {is_there} there"
        render.advise(f"It has no files yet; the first commit takes {what}: {say}")
    else:
        render.advise(f"It has no files yet. Put some into {folder}, then: {say}")
