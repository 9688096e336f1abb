import msgspec
import pytest

from kamld.errors import Conflict, Invalid, NotFound, SystemFault
from kamld.records.deployment import DeploymentEvent, ServedVersion
from kamld.records.names import Name
from kamld.serving.deployments import Planned, plan_deploy, plan_stop, wanted

FLOWERS = Name("default", "flowers")


def version(number: int, weight: int = 100) -> ServedVersion:
    return ServedVersion(
        project="default", name="net", version=f"v{number}", commit=f"{number:064x}", weight=weight
    )


def deploy(events: list[DeploymentEvent], *versions: ServedVersion, to: Name = FLOWERS) -> Planned:
    planned = plan_deploy(events, to, versions, author="you", revision="champion", why="because")
    if planned.event:
        events.append(planned.event)
    return planned


def stop(events: list[DeploymentEvent], endpoint: Name = FLOWERS) -> Planned:
    planned = plan_stop(events, endpoint, author="you")
    if planned.event:
        events.append(planned.event)
    return planned


def test_the_first_deployment() -> None:
    event = deploy([], version(1)).event
    assert event is not None
    assert (event.seq, event.action, event.versions) == (1, "deploy", (version(1),))
    assert (event.revision, event.why, event.author) == ("champion", "because", "you")
    assert len(event.key) == 8


def test_events_follow_each_other() -> None:
    events: list[DeploymentEvent] = []
    deploy(events, version(1))
    planned = deploy(events, version(2))
    assert planned.before == events[0]
    stop(events)
    deploy(events, version(2))
    assert [(e.seq, e.action) for e in events] == [
        (1, "deploy"),
        (2, "deploy"),
        (3, "stop"),
        (4, "deploy"),
    ]
    assert len({event.key for event in events}) == 4


def test_what_is_so_already_is_not_done_again() -> None:
    events: list[DeploymentEvent] = []
    deploy(events, version(1))
    assert deploy(events, version(1)) == Planned(None, events[0])
    stop(events)
    assert stop(events) == Planned(None, events[1])


def test_stopping_what_never_was() -> None:
    events: list[DeploymentEvent] = []
    deploy(events, version(1))
    with pytest.raises(NotFound, match="default/flowers"):
        plan_stop(events, Name("default", "flower"), author="you")


def test_a_name_serves_one_project_at_a_time() -> None:
    events: list[DeploymentEvent] = []
    deploy(events, version(1))
    other = Name("garden", "flowers")
    with pytest.raises(Conflict, match="kamld stop default/flowers"):
        deploy(events, version(1), to=other)
    stop(events)
    assert deploy(events, version(1), to=other).event


@pytest.mark.parametrize(
    "versions",
    [
        [],
        [version(1, 50)],
        [version(1, 150), version(2, -50)],
        [version(1, 50), version(1, 50)],
        [version(n, 100 if n == 0 else 0) for n in range(17)],
    ],
)
def test_versions_that_cannot_be_served_together(versions: list[ServedVersion]) -> None:
    with pytest.raises(Invalid):
        deploy([], *versions)


@pytest.mark.parametrize("name", ["", "a/b", "..", "a b"])
def test_bad_endpoint_names(name: str) -> None:
    with pytest.raises(Invalid):
        deploy([], version(1), to=Name("default", name))


def test_what_is_wanted_is_all_since_the_last_stop_newest_first() -> None:
    events: list[DeploymentEvent] = []
    deploy(events, version(1))
    stop(events)
    deploy(events, version(2))
    deploy(events, version(3))
    deploy(events, version(1), to=Name("default", "gone"))
    stop(events, Name("default", "gone"))
    (found,) = wanted(reversed(events))
    assert found.name == FLOWERS
    assert [e.versions[0].version for e in found.events] == ["v3", "v2"]


def test_an_action_of_a_later_version() -> None:
    """Servers go on with what they know; who wants to change that endpoint is refused, others are not."""
    events: list[DeploymentEvent] = []
    deploy(events, version(1))
    made = events[-1]
    events.append(msgspec.structs.replace(made, key="0" * 8, seq=made.seq + 1, action="promote", versions=()))
    (found,) = wanted(events)
    assert found.events == (made,)
    for change in (lambda: deploy(events, version(2)), lambda: stop(events)):
        with pytest.raises(SystemFault) as fault:
            change()
        assert fault.value.code == "newer_record"
    with pytest.raises(Conflict):
        deploy(events, version(2), to=Name("elsewhere", FLOWERS.name))
    assert deploy(events, version(2), to=Name("default", "other")).event


def test_earlier_endpoints_come_first() -> None:
    events: list[DeploymentEvent] = []
    deploy(events, version(1), to=Name("default", "b"))
    later = deploy([], version(1), to=Name("default", "a")).event
    assert later is not None
    events.append(msgspec.structs.replace(later, time="9999"))
    assert [w.name.name for w in wanted(events)] == ["b", "a"]
