"""`kamld merge`: what others did on another branch comes into this one."""

import click

from kamld.app import App
from kamld.app.checks import check_room
from kamld.changes.joining import Side
from kamld.changes.merging import asked, merge, resume
from kamld.changes.pending import find_pending, into, waiting
from kamld.cli import render, views
from kamld.cli.context import Door, json_option, key_option, pass_door
from kamld.cli.here import Here, meant, revision_here
from kamld.cli.merge_views import show_outcome
from kamld.errors import UsageError
from kamld.records.history import Dataset
from kamld.records.names import MAIN


@click.command("merge")
@click.argument("name", required=False, metavar="[NAME]")
@click.argument("source", metavar="[FROM]", required=False)
@click.option("--into", "branch", metavar="BRANCH", help="The branch that it comes into.  [main]")
@key_option("The columns that tell a table's rows apart.")
@click.option("--ours", is_flag=True, help="Where both changed a file, keep that of the branch.")
@click.option("--theirs", is_flag=True, help="Where both changed a file, take that of FROM.")
@click.option("--abort", is_flag=True, help="Give up the merge that waits.")
@click.option("--dry-run", is_flag=True, help="Only say what would happen.")
@click.option("-m", "--message", default="", help="Why, in your words.")
@json_option
@pass_door
def command(
    door: Door, name: str | None, source: str | None, branch: str | None, key: tuple[str, ...], ours: bool,
    theirs: bool, abort: bool, dry_run: bool, message: str, as_json: bool,
) -> int:  # fmt: skip
    """Merge FROM, a branch or any version of NAME, into a branch.

    Files go together by their paths, and tables (CSV, TSV, JSON lines, Parquet) that both changed row by row.
    Without conflicts the merge lands. With some, nothing changes: it waits in the hub, for as long as it
    takes and for anybody, until each is decided (kamld resolve). Without FROM: show what waits, into main
    or else into the one branch that something waits for.
    A branch that is simply behind moves forward without a merge; with -m it is one all the same, for the
    message to stand in. That of a merge that waits is kept until it lands.
    Into a protected branch (kamld branch --protect) it lands if all that must hold does.

    \b
    Examples:
      kamld merge clean                        that of the folder that you are in
      kamld merge digits clean                 the branch clean into main
      kamld merge digits clean --dry-run
      kamld merge digits main --into clean     the newest of main into clean
      kamld merge digits                       what is still to be decided
      kamld merge digits --theirs              decide all that is left, and land
      kamld merge digits --abort
    """
    if ours + theirs + abort > 1:
        raise UsageError("usage", "--ours, --theirs and --abort exclude each other.", "kamld merge --help")
    prefer: Side | None = "ours" if ours else "theirs" if theirs else None
    app: App = door.app
    if name and source is None and (here := revision_here(app, name)):
        app, source, branch = here.app, name, branch or _into(here, name)
        name = here.name
    app, name = meant(app, name, whole=True)
    dataset = app.dataset(name)
    if abort:
        return _abort(app, dataset, branch, source, as_json)
    if source is None:
        pending = find_pending(app.repository, dataset, branch)
        if key:
            again = f"kamld merge {dataset.said} {pending.source}{into(pending.branch)} --key {key[0]}"
            raise UsageError("usage", "--key needs FROM.", f"Look at the merge that waits again: {again}")
        if message and prefer is None:
            again = f"kamld merge {dataset.said} {pending.source}{into(pending.branch)} -m …"
            raise UsageError("usage", "-m needs FROM, or a side that ends it.", f"Name it again: {again}")
        request = resume(pending, prefer)
        dry_run = dry_run or prefer is None
    else:
        request = asked(app.repository, dataset, source, branch or MAIN, key, prefer)
    outcome = merge(
        app.repository, dataset, request, author=app.author, message=message, dry_run=dry_run,
        room=check_room(app),
    )  # fmt: skip
    status = show_outcome(app.repository, dataset, outcome, as_json=as_json)
    if source is None and branch is None:
        for other in waiting(app.repository, dataset):
            if other.branch != request.branch:
                render.advise_aside(f"Another waits: kamld merge {dataset.said}{into(other.branch)}")
    return status


def _into(here: Here, source: str) -> str:
    """What who is in a folder means and names no branch. Raises UsageError where that may be two."""
    may_be = [branch for branch in dict.fromkeys((here.branch or MAIN, MAIN)) if branch != source]
    if len(may_be) > 1:
        ways = " or ".join(f"kamld merge {here.dataset.said} {source} --into {branch}" for branch in may_be)
        raise UsageError("usage", f"Into which branch? The folder is on {here.branch}.", ways)
    return may_be[0] if may_be else MAIN


def _abort(app: App, dataset: Dataset, branch: str | None, source: str | None, as_json: bool) -> int:
    if source is not None:
        again = f"kamld merge {dataset.said}{into(branch or MAIN)} --abort"
        raise UsageError("usage", "--abort needs no FROM.", again)
    pending = find_pending(app.repository, dataset, branch)
    app.repository.merges.drop(dataset, pending)
    if as_json:
        gone = {"result": "aborted", "branch": pending.branch, "source": pending.source}
        render.json_value(views.dataset_json(dataset) | gone)
    else:
        decided = len(pending.resolutions)
        lost = f" {decided} decision{'s' if decided > 1 else ''} went with it." if decided else ""
        render.say(f"Gave up merging {pending.source} into {pending.branch}; both are as they were.{lost}")
    return 0
