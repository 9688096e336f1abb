"""The endpoints a server has, brought in line with what the hub's deployment events ask for.

A request looks an endpoint up without a lock and keeps what it found: reconciling replaces whole
entries, a new one only after its models are loaded, so no request sees half a change.
"""

import random
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from itertools import accumulate

from kamld.errors import KamldError, NotFound, SystemFault
from kamld.records.deployment import DeploymentEvent, ServedVersion
from kamld.serving.deployments import Wanted, wanted
from kamld.serving.interface import EndpointState, Events, ModelMetadata, Trouble
from kamld.serving.models.onnx import PLATFORM, OnnxModel
from kamld.serving.pace import Pace

Load = Callable[[ServedVersion], OnnxModel]


@dataclass(frozen=True, slots=True)
class Served:
    """A version at its position in an event, ready to answer."""

    version: ServedVersion
    slot: int
    model: OnnxModel
    pace: Pace = field(default_factory=Pace)


class Endpoint:
    """What one deployment event serves. Never changes."""

    def __init__(self, event: DeploymentEvent, served: Iterable[Served]) -> None:
        self.name = event.endpoint
        self.project = event.project
        self.event = event
        self.served = tuple(served)
        self._bounds = list(accumulate(s.version.weight for s in self.served))

    def choose(self, version: str | None = None) -> Served:
        """The version asked for ("v4", "4" or a commit), else one by weight. Raises NotFound."""
        if version is not None:
            return self._named(version)
        if len(self.served) == 1:
            return self.served[0]
        point = random.random() * self._bounds[-1]
        return next(s for s, b in zip(self.served, self._bounds, strict=True) if point < b)

    def _named(self, version: str) -> Served:
        for served in self.served:
            if version in (served.version.version, served.version.commit):
                return served
        for served in self.served:
            if f"v{version}" == served.version.version:
                return served
        has = ", ".join(s.version.version for s in self.served)
        raise NotFound(
            "unknown_version",
            f'Model "{self.name}" does not serve a version "{version[:60]}".',
            f"It serves: {has}.",
        )

    def metadata(self, version: str | None = None) -> ModelMetadata:
        """Of the version asked for, else of the first. Raises NotFound."""
        model = (self._named(version) if version is not None else self.served[0]).model
        return ModelMetadata(
            name=self.name,
            versions=tuple(s.version.version for s in self.served),
            platform=PLATFORM,
            inputs=model.inputs,
            outputs=model.outputs,
            parameters={"classes": model.classes} if model.classes else {},
        )


class Endpoints:
    def __init__(self, events: Events, load: Load) -> None:
        self._events = events
        self._load = load
        self._table: dict[str, Endpoint] = {}
        self._states: list[EndpointState] = []
        self._reconciling = threading.Lock()
        self.settled = threading.Event()  # the events have been obeyed once since the start

    def get(self, name: str) -> Endpoint:
        """Raises NotFound with the names that are served, SystemFault (server_starting) as long as
        it is not known yet what should be."""
        found = self._table.get(name)
        if found is None and not self.settled.is_set():
            raise SystemFault("server_starting", "The server is still loading its models.", "Try again soon.")
        if found is None:
            names = ", ".join(sorted(self._table))
            raise NotFound(
                "unknown_model",
                f'No model "{name[:60]}" is served here.',
                f"Served: {names}." if names else "None is served yet: kamld deploy MODEL.",
            )
        return found

    def states(self) -> list[EndpointState]:
        return self._states

    @property
    def ready(self) -> bool:
        """Every endpoint that should serve does."""
        return self.settled.is_set() and all(state.state != "failed" for state in self._states)

    def reconcile(self) -> list[EndpointState]:
        """Serve what the hub's newest events say; returns every endpoint's state.

        What cannot be loaded is reported in its state and stops nothing else; the endpoint goes on
        with what it served, or with its newest earlier event that can be loaded. Blocks. Raises
        KamldError, with nothing changed, when the events cannot be read.
        """
        with self._reconciling:
            states = []
            table: dict[str, Endpoint] = {}
            for target in wanted(self._events()):
                state, endpoint = self._brought_in_line(target, taken=table)
                states.append(state)
                if endpoint is not None:
                    table[endpoint.name] = endpoint
                    self._table = {**self._table, endpoint.name: endpoint}
            self._table = table
            self._states = states
            self.settled.set()
            return states

    def _brought_in_line(
        self, target: Wanted, taken: dict[str, Endpoint]
    ) -> tuple[EndpointState, Endpoint | None]:
        name = target.name
        if name.name in taken:
            other = taken[name.name]
            trouble = Trouble(
                "endpoint_taken",
                f'The name "{name.name}" already serves {other.project}/{other.name}.',
                f"Deploy under another name, or: kamld stop {other.project}/{other.name}",
                1,
            )
            return EndpointState(name=name.name, project=name.project, state="failed", trouble=trouble), None
        first_trouble: Trouble | None = None
        for event in target.events:
            try:
                endpoint = self._loaded(event)
            except KamldError as error:
                first_trouble = first_trouble or trouble_of(error)
                continue
            return _state(endpoint, first_trouble), endpoint
        return EndpointState(
            name=name.name, project=name.project, state="failed", trouble=first_trouble
        ), None

    def _loaded(self, event: DeploymentEvent) -> Endpoint:
        present = self._table.get(event.endpoint)
        if present is not None and present.event == event:
            return present
        loaded = {s.version.commit: s.model for s in present.served} if present else {}
        return Endpoint(
            event,
            [
                Served(version, slot, loaded.get(version.commit) or self._load(version))
                for slot, version in enumerate(event.versions)
            ],
        )


def _state(endpoint: Endpoint, trouble: Trouble | None) -> EndpointState:
    return EndpointState(
        name=endpoint.name,
        project=endpoint.project,
        state="behind" if trouble else "serving",
        event=endpoint.event.key,
        versions=endpoint.event.versions,
        trouble=trouble,
    )


def trouble_of(error: KamldError) -> Trouble:
    return Trouble(error.code, error.message, error.hint, error.exit_status)
