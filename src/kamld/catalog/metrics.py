"""What was measured of a version: by the run that made it, and by runs that took it in to evaluate it.

Reads the store alone, so that comparing versions needs no database.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import suppress

import msgspec

from kamld.errors import KamldError, NotFound
from kamld.records.run import Run
from kamld.store import Repository

LOOKED_THROUGH = 1000  # of the newest runs, for those that took a version in


class MetricChange(msgspec.Struct, frozen=True, kw_only=True):
    """One metric of two versions, and the numbers of the runs that measured it; None: not measured."""

    name: str
    before: float | None
    after: float | None
    run_before: int | None
    run_after: int | None


def compare_metrics(repository: Repository, before: str, after: str) -> list[MetricChange]:
    """Of two commits, in alphabetical order."""
    readers = _readers(repository, (before, after))
    old, new = (_measured(repository, commit_id, readers[commit_id]) for commit_id in (before, after))
    return [
        MetricChange(
            name=name,
            before=old[name].metrics[name] if name in old else None,
            after=new[name].metrics[name] if name in new else None,
            run_before=old[name].number if name in old else None,
            run_after=new[name].number if name in new else None,
        )
        for name in sorted({*old, *new})
    ]


def _readers(repository: Repository, commits: Sequence[str]) -> Mapping[str, list[Run]]:
    """Sealed runs that took one of the commits in, oldest first."""
    since = min(repository.commit(commit_id).time for commit_id in commits)
    found: dict[str, list[Run]] = defaultdict(list)
    for run_id in reversed(repository.sealed.run_ids()[-LOOKED_THROUGH:]):
        with suppress(KamldError):  # a record that is damaged is for kamld fsck to tell
            run = repository.sealed.run(run_id)
            if run.started < since:
                break
            for commit_id in {one.commit for one in run.inputs}.intersection(commits):
                found[commit_id].insert(0, run)
    return found


def _measured(repository: Repository, commit_id: str, readers: Sequence[Run]) -> dict[str, Run]:
    """The run that each metric is from. What an evaluation says goes before what training said, the
    newest first; a run that made a model of its own measured that."""
    found: dict[str, Run] = {}
    made_by = repository.commit(commit_id).run
    if made_by:
        with suppress(NotFound):  # it has not ended yet
            run = repository.sealed.run(made_by)
            found = dict.fromkeys(run.metrics, run)
    for run in readers:
        if run.state == "succeeded" and not any(output.kind == "model" for output in run.outputs):
            found |= dict.fromkeys(run.metrics, run)
    return found
