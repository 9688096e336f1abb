"""What was measured of two versions of a model: by whom it counts, and what is left out."""

from kamld.catalog.metrics import MetricChange, compare_metrics
from tests.catalog.conftest import Hub


def test_who_made_it_and_who_evaluated_it(hub: Hub) -> None:
    net = hub.dataset("net", "model")
    trained = hub.run(metrics={"accuracy": 0.9, "loss": 0.3}, started="2030-01-01T00:00:00.000000Z")
    one = hub.commit(net, {"m": b"1"}, run=trained.id)
    two = hub.commit(net, {"m": b"2"})
    assert changes(hub, one, two) == {"accuracy": (0.9, None), "loss": (0.3, None)}
    about = {"started": "2030-01-02T00:00:00.000000Z", "inputs": {"net": two}}
    hub.run(metrics={"accuracy": 0.1}, state="failed", **about)  # type: ignore[arg-type]
    hub.run(metrics={"accuracy": 0.2}, outputs={"net": one}, **about)  # type: ignore[arg-type]
    hub.run(metrics={"accuracy": 0.8}, **about)  # type: ignore[arg-type]
    last = hub.run(metrics={"accuracy": 0.95}, **about)  # type: ignore[arg-type]
    assert changes(hub, one, two) == {"accuracy": (0.9, 0.95), "loss": (0.3, None)}
    (accuracy, _) = compare_metrics(hub.repository, one, two)
    assert accuracy == MetricChange(
        name="accuracy", before=0.9, after=0.95, run_before=trained.number, run_after=last.number
    )


def changes(hub: Hub, one: str, two: str) -> dict[str, tuple[float | None, float | None]]:
    return {c.name: (c.before, c.after) for c in compare_metrics(hub.repository, one, two)}
