"""`kamld undo`: take back what was done last to a branch, tag or alias, or a removal."""

from shlex import quote

import click

from kamld.app import App
from kamld.changes.pending import into
from kamld.changes.undo import Undone, undo
from kamld.cli import render, views
from kamld.cli.context import Door, json_option, pass_door
from kamld.cli.here import around, meant, or_here
from kamld.errors import NotFound, UsageError
from kamld.records.names import parse_revision
from kamld.store import Repository


@click.command("undo")
@click.argument("name", required=False, metavar="[NAME[@REF]]")
@click.option("--to", metavar="REVISION", help="Take back all since it was there.")
@json_option
@pass_door
def command(door: Door, name: str | None, to: str | None, as_json: bool) -> None:
    """Take back the last move of a branch (default: main), tag or alias.

    Without a NAME it is the branch of the folder that you are in, or that one's @REF.
    Brings back what was removed, too: a dataset by its name, a branch, tag or alias by NAME@REF. The
    versions stay as they are, and undo itself can be undone.

    \b
    Examples:
      kamld undo digits                  main is where it was before its last commit or merge
      kamld undo                         of the branch of the folder that you are in
      kamld undo digits --to main~3      three versions back at once
      kamld undo digits@champion         the alias names the version it named before
      kamld undo digits@delivered        the removed tag is back
      kamld rm digits; kamld undo digits
    """
    app, name = meant(door.app, name) if name else _branch_here(door.app)
    reference = app.reference(name)
    revision = reference.revision
    if reference.path or revision.steps or revision.time:
        raise UsageError(
            "usage", f'"{name}" is no branch, tag or alias.', "Write NAME or NAME@REF; kamld undo --help"
        )
    earlier = parse_revision(to) if to else None
    try:
        done = undo(app.repository, reference.name, revision.base, author=app.author, to=earlier)
    except NotFound as error:
        raise or_here(error, app, name, f"kamld undo NAME@{name}") from None
    if as_json:
        render.json_value(
            {**views.dataset_json(done.dataset), "ref": done.ref, "ref_kind": done.kind,
             "restored_dataset": done.back is None, "commit": done.commit,
             "old_commit": done.back.commit if done.back else None,
             "undone": done.back.reason if done.back else "remove",
             "returned": list(done.returned), "gone": list(done.gone), "lost_before": done.lost,
             "waits": done.waits is not None}
        )  # fmt: skip
        return
    _show(app.repository, done)


def _branch_here(app: App) -> tuple[App, str]:
    """That of the folder that one is in."""
    app, name = meant(app, None, whole=True)
    here = around(app)
    if here is None or not here.branch:
        raise UsageError("usage", f"Of what? The folder is on no branch of {name}.", "kamld undo @REF")
    return app, f"{name}@{here.branch}"


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
            bring = f"kamld switch FOLDER {quote(done.ref)}"
            render.advise(f"Folders keep their files. To have it in one: {bring}")
    if done.lost:
        render.say(f"What {done.ref} was right before is lost; of what is known, this is the newest.")
    for branch in done.returned:
        render.say(f"{name}@{branch}, which that merge had brought in, is back.")
    for branch in done.gone:
        render.say(f"{name}@{branch} is merged again, and has gone.")
    if done.waits:
        look = f"kamld merge {name}{into(done.ref)}"
        render.say(f"A merge of {done.waits.source} into {done.ref} waits, with what was decided. It stays:")
        render.advise(f"  {look}     Give it up: {look} --abort")
    again = name if done.ref == "main" else f"{name}@{done.ref}"
    if done.asks_again:
        render.say("Merging it anew asks anew for what was decided; to take this back brings that back too.")
    render.advise(f"To take that back: kamld undo {again}")


def _version(repository: Repository, commit_id: str | None) -> str:
    if commit_id is None:
        return "no version yet"
    message = repository.commit(commit_id).message
    return f"{render.commit_id(commit_id)}  {message.splitlines()[0] if message else ''}".rstrip()
