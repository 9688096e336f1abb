"""`kamld branch`: make, list, remove or protect branches."""

import click

from kamld.app import App
from kamld.changes.protecting import Guarded, protect, unprotect
from kamld.cli import refs, render, views
from kamld.cli.context import Door, json_option, pass_door
from kamld.cli.here import meant
from kamld.errors import UsageError


@click.command("branch")
@click.argument("name", required=False, metavar="[NAME[@REVISION]]")
@click.argument("branch", required=False)
@click.option("--remove", is_flag=True, help="Remove the branch; its commits stay.")
@click.option("--protect", "guard", is_flag=True, help="Only kamld merge may move NAME@BRANCH from now on.")
@click.option("--unprotect", "lift", is_flag=True, help="Lift that.")
@click.option("--require", multiple=True, metavar="RULE", help="A rule that must hold before it moves.")
@click.option(
    "--check", multiple=True, metavar="COMMAND", help="A command that must succeed before it moves."
)
@json_option
@pass_door
def command(
    door: Door, name: str | None, branch: str | None, remove: bool, guard: bool, lift: bool,
    require: tuple[str, ...], check: tuple[str, ...], as_json: bool,
) -> None:  # fmt: skip
    """Make BRANCH at a version, or list the branches. Takes the same time for any size.

    A protected branch is moved by kamld merge alone, once all rules and commands hold for what would
    land. Rules are about the tables that it would change; PATHS is a pattern like "labels/*.csv":

    \b
      schema[:PATHS]                 no column comes, goes or gets another type
      no-nulls[:COLUMN[:PATHS]]      something is in every row
      rows:MIN-MAX[:PATHS]           so many rows; MIN or MAX may be left out

    Commands start in a folder with the files that would land. --protect again adds to what must hold;
    "none" for a RULE or a COMMAND takes away those that were asked for before.

    \b
    Examples:
      kamld branch digits                     which there are
      kamld branch                            of the folder that you are in
      kamld branch digits clean               a new one at the newest version
      kamld branch digits@main~3 retry
      kamld branch digits clean --remove      or: kamld branch digits@clean --remove
      kamld branch digits@main --protect --require schema --require no-nulls:label
      kamld branch digits@main --protect --check "python /srv/checks/digits.py"
      kamld branch digits@main --protect --require none --require schema    that rule alone
      kamld branch digits@main --unprotect
    """
    if guard or lift:
        if (guard and lift) or remove or branch or (lift and (require or check)):
            raise UsageError(
                "usage", "--protect and --unprotect are about NAME@BRANCH alone.", "kamld branch --help"
            )
        _guard(*meant(door.app, name), guard=guard, require=require, checks=check, as_json=as_json)
        return
    if require or check:
        raise UsageError("usage", "--require and --check belong to --protect.", "kamld branch --help")
    refs.make_list_or_remove(door.app, "branch", name, branch, remove=remove, as_json=as_json)


def _guard(
    app: App, text: str, *, guard: bool, require: tuple[str, ...], checks: tuple[str, ...], as_json: bool
) -> None:
    dataset, branch = refs.named(app, text, "branch", or_main=True)
    label = click.style(f"{dataset.said}@{branch}", bold=True)
    shown = views.dataset_json(dataset) | {"ref": branch, "ref_kind": "branch"}
    if guard:
        made = protect(app.repository, dataset, branch, author=app.author, require=require, checks=checks)
        if as_json:
            render.json_value(shown | {"protection": made.now, "added": made.added, "dropped": made.dropped})
            return
        _show_guard(label, made)
        render.advise(f"To lift that: kamld branch {dataset.said}@{branch} --unprotect")
        return
    was = unprotect(app.repository, dataset, branch)
    if as_json:
        render.json_value(shown | {"protection": None})
        return
    render.say(f"{label} is not protected any more." if was else f"{label} was not protected.")
    for rule in (*was.require, *was.checks) if was else ():
        render.say(f"  had to hold: {rule}")


def _show_guard(label: str, made: Guarded) -> None:
    """All that must hold now, and what has come or gone where some did before."""
    if made.was is None:
        render.say(f"{label} is protected: only kamld merge moves it from now on.")
    else:
        changed = "" if made.added or made.dropped else ", and that stays as it is"
        render.say(f"{label} was protected already{changed}: only kamld merge moves it.")
    rules = (*made.now.require, *made.now.checks)
    for rule in rules:
        render.say(f"  must hold: {rule}{'   (new)' if made.was and rule in made.added else ''}")
    for rule in made.dropped:
        render.say(f"  no longer: {rule}")
    if made.was and not rules:
        render.say("  Nothing else must hold.")
