"""Runs, wired to a hub: its executor and the live tables."""

from collections.abc import Iterator
from contextlib import contextmanager

from kamld.app import App
from kamld.database.live import LiveDatabase
from kamld.runs.executor.local import LocalExecutor
from kamld.runs.runner import Runner


@contextmanager
def open_runner(app: App) -> Iterator[Runner]:
    """Raises SystemFault."""
    executor = LocalExecutor(
        app.repository, app.local, cache_gb=app.settings.cache_gb, threads=app.settings.threads
    )
    with LiveDatabase(app.local / "live.sqlite") as live:
        yield Runner(app.repository, executor, live, app.local)
