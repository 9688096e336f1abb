"""Real models, and a hub for the serving process that is a folder with two kinds of JSON files."""

import json
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from skl2onnx import to_onnx
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from kamld.records.deployment import DeploymentEvent, ServedVersion
from kamld.records.names import Name
from kamld.serving import deployments, launch, state
from kamld.serving.client import Client
from kamld.serving.interface import Reconciled

CHILD = Path(__file__).parent / "child.py"
NAMES = ("null", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")


@pytest.fixture(scope="session")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a classifier of the 8 × 8 digits: FP32 [-1,64] to `label` and `probabilities`."""
    pixels, labels = load_digits(return_X_y=True)
    classifier = make_pipeline(StandardScaler(), LogisticRegression(max_iter=200))
    classifier.fit(pixels[:600].astype(np.float32), labels[:600])
    model = to_onnx(classifier, pixels[:1].astype(np.float32), options={"zipmap": False})
    entry = model.metadata_props.add()
    entry.key, entry.value = "classes", json.dumps(NAMES)
    folder = tmp_path_factory.mktemp("digits")
    (folder / "model.onnx").write_bytes(model.SerializeToString())
    (folder / "README.md").write_text("A model of digits.")
    return folder


@pytest.fixture(scope="session")
def zipmapped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same kind of classifier with skl2onnx's ZipMap, whose output is a list of maps."""
    pixels, labels = load_digits(return_X_y=True)
    classifier = LogisticRegression(max_iter=500).fit(pixels[:200] / 16, labels[:200])
    folder = tmp_path_factory.mktemp("zipmapped")
    model = to_onnx(classifier, pixels[:1].astype(np.float32))
    (folder / "model.onnx").write_bytes(model.SerializeToString())
    return folder


def write_model(
    folder: Path,
    nodes: list[onnx.NodeProto],
    inputs: dict[str, object],
    outputs: dict[str, object],
    initializers: list[TensorProto] | None = None,
) -> Path:
    """A model of these nodes; inputs and outputs are name: (element type, shape)."""

    def infos(tensors: dict[str, object]) -> list[onnx.ValueInfoProto]:
        return [helper.make_tensor_value_info(n, *about) for n, about in tensors.items()]

    graph = helper.make_graph(nodes, "g", infos(inputs), infos(outputs), initializers or [])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 8
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "model.onnx").write_bytes(model.SerializeToString())
    return folder


@pytest.fixture(scope="session")
def echo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Gives back its five inputs, of types that are easily got wrong."""
    shape = ["n", 2]
    types = {
        "half": TensorProto.FLOAT16,
        "double": TensorProto.DOUBLE,
        "text": TensorProto.STRING,
        "flag": TensorProto.BOOL,
        "big": TensorProto.UINT64,
    }
    return write_model(
        tmp_path_factory.mktemp("echo"),
        [helper.make_node("Identity", [name], [f"{name}_out"]) for name in types],
        {name: (kind, shape) for name, kind in types.items()},
        {f"{name}_out": (kind, shape) for name, kind in types.items()},
    )


@dataclass
class Hub:
    """What the child process is handed instead of a hub: events and folders of models."""

    folder: Path
    events: list[DeploymentEvent] = field(default_factory=list)

    @property
    def serving(self) -> Path:
        return self.folder / "serving"

    @property
    def predictions(self) -> Path:
        return self.folder / "predictions"

    @property
    def command(self) -> list[str]:
        return [sys.executable, str(CHILD), str(self.folder)]

    def settings(self, **values: object) -> None:
        (self.folder / "settings.json").write_text(json.dumps(values))

    def model(self, name: str, version: str, files: Path) -> ServedVersion:
        served = ServedVersion(
            project="default", name=name, version=version, commit=f"{name}-{version}", weight=100
        )
        with suppress(FileExistsError):
            (self.folder / served.commit).symlink_to(files)
        return served

    def deploy(self, endpoint: str, *versions: ServedVersion) -> DeploymentEvent:
        planned = deployments.plan_deploy(self.events, Name("default", endpoint), versions, author="test")
        assert planned.event is not None
        return self._append(planned.event)

    def stop(self, endpoint: str) -> DeploymentEvent:
        planned = deployments.plan_stop(self.events, Name("default", endpoint), author="test")
        assert planned.event is not None
        return self._append(planned.event)

    def _append(self, event: DeploymentEvent) -> DeploymentEvent:
        self.events.append(event)
        temporary = self.folder / "events.new"
        temporary.write_bytes(msgspec.json.encode(self.events))
        temporary.rename(self.folder / "events.json")
        return event

    def reconciled(self) -> Reconciled:
        return launch.reconciled(self.serving, self.command)

    @property
    def client(self) -> Client:
        found = launch.running(self.serving)
        assert found is not None
        return launch.client(found)

    def log(self) -> str:
        path = self.serving / state.LOG
        return path.read_text() if path.exists() else ""

    def end(self) -> None:
        found = launch.running(self.serving)
        if found is not None:
            os.kill(found.pid, signal.SIGTERM)
        if not launch.wait_ended(self.serving, wait_s=20):
            raise AssertionError(f"The serving process did not end: {self.log()}")


@pytest.fixture(scope="session")
def new_hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[], Hub]]:
    made: list[Hub] = []

    def make() -> Hub:
        made.append(Hub(tmp_path_factory.mktemp("hub")))
        made[-1].settings()
        return made[-1]

    yield make
    for hub in made:
        hub.end()


@pytest.fixture
def hub(new_hub: Callable[[], Hub]) -> Iterator[Hub]:
    """A hub of the test's own, whose serving process ends with it."""
    made = new_hub()
    yield made
    made.end()


@pytest.fixture(scope="session")
def served(new_hub: Callable[[], Hub], digits: Path, echo: Path) -> Hub:
    """A serving process with the endpoints `digits` (v4) and `echo` (v1), for tests that only ask."""
    hub = new_hub()
    hub.settings(request_mb=2)
    hub.deploy("digits", hub.model("digits-net", "v4", digits))
    hub.deploy("echo", hub.model("echo", "v1", echo))
    done = hub.reconciled()
    assert [e.state for e in done.endpoints] == ["serving", "serving"], done
    return hub


def eventually(condition: Callable[[], object], *, within_s: float = 10.0) -> None:
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline, "it did not come to pass in time"
        time.sleep(0.02)
