from collections import Counter
from pathlib import Path

import pytest

from kamld.errors import Invalid, NotFound, SystemFault
from kamld.records.deployment import DeploymentEvent, ServedVersion
from kamld.records.names import Name
from kamld.serving.deployments import plan_deploy, plan_stop
from kamld.serving.endpoints import Endpoints
from kamld.serving.models.onnx import OnnxModel


def version(name: str, weight: int = 100) -> ServedVersion:
    return ServedVersion(project="default", name="net", version=name, commit=f"c-{name}", weight=weight)


class Rig:
    """Endpoints over real models; versions named "bad…" cannot be loaded."""

    def __init__(self, digits: Path) -> None:
        self.events: list[DeploymentEvent] = []
        self.loaded: list[str] = []
        self.endpoints = Endpoints(lambda: self.events, self._load)
        self._digits = digits

    def _load(self, version: ServedVersion) -> OnnxModel:
        if version.version.startswith("bad"):
            raise Invalid("damaged_model", f"{version.version} is damaged.", "Export it again.")
        self.loaded.append(version.version)
        return OnnxModel(self._digits, version.version, threads=1)

    def deploy(self, endpoint: str, *versions: ServedVersion, project: str = "default") -> None:
        planned = plan_deploy(self.events, Name(project, endpoint), versions, author="you")
        assert planned.event
        self.events = [*self.events, planned.event]

    def stop(self, endpoint: str) -> None:
        planned = plan_stop(self.events, Name("default", endpoint), author="you")
        assert planned.event
        self.events = [*self.events, planned.event]


@pytest.fixture
def rig(digits: Path) -> Rig:
    return Rig(digits)


def serves(rig: Rig, endpoint: str) -> list[str]:
    return [s.version.version for s in rig.endpoints.get(endpoint).served]


def test_events_are_obeyed(rig: Rig) -> None:
    assert not rig.endpoints.settled.is_set()
    rig.deploy("a", version("v1"))
    rig.deploy("b", version("v2"))
    states = rig.endpoints.reconcile()
    assert [(s.name, s.state, s.versions[0].version) for s in states] == [
        ("a", "serving", "v1"),
        ("b", "serving", "v2"),
    ]
    rig.stop("a")
    rig.endpoints.reconcile()
    with pytest.raises(NotFound, match="Served: b"):
        rig.endpoints.get("a")
    assert serves(rig, "b") == ["v2"]
    assert rig.loaded == ["v1", "v2"]


def test_a_model_is_loaded_once_for_as_long_as_it_serves(rig: Rig) -> None:
    rig.deploy("a", version("v1"))
    rig.endpoints.reconcile()
    first = rig.endpoints.get("a")
    rig.deploy("a", version("v1", 90), version("v2", 10))
    rig.endpoints.reconcile()
    assert rig.loaded == ["v1", "v2"]
    assert rig.endpoints.get("a").served[0].model is first.served[0].model


def test_the_old_one_serves_while_the_new_one_cannot_be_loaded(rig: Rig) -> None:
    rig.deploy("a", version("v1"))
    rig.endpoints.reconcile()
    rig.deploy("a", version("bad2"))
    rig.deploy("b", version("v3"))
    behind, fine = rig.endpoints.reconcile()
    assert (behind.state, fine.state) == ("behind", "serving")
    assert behind.trouble is not None
    assert behind.trouble.code == "damaged_model"
    assert behind.event == rig.events[0].key
    assert serves(rig, "a") == ["v1"]
    assert rig.endpoints.ready


def test_after_a_restart_too(rig: Rig, digits: Path) -> None:
    rig.deploy("a", version("v1"))
    rig.deploy("a", version("bad2"))
    rig.deploy("a", version("bad3"))
    (state,) = rig.endpoints.reconcile()
    assert state.state == "behind"
    assert state.trouble is not None
    assert state.trouble.message == "bad3 is damaged."
    assert serves(rig, "a") == ["v1"]


def test_nothing_to_fall_back_to(rig: Rig) -> None:
    rig.deploy("a", version("v1"))
    rig.stop("a")
    rig.deploy("a", version("bad2"))
    (state,) = rig.endpoints.reconcile()
    assert state.state == "failed"
    assert not rig.endpoints.ready
    with pytest.raises(NotFound, match="None is served"):
        rig.endpoints.get("a")


def test_two_projects_that_took_one_name_at_the_same_moment(rig: Rig) -> None:
    rig.deploy("a", version("v1"))
    other = plan_deploy([], Name("garden", "a"), [version("v2")], author="you").event
    assert other
    rig.events.append(other)
    first, second = rig.endpoints.reconcile()
    assert (first.project, first.state) == ("default", "serving")
    assert (second.project, second.state) == ("garden", "failed")
    assert second.trouble is not None
    assert second.trouble.code == "endpoint_taken"


def test_events_that_cannot_be_read_change_nothing(digits: Path) -> None:
    rig = Rig(digits)
    rig.deploy("a", version("v1"))
    broken: list[bool] = []

    def events() -> list[DeploymentEvent]:
        if broken:
            raise SystemFault("damaged_record", "events/x is damaged.")
        return rig.events

    endpoints = Endpoints(events, rig._load)
    endpoints.reconcile()
    broken.append(True)
    with pytest.raises(SystemFault):
        endpoints.reconcile()
    assert endpoints.get("a")


def test_requests_are_shared_out_by_weight(rig: Rig) -> None:
    rig.deploy("a", version("v1", 80), version("v2", 20), version("v3", 0))
    rig.endpoints.reconcile()
    endpoint = rig.endpoints.get("a")
    drawn = Counter(endpoint.choose().version.version for _ in range(5000))
    assert drawn["v1"] == pytest.approx(4000, abs=300)
    assert drawn["v3"] == 0
    assert {s.slot for s in endpoint.served} == {0, 1, 2}


@pytest.mark.parametrize("asked", ["v2", "2", "c-v2"])
def test_a_version_can_be_asked_for(rig: Rig, asked: str) -> None:
    rig.deploy("a", version("v1", 100), version("v2", 0))
    rig.endpoints.reconcile()
    assert rig.endpoints.get("a").choose(asked).version.version == "v2"


def test_a_version_that_is_not_served(rig: Rig) -> None:
    rig.deploy("a", version("v1"))
    rig.endpoints.reconcile()
    with pytest.raises(NotFound, match="It serves: v1"):
        rig.endpoints.get("a").choose("v7")
