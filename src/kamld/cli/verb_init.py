"""`kamld init`: a folder begins a dataset or model that has no files yet."""

from pathlib import Path
from shlex import quote

import click

from kamld.cli import render
from kamld.cli.context import Door, FolderName, existing_folder, json_option, pass_door
from kamld.records.names import check_word, parse_name
from kamld.workspace import settle
from kamld.workspace.committing.begin import Begun, begin


@click.command("init")
@click.argument("folder", type=FolderName(), default=".")
@click.option("--name", help="What it is called. Default: the folder's own name.")
@click.option("--model", is_flag=True, help="Make a model, not a dataset.")
@click.option("--project", help="Its project. Default: the settings'.")
@json_option
@pass_door
def command(
    door: Door, folder: Path, name: str | None, model: bool, project: str | None, as_json: bool
) -> None:
    """Begin a dataset or model with FOLDER, which may be empty, or not be there yet.

    Nothing in the folder is kept before the first kamld commit, and a model gets its first number then.
    You need not begin with this: kamld commit makes the dataset too.

    \b
    Examples:
      kamld init digits
      kamld init                             the folder you are in
      kamld init net --model --project vision
    """
    app = door.app
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
    render.say(f'It has no files yet. Put some into {folder}, then: kamld commit {quote(folder)} -m "…"')
