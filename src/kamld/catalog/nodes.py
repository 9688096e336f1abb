"""The tree that `why` answers with: what each thing is called and what is said about it. Pure.

`about` are short texts for people, each a column's worth; `details` is the same and more for
programs, under the records' own field names.
"""

import shlex
from datetime import MAXYEAR, UTC, datetime
from typing import Any

import msgspec

from kamld import clock, ids
from kamld.ids import PredictionId
from kamld.records.deployment import DeploymentEvent, Prediction, ServedVersion
from kamld.records.history import Commit, Kind, Split
from kamld.records.run import Run

_METRICS_SHOWN = 3


class Node(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One thing, and below it what it was made from.

    `via` says how it led to the node above it. A thing that has been shown already is `repeated`:
    it stands without its own children.
    """

    sort: str  # prediction, deployment, run, shortened, or the kind of a version: model, dataset
    title: str  # for people: "flowers-net v4"; the sort goes in front where it is not plain
    id: str = ""  # commit, run, deployment event or prediction, in full
    time: str = ""
    author: str = ""
    via: str = ""
    about: tuple[str, ...] = ()
    details: dict[str, Any] = {}
    repeated: bool = False
    children: tuple["Node", ...] = ()


def prediction_time(prediction: PredictionId) -> str:
    """ "" where the id has a time that no calendar has, or not in every time zone."""
    try:
        moment = datetime.fromtimestamp(prediction.time_ms / 1000, UTC)
    except (ValueError, OverflowError, OSError):
        return ""
    return clock.text(moment) if moment.year < MAXYEAR else ""


def of_prediction(
    prediction: PredictionId, served: ServedVersion, event: DeploymentEvent, line: Prediction | None
) -> Node:
    about = [line.answer or line.error] if line else ["not in the prediction log; this is what its id says"]
    details = {"endpoint": event.endpoint, "project": event.project, "logged": line is not None}
    details |= {"version": served.version, "commit": served.commit}
    if line:
        details |= {"status": line.status, "ms": line.ms, "answer": line.answer}
        about.append(f"{line.ms:.1f} ms")
        if line.error:
            details["error"] = line.error
    return Node(
        sort="prediction", title="prediction", id=str(prediction),
        time=line.time if line else prediction_time(prediction),
        about=tuple(filter(None, about)), details=details,
    )  # fmt: skip


def of_event(event: DeploymentEvent, title: str, served: ServedVersion | None) -> Node:
    """`served`: the one of its versions that is asked about, if it is one."""
    shown = [served] if served else list(event.versions)
    what = ", ".join(v.version if v.weight == 100 else f"{v.version} at {v.weight} %" for v in shown)
    known = {"deploy": what, "stop": "stopped"}
    what = known.get(event.action, f"{event.action} {what}".strip())  # a later kamld may have more
    details = {
        "endpoint": event.endpoint, "project": event.project, "seq": event.seq,
        "action": event.action, "revision": event.revision,
        "versions": [msgspec.to_builtins(version) for version in event.versions],
    }  # fmt: skip
    if event.why:
        details["why"] = event.why
    if served:
        details |= {"version": served.version, "weight": served.weight}
    return Node(
        sort="deployment", title=title, id=event.key, time=event.time, author=event.author,
        about=tuple(filter(None, (what, event.why))),
        details=details,
    )  # fmt: skip


def of_commit(
    commit_id: str, commit: Commit, kind: Kind, title: str, *, run: Run | None, totals: dict[str, int]
) -> Node:
    """`run` is the one that produced it, where its record is known."""
    about = [split_text(commit)] if commit.split else [commit.message]
    if run and kind == "model":
        about = [metrics_text(run) or commit.message]
    details: dict[str, Any] = {"message": commit.message, "tree": commit.tree, **totals}
    details["parents"] = list(commit.parents)
    for field in ("run", "origin", "split", "metadata"):
        value = getattr(commit, field)
        if value:
            details[field] = msgspec.to_builtins(value)
    if is_delivery(commit):
        details["first"] = True
    return Node(
        sort=kind, title=title, id=commit_id, time=commit.time, author=commit.author,
        about=tuple(filter(None, about)), details=details,
    )  # fmt: skip


def of_run(run: Run, title: str) -> Node:
    words = [shlex.join(run.command), *(f"{name}={value}" for name, value in run.params.items())]
    details = msgspec.to_builtins(run)
    for field in ("id", "author", "started"):
        details.pop(field)
    if run.environment:
        details["environment"]["packages"] = len(run.environment.packages)
    made_with = []
    if run.code:
        made_with.append(f"code {ids.short(run.code.tree)}")
    if run.environment:
        made_with.append(f"Python {run.environment.python}")
        made_with.append(f"{len(run.environment.packages)} packages")
    state = "" if run.state == "succeeded" else run.state
    return Node(
        sort="run", title=title, id=run.id, time=run.started, author=run.author,
        about=tuple(filter(None, (" ".join(words), ", ".join(made_with), state))), details=details,
    )  # fmt: skip


def of_unsealed_run(run_id: str) -> Node:
    about = "no record of it: it is running, or was ended before it could be written"
    return Node(sort="run", title="run", id=run_id, about=(about,), details={"sealed": False})


def of_gap(count: int, newest: str, oldest: str, merges: int) -> Node:
    """Commits that are left out; what those that are merges merged is left out too."""
    title = f"{count} commit{'s' if count > 1 else ''} between"
    if merges:
        title += f", {merges} of them merge{'s' if merges > 1 else ''}"
    details: dict[str, Any] = {"count": count, "newest": newest, "oldest": oldest}
    if merges:
        details["merges"] = merges
    return Node(sort="shortened", title=title, via="parent", details=details)


def of_depth(advice: str) -> Node:
    return Node(sort="shortened", title="further back", about=(advice,), details={"more": advice})


def is_delivery(commit: Commit) -> bool:
    """Whether it came from outside: nothing in the hub was there before it."""
    return not (commit.parents or commit.run or commit.origin)


def split_text(commit: Commit) -> str:
    rule = commit.split
    assert rule is not None
    name = commit.origin.name if commit.origin else "?"
    which = f" where {' '.join(rule.where.split())}" if rule.where else ""
    if not rule.parts:
        return f"those of {name}{which}"
    by = f", by {rule.by}" if rule.by else ""
    together = f", {rule.group} together" if rule.group else ""
    return f"split {share(rule) * 100:.4g} % of {name}, seed {rule.seed}{by}{together}{which}"


def share(rule: Split) -> float:
    """The share of its source that was asked for."""
    return next((part.share for part in rule.parts if part.name == rule.part), 0.0)


def metrics_text(run: Run) -> str:
    shown = list(run.metrics.items())[:_METRICS_SHOWN]
    return ", ".join(f"{name} {value:.4g}" for name, value in shown)
