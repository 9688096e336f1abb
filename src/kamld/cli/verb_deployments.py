"""`kamld deployments`: what is served, and where."""

import click

from kamld.app import App
from kamld.app import serving as wired
from kamld.cli import render
from kamld.cli.context import Door, json_option, pass_door
from kamld.cli.endpoints import endpoint_json
from kamld.errors import KamldError
from kamld.serving import launch
from kamld.serving.deployments import Wanted, wanted
from kamld.serving.interface import EndpointState


@click.command("deployments")
@json_option
@pass_door
def command(door: Door, as_json: bool) -> None:
    """Show what is served, and where.

    \b
    Examples:
      kamld deployments
      kamld deployments --json
    """
    app = door.app
    should = [] if app.is_new else wanted(wired.events(app, render.note))
    states, url = _states(app) if should else ({}, "")
    shown = [(want, _state(want, states)) for want in should]
    if as_json:
        render.json_value([endpoint_json(w.name.name, s, _url(url, w)) for w, s in shown])
        return
    if not shown:
        render.advise("Nothing is deployed. kamld deploy MODEL serves a model.")
        return
    rows = [
        (
            want.name.said,
            state.state,
            ", ".join(f"{v.version} {v.weight} %" for v in state.versions),
            f"{render.who(want.events[0].author, app.author)}, {render.ago(want.events[0].time)}",
            _url(url, want),
        )
        for want, state in shown
    ]
    render.table(rows, header=("ENDPOINT", "STATE", "VERSIONS", "SINCE", "ADDRESS"))
    for _, state in shown:
        if state.trouble:
            render.say(f"{state.name}: {state.trouble.message} {state.trouble.hint}")
    if not url:
        render.advise("The serving process is not running; kamld predict or kamld deploy brings it back.")


def _states(app: App) -> tuple[dict[tuple[str, str], EndpointState], str]:
    """The server's own word for each endpoint, and its address; nothing where it is not there."""
    found = launch.running(wired.serving_folder(app))
    if found is None:
        return {}, ""
    try:
        status = launch.client(found).status()
    except KamldError:  # it is just being started again: what should serve is shown as `down`
        return {}, ""
    return {(state.project, state.name): state for state in status.endpoints}, found.url


def _state(want: Wanted, states: dict[tuple[str, str], EndpointState]) -> EndpointState:
    down = EndpointState(
        name=want.name.name, project=want.name.project, state="down", versions=want.events[0].versions
    )
    return states.get((want.name.project, want.name.name), down)


def _url(url: str, want: Wanted) -> str:
    return f"{url}/v2/models/{want.name.name}" if url else ""
