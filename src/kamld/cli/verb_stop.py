"""`kamld stop`: a deployment serves no longer."""

import click

from kamld.app import App
from kamld.app import serving as wired
from kamld.cli import render
from kamld.cli.context import Door, json_option, pass_door
from kamld.errors import KamldError, UsageError
from kamld.records.names import Name
from kamld.serving import launch
from kamld.serving.deployments import plan_stop, wanted


@click.command("stop")
@click.argument("endpoint", required=False)
@click.option("--all", "everything", is_flag=True, help="All deployments, and the serving process.")
@click.option("--why", default="", help="A reason, kept in the endpoint's history.")
@json_option
@pass_door
def command(door: Door, endpoint: str | None, everything: bool, why: str, as_json: bool) -> None:
    """Stop a deployment; its history stays. Requests under way are still answered.

    \b
    Examples:
      kamld stop digits-net
      kamld stop --all
    """
    app = door.app
    if bool(endpoint) == everything:
        raise UsageError("usage", "Name one endpoint, or say --all.", "kamld deployments shows them.")
    targets = (
        [app.name(endpoint)] if endpoint else [want.name for want in wanted(wired.events(app, render.note))]
    )
    stopped = [target for target in targets if _stop(app, target, why)]
    _settle(app, end=everything)
    if as_json:
        render.json_value([{"name": target.name, "project": target.project} for target in stopped])
        return
    for target in targets:
        render.say(f"{target.said} is stopped{'' if target in stopped else ' already'}.")
    if not targets:
        render.say("Nothing is deployed.")


def _stop(app: App, target: Name, why: str) -> bool:
    planned = plan_stop(wired.events(app, render.note), target, author=app.author, why=why)
    if planned.event:
        app.repository.sealed.add_event(planned.event)
    return planned.event is not None


def _settle(app: App, *, end: bool) -> None:
    """Have the serving process obey; it ends by itself when nothing is left to serve."""
    folder = wired.serving_folder(app)
    found = launch.running(folder)
    if found is None:
        return
    try:
        stopping = launch.client(found).reconcile().stopping
        if end and not stopping:
            launch.client(found).shutdown()
    except KamldError as error:
        if error.code not in launch.PASSING:
            raise
        # the process is gone or going: there is nobody left to obey
    else:
        if stopping or end:
            launch.wait_ended(folder)
