"""How runs look to programs and in lists, the same wherever they are told: sealed ones and running ones."""

from pathlib import Path
from typing import Any

import msgspec

from kamld import clock
from kamld.app import App
from kamld.app.runs import open_runner
from kamld.cli.views import plain
from kamld.database.answers import LiveRun
from kamld.errors import NotFound, SystemFault
from kamld.records.run import Run
from kamld.runs.draft import RunFolder, is_running

RUNNING, LOST = "running", "lost"


class Unsealed(msgspec.Struct, frozen=True, kw_only=True):
    """A run that has begun and has no record yet."""

    live: LiveRun
    state: str  # running; lost: its process is gone, and the next run's start closes it


def unsealed(app: App) -> list[Unsealed]:
    """Those of the project, newest first. Ask before the sealed ones: then no run is missed."""
    with open_runner(app) as runner:
        there = [run for run in runner.live.runs() if run.project == app.project]
    return [
        Unsealed(live=run, state=RUNNING if is_running(Path(run.folder)) else LOST)
        for run in there
        if not _is_sealed(app, run.id)
    ]


def _is_sealed(app: App, run_id: str) -> bool:
    try:
        app.repository.sealed.run(run_id)
    except NotFound:
        return False
    except SystemFault:
        pass  # damaged, as the catalog says too
    return True


def run_json(run: Run) -> dict[str, Any]:
    """A run's record; what programs may count on is there even where it is empty."""
    always = {name: getattr(run, name) for name in ("params", "metrics", "inputs", "outputs")}
    found: dict[str, Any] = plain(msgspec.to_builtins(run) | msgspec.to_builtins(always))
    return found


def unsealed_json(run: Unsealed) -> dict[str, Any]:
    """The same fields, as far as they are known before the end."""
    live = run.live
    draft = RunFolder(Path(live.folder), lock=-1).draft()  # only read, so it is not held
    found: dict[str, Any] = plain(
        {
            "id": live.id, "project": live.project, "number": None, "name": live.name, "state": run.state,
            "command": live.command, "author": draft.plan.author if draft else "", "started": live.started,
            "ended": None, "params": live.params, "metrics": {},
            "inputs": msgspec.to_builtins(draft.plan.inputs) if draft else [], "outputs": [],
            "host": live.host, "pid": live.pid,
        }
    )  # fmt: skip
    return found


def seconds_so_far(run: Unsealed) -> float:
    return (clock.moment(clock.now()) - clock.moment(run.live.started)).total_seconds()
