"""Runs whose process is gone: closed at the next start from what is in their folders.

A run whose command was seen to end is sealed as what it was, outputs and all: its disk was full, or
the machine stopped while it was sealed. Any other has failed, and what is left of its command is
stopped.
"""

from dataclasses import dataclass
from pathlib import Path

from kamld import clock
from kamld.errors import KamldError, NotFound, SystemFault
from kamld.records.run import Run
from kamld.runs.draft import End, RunFolder, abandoned
from kamld.runs.interface import Executor, Live
from kamld.runs.seal import land_outputs, seal
from kamld.store import Repository

_LOST = "kamld, or the machine, stopped before the command had ended."


@dataclass(frozen=True, slots=True)
class Closed:
    """What became of a run that was found. `error` says why it could not be closed yet."""

    folder: Path
    run: Run | None
    error: KamldError | None = None


def close_unfinished(repository: Repository, executor: Executor, live: Live, state: Path) -> list[Closed]:
    """Cheap when there are none. Never raises for a single run that cannot be closed."""
    found = []
    for folder in abandoned(state):
        try:
            run = _close(repository, executor, folder, state)
        except SystemFault as error:
            folder.close()
            found.append(Closed(folder.path, None, error))
            continue
        except KamldError as error:  # a second try would meet the same
            run = None
            found.append(Closed(folder.path, None, error))
        live.remove_run(folder.path.name)
        folder.remove()
        if run:
            found.append(Closed(folder.path, run))
    return found


def _close(repository: Repository, executor: Executor, folder: RunFolder, state: Path) -> Run | None:
    """None: it had not begun, so there is nothing to keep."""
    draft = folder.draft()
    if draft is None:
        return None
    job = draft.plan.job
    sealed = _sealed(repository, job.id)
    if sealed:
        land_outputs(repository, sealed)
    else:
        executor.cancel(job, "kill")
        lost = End(ended=clock.now(), state="failed", code="run_lost", error=_LOST)
        end = folder.end() or lost
        sealed = seal(repository, executor, state, folder, draft, end, lambda *_: None).run
    executor.release(job)
    return sealed


def _sealed(repository: Repository, run_id: str) -> Run | None:
    try:
        return repository.sealed.run(run_id)
    except NotFound:
        return None
