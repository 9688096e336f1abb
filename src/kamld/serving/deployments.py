"""Deployments: which event comes next, and what a hub's events ask the server to serve. Pure.

An endpoint's events are numbered and never changed; the newest says what it serves. Its name is
its model name on the wire, so it is unique among the endpoints of a hub that serve. An event of a
later version, whose action is unknown here, changes nothing for a server that runs; who wants to
change its endpoint is refused.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from kamld import clock, ids
from kamld.errors import Conflict, Invalid, NotFound
from kamld.records.deployment import DeploymentEvent, ServedVersion
from kamld.records.encoding import newer
from kamld.records.names import Name, check_word

VERSIONS_MAX = 16  # a prediction id has 4 bits for the position of its version


@dataclass(frozen=True, slots=True)
class Planned:
    """`event` is to be appended; None: nothing would change. `before` is the newest so far."""

    event: DeploymentEvent | None
    before: DeploymentEvent | None


@dataclass(frozen=True, slots=True)
class Wanted:
    """An endpoint that should serve the first of `events` that can be loaded (newest first)."""

    name: Name
    events: tuple[DeploymentEvent, ...]


def plan_deploy(
    events: Iterable[DeploymentEvent],
    endpoint: Name,
    versions: Sequence[ServedVersion],
    *,
    author: str,
    revision: str = "",
    why: str = "",
) -> Planned:
    """Serve `versions` at `endpoint`. `events` are those of the hub, in any order.

    Raises Conflict when an endpoint of that name serves in another project, Invalid for versions
    that cannot be served together.
    """
    check_word(endpoint.name, "endpoint")
    _check_versions(versions)
    histories = _histories(events)
    for other, history in histories.items():
        if other.name == endpoint.name and other != endpoint and history[-1].action != "stop":
            raise Conflict(
                "endpoint_taken",
                f'The name "{endpoint.name}" already serves {other}.',
                f"Choose another name for the endpoint, or: kamld stop {other}",
            )
    before = _newest(histories, endpoint)
    _check_known(before)
    if before and before.action == "deploy" and before.versions == tuple(versions):
        return Planned(None, before)
    event = DeploymentEvent(
        key=_unused_key(histories),
        endpoint=endpoint.name,
        project=endpoint.project,
        seq=before.seq + 1 if before else 1,
        time=clock.now(),
        author=author,
        action="deploy",
        revision=revision,
        versions=tuple(versions),
        why=why,
    )
    return Planned(event, before)


def plan_stop(events: Iterable[DeploymentEvent], endpoint: Name, *, author: str, why: str = "") -> Planned:
    """Stop serving `endpoint`; stopping a stopped one changes nothing. Raises NotFound."""
    histories = _histories(events)
    before = _newest(histories, endpoint)
    if before is None:
        serving = ", ".join(sorted(str(w.name) for w in _wanted(histories)))
        raise NotFound(
            "unknown_endpoint",
            f'There is no endpoint "{endpoint}".',
            f"Serving: {serving}." if serving else "None is serving.",
        )
    _check_known(before)
    if before.action == "stop":
        return Planned(None, before)
    event = DeploymentEvent(
        key=_unused_key(histories),
        endpoint=endpoint.name,
        project=endpoint.project,
        seq=before.seq + 1,
        time=clock.now(),
        author=author,
        action="stop",
        why=why,
    )
    return Planned(event, before)


def wanted(events: Iterable[DeploymentEvent]) -> list[Wanted]:
    """The endpoints that should serve, those deployed first before later ones.

    Each comes with its events since it was last stopped, newest first.
    """
    return _wanted(_histories(events))


def _wanted(histories: dict[Name, list[DeploymentEvent]]) -> list[Wanted]:
    found = []
    for name, history in histories.items():
        since_stop: list[DeploymentEvent] = []
        for event in reversed(history):
            if event.action == "stop":
                break
            if event.action == "deploy":
                since_stop.append(event)
        if since_stop:
            found.append(Wanted(name, tuple(since_stop)))
    return sorted(found, key=lambda w: (w.events[-1].time, w.events[-1].key))


def _histories(events: Iterable[DeploymentEvent]) -> dict[Name, list[DeploymentEvent]]:
    histories = defaultdict(list)
    for event in events:
        histories[Name(event.project, event.endpoint)].append(event)
    for history in histories.values():
        history.sort(key=lambda event: event.seq)
    return dict(histories)


def _newest(histories: dict[Name, list[DeploymentEvent]], endpoint: Name) -> DeploymentEvent | None:
    return histories[endpoint][-1] if endpoint in histories else None


def _check_known(newest: DeploymentEvent | None) -> None:
    if newest and newest.action not in ("deploy", "stop"):
        raise newer("action", newest.action, f"The newest event of {newest.project}/{newest.endpoint}")


def _unused_key(histories: dict[Name, list[DeploymentEvent]]) -> str:
    used = {event.key for history in histories.values() for event in history}
    while (key := ids.new_event_key()) in used:
        pass
    return key


def _check_versions(versions: Sequence[ServedVersion]) -> None:
    if not 1 <= len(versions) <= VERSIONS_MAX:
        raise Invalid("bad_versions", f"An endpoint serves 1 to {VERSIONS_MAX} versions at a time.")
    if any(v.weight < 0 for v in versions) or sum(v.weight for v in versions) != 100:
        weights = ", ".join(f"{v.version} {v.weight} %" for v in versions)
        raise Invalid("bad_weights", f"The shares of the versions must add up to 100 %: {weights}.")
    if len({v.version for v in versions}) < len(versions):
        raise Invalid("bad_versions", "A version is named twice.", "Name each once.")
