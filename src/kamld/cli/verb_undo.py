"""`kamld undo`: take back what was done last to a branch, tag or alias, or a removal."""

from shlex import quote

import click

from kamld.changes.undo import Undone, undo
from kamld.cli import render, views
from kamld.cli.context import Door, json_option, pass_door
from kamld.errors import UsageError
from kamld.records.names import parse_revision
from kamld.store import Repository


@click.command("undo")
@click.argument("name", metavar="NAME[@REF]")
@click.option("--to", metavar="REVISION", help="Take back all since it was there.")
@json_option
@pass_door
def command(door: Door, name: str, to: str | None, as_json: bool) -> None:
    """Take back the last move of a branch (default: main), tag or alias.

    Brings back what was removed, too: a dataset by its name, a branch, tag or alias by NAME@REF. The
    versions stay as they are, and undo itself can be undone.

    \b
    Examples:
      kamld undo digits                  main is where it was before its last commit or merge
      kamld undo digits --to main~3      three versions back at once
      kamld undo digits@champion         the alias names the version it named before
      kamld undo digits@delivered        the removed tag is back
      kamld rm digits; kamld undo digits
    """
    app = door.app
    reference = app.reference(name)
    revision = reference.revision
    if reference.path or revision.steps or revision.time:
        raise UsageError(
            "usage", f'"{name}" is no branch, tag or alias.', "Write NAME or NAME@REF; kamld undo --help"
        )
    earlier = parse_revision(to) if to else None
    done = undo(app.repository, reference.name, revision.base, author=app.author, to=earlier)
    if as_json:
        render.json_value(
            {**views.dataset_json(done.dataset), "ref": done.ref, "ref_kind": done.kind,
             "restored_dataset": done.back is None, "commit": done.commit,
             "old_commit": done.back.commit if done.back else None,
             "undone": done.back.reason if done.back else "remove",
             "returned": list(done.returned), "gone": list(done.gone)}
        )  # fmt: skip
        return
    _show(app.repository, done)


def _show(repository: Repository, done: Undone) -> None:
    name = done.dataset.said
    if done.back is None:
        render.say(f"{click.style(name, bold=True)} is back: {_version(repository, done.commit)}")
        return
    label = click.style(f"{name}@{done.ref}", bold=True)
    if done.commit is None:
        render.say(f"{label} is removed again; it was made at {_version(repository, done.back.commit)}")
    elif done.back.commit is None:
        render.say(f"{label} is back: {_version(repository, done.commit)}")
    else:
        was = render.commit_id(done.back.commit)
        render.say(f"{label}   {_version(repository, done.commit)}   (was {was})")
        if done.kind == "branch":
            render.say(f"Folders keep their files. To have it in one: kamld switch FOLDER {quote(done.ref)}")
    for branch in done.returned:
        render.say(f"{name}@{branch}, which that merge had brought in, is back.")
    for branch in done.gone:
        render.say(f"{name}@{branch} is merged again, and has gone.")
    again = name if done.ref == "main" else f"{name}@{done.ref}"
    render.say(f"To take that back: kamld undo {again}")


def _version(repository: Repository, commit_id: str | None) -> str:
    if commit_id is None:
        return "no version yet"
    message = repository.commit(commit_id).message
    return f"{render.commit_id(commit_id)}  {message.splitlines()[0] if message else ''}".rstrip()
