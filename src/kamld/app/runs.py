"""Runs, wired to a hub: its executor and the live tables."""

from collections.abc import Iterator
from contextlib import contextmanager

from kamld.app import App
from kamld.database.live import LiveDatabase
from kamld.runs.executor.local import LocalExecutor
from kamld.runs.runner import Runner


@contextmanager
def open_runner(app: App, *, make: bool = False) -> Iterator[Runner]:
    """`make`: also the hub, for who is about to run. Raises NotFound (no_hub), SystemFault."""
    repository = app.new_repository if make else app.repository
    executor = LocalExecutor(
        repository, app.local, cache_gb=app.settings.cache_gb, threads=app.settings.threads
    )
    with LiveDatabase(app.local / "live.sqlite") as live:
        yield Runner(repository, executor, live, app.local)
