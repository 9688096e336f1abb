"""Records as rows of the catalog's tables. Pure: equal records give equal rows."""

import math
from collections.abc import Iterable
from typing import Any

import msgspec
from sqlalchemy import Table

from kamld.database import tables
from kamld.database.answers import Reached
from kamld.records.deployment import DeploymentEvent
from kamld.records.encoding import encode
from kamld.records.history import Dataset, Move, Ref
from kamld.records.run import Parameter, Run

Row = dict[str, Any]
Rows = list[tuple[Table, list[Row]]]  # in the order in which they can be inserted


def of_dataset(dataset: Dataset) -> Row:
    return msgspec.structs.asdict(dataset)


def of_ref(dataset_id: str, ref: Ref) -> Row:
    return {
        "dataset_id": dataset_id,
        "name": ref.name,
        "kind": ref.kind,
        "commit_id": ref.commit,
        "seq": ref.last.seq,
        "moved": ref.last.time,
        "write_id": ref.last.write_id,
    }


def of_move(dataset_id: str, ref: str, move: Move) -> Row:
    return {
        "dataset_id": dataset_id,
        "ref": ref,
        "seq": move.seq,
        "time": move.time,
        "author": move.author,
        "reason": move.reason,
        "commit_id": move.commit,
        "version": move.version,
    }


def of_commits(reached: Iterable[Reached]) -> Rows:
    commits, parents = [], []
    for one in reached:
        commit, origin = one.commit, one.commit.origin
        commits.append(
            {
                "id": one.id,
                "tree": commit.tree,
                "time": commit.time,
                "author": commit.author,
                "message": commit.message,
                "run_id": commit.run,
                "origin_dataset_id": origin.dataset if origin else None,
                "origin_commit_id": origin.commit if origin else None,
                "entries": one.entries,
                "bytes": one.bytes,
            }
        )
        parents += [
            {"commit_id": one.id, "position": position, "parent_id": parent}
            for position, parent in enumerate(commit.parents)
        ]
    return [(tables.commits, commits), (tables.commit_parents, parents)]


def of_run(run: Run) -> Rows:
    row = {
        "id": run.id,
        "project": run.project,
        "number": run.number,
        "name": run.name,
        "state": run.state,
        "author": run.author,
        "started": run.started,
        "ended": run.ended,
        "record": encode(run).decode(),
    }
    params = [
        {"name": name, "value": msgspec.json.encode(value).decode(), "number": _number(value)}
        for name, value in run.params.items()
    ]
    metrics = [{"name": name, "value": _number(value)} for name, value in run.metrics.items()]
    return [
        (tables.runs, [row]),
        (tables.run_params, [{"run_id": run.id} | param for param in params]),
        (tables.run_metrics, [{"run_id": run.id} | metric for metric in metrics]),
        (tables.run_inputs, _numbered(run.id, run.inputs)),
        (tables.run_outputs, _numbered(run.id, run.outputs)),
    ]


def of_event(event: DeploymentEvent) -> Rows:
    row = msgspec.structs.asdict(event)
    versions = [
        msgspec.structs.asdict(served) | {"event_key": event.key, "slot": slot}
        for slot, served in enumerate(row.pop("versions"))
    ]
    for version in versions:
        version["commit_id"] = version.pop("commit")
    return [(tables.deployment_events, [row]), (tables.event_versions, versions)]


def _numbered(run_id: str, ends: Iterable[msgspec.Struct]) -> list[Row]:
    found = []
    for position, end in enumerate(ends):
        row = msgspec.structs.asdict(end) | {"run_id": run_id, "position": position}
        row["commit_id"] = row.pop("commit")
        found.append(row)
    return found


def _number(value: Parameter | None) -> float | None:
    """As a column of numbers keeps it; None for a text, true, false, nan, or more than a double."""
    if value is None or isinstance(value, str | bool):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None
