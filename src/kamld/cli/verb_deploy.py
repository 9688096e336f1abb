"""`kamld deploy`: a model version answers over HTTP."""

import click

from kamld.app import App
from kamld.app import serving as wired
from kamld.cli import render
from kamld.cli.context import Door, json_option, pass_door
from kamld.cli.endpoints import endpoint_json, endpoint_lines
from kamld.errors import Invalid, SystemFault
from kamld.records.deployment import DeploymentEvent, ServedVersion
from kamld.records.names import Name
from kamld.serving import launch
from kamld.serving.deployments import plan_deploy
from kamld.serving.interface import EndpointState
from kamld.serving.models.onnx import OnnxModel


@click.command("deploy")
@click.argument("name", metavar="MODEL[@REVISION]")
@click.option("--name", "endpoint", help="Name of the endpoint. Default: the model's.")
@click.option("--why", default="", help="A reason, kept in the endpoint's history.")
@json_option
@pass_door
def command(door: Door, name: str, endpoint: str | None, why: str, as_json: bool) -> None:
    """Serve a model version over HTTP, on the Open Inference Protocol v2.

    The first deployment starts the serving process in the background; it ends with the last one.
    Deploying another version to an endpoint replaces the one before without a gap.

    \b
    Examples:
      kamld deploy digits-net                  its newest version
      kamld deploy digits-net@champion
      kamld deploy digits-net@v3 --name digits-next
    """
    app = door.app
    resolved = app.resolve(name)
    served = wired.served_version(app, resolved)
    # Loaded here once, so that a model that cannot serve never becomes a deployment.
    with wired.model_folder(app, served) as files:
        OnnxModel(files, f"{served.name} {served.version}", threads=1)
    target = Name(served.project, endpoint or served.name)
    _, at, revision = name.partition("@")
    running = launch.ensure_running(wired.serving_folder(app), wired.supervisor_command(app))
    planned = plan_deploy(
        wired.events(app, render.note),
        target,
        [served],
        author=app.author,
        revision=revision if at else "main",
        why=why,
    )
    if planned.event:
        with app.repository.kept(resolved.dataset, resolved.commit_id):
            app.repository.sealed.add_event(planned.event)
    state = _obeyed(app, target)
    if wired.has_other_settings(app, running):
        render.advise_aside(
            "The serving process still has the settings that it was started with;"
            " kamld stop --all, then deploy again, gives it those of now."
        )
    url = f"{running.url}/v2/models/{target.name}"
    if as_json:
        render.json_value(endpoint_json(target.name, state, url))
        return
    _show(planned.event, state, served, url, target)


def _obeyed(app: App, target: Name) -> EndpointState:
    """The endpoint as it serves now. Raises Invalid, SystemFault where it does not."""
    found = launch.reconciled(wired.serving_folder(app), wired.supervisor_command(app))
    state = next((e for e in found.endpoints if (e.project, e.name) == (target.project, target.name)), None)
    if state is None:
        raise SystemFault("not_serving", f"{target} was stopped by somebody else meanwhile.")
    if state.trouble:
        kind = Invalid if state.trouble.exit_status == 1 else SystemFault
        raise kind(state.trouble.code, state.trouble.message, state.trouble.hint)
    return state


def _show(
    event: DeploymentEvent | None, state: EndpointState, served: ServedVersion, url: str, target: Name
) -> None:
    if event is None:
        render.say(f"{target.said} serves {served.version} already.")
    render.say(f"endpoint {click.style(target.said, bold=True)}   {url}")
    endpoint_lines(state.versions)
    render.advise(f"Try it: kamld predict {target.said} FILE        Stop it: kamld stop {target.said}")
