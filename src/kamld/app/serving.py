"""Serving, wired to a hub: its events, its models' files, its process, its log."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from kamld import ids
from kamld.app import App, tree_cache
from kamld.errors import Invalid, NotFound, SystemFault
from kamld.records.deployment import DeploymentEvent, ServedVersion
from kamld.serving import launch
from kamld.serving.client import Client
from kamld.serving.deployments import wanted
from kamld.serving.state import ServingState
from kamld.store.refs.expiry import check_kept
from kamld.store.refs.revisions import Resolved


def serving_folder(app: App) -> Path:
    return app.local / "serving"


def predictions_folder(app: App) -> Path:
    return serving_folder(app) / "predictions"


def events(app: App, tell: Callable[[str], None] = lambda _: None) -> list[DeploymentEvent]:
    """All deployment events of the hub, each endpoint's in order.

    An endpoint with a damaged event is left out and told of, so that it stops nobody else.
    """
    sealed, found = app.repository.sealed, []
    for endpoint in sealed.endpoints():
        try:
            found += sealed.history(endpoint)
        except SystemFault as fault:
            tell(f"The history of {endpoint} cannot be read: {fault}")
    return found


def server_command(app: App) -> list[str]:
    """How a server is started for this hub, with the settings of now."""
    settings = app.settings
    return [
        *_kamld(app), "serving-process", "--threads", str(settings.threads),
        "--request-mb", str(settings.request_mb),
        "--log-outputs" if settings.log_outputs else "--no-log-outputs",
    ]  # fmt: skip


def supervisor_command(app: App) -> list[str]:
    settings = app.settings
    where = ["--host", settings.host, "--port", str(settings.port)]
    return [*_kamld(app), "serving-supervisor", *where, "--", *server_command(app)]


def has_other_settings(app: App, found: ServingState) -> bool:
    """Whether the process that runs was started with settings that are not those of now."""
    settings = app.settings
    elsewhere = found.host != settings.host or settings.port not in (0, found.port)
    return elsewhere or list(found.command) != server_command(app)


def _kamld(app: App) -> list[str]:
    return [sys.executable, "-m", "kamld", "--hub", app.settings.hub]


def served_version(app: App, resolved: Resolved, weight: int = 100) -> ServedVersion:
    """Raises Invalid (not_a_model), NotFound (expired_checkpoint)."""
    of = resolved.dataset
    if of.kind != "model":
        raise Invalid(
            "not_a_model",
            f"{of.project}/{of.name} is a dataset; only models are deployed.",
            "Make a model with: kamld run -o model:NAME …, or kamld commit FOLDER --model",
        )
    check_kept(app.repository.objects, resolved.commit)
    number = app.repository.refs.version_of(of, resolved.commit_id)
    version = f"v{number}" if number else ids.short(resolved.commit_id)
    return ServedVersion(
        project=of.project, name=of.name, version=version, commit=resolved.commit_id, weight=weight
    )


@contextmanager
def model_folder(app: App, served: ServedVersion) -> Iterator[Path]:
    """The files of a model version, in the cache that runs have their inputs in. Raises SystemFault."""
    cache = tree_cache(app)
    lease = cache.lease(app.repository.commit(served.commit).tree)
    try:
        yield lease.path
    finally:
        lease.give_back()
        cache.make_room()


def connected(app: App, endpoint: str) -> Client:
    """A client of the serving process, which is started if an endpoint of that name should serve.

    Raises NotFound (unknown_endpoint), SystemFault.
    """
    found = launch.running(serving_folder(app))
    if found is None:
        names = [w.name.name for w in wanted(events(app))]
        if endpoint not in names:
            raise NotFound(
                "unknown_endpoint",
                f'There is no deployment "{endpoint}".',
                f"There are: {', '.join(names)}." if names else f"Make one: kamld deploy {endpoint}",
            )
        launch.reconciled(serving_folder(app), supervisor_command(app))
        found = launch.ensure_running(serving_folder(app), supervisor_command(app))
    return launch.client(found)
