"""What serving is handed by the composition root, and the data its parts pass each other."""

from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Literal

import msgspec

from kamld.records.deployment import DeploymentEvent, ServedVersion

Events = Callable[[], Iterable[DeploymentEvent]]
"""Deployment events of the hub, in any order: at least the newest of every endpoint. Earlier ones
are what the server falls back to when the newest cannot be loaded. May block; may raise."""

ModelFolder = Callable[[ServedVersion], AbstractContextManager[Path]]
"""A folder that holds the files of a model version, as long as it is being loaded. May block while
it is checked out; raises KamldError when the version cannot be had."""

EndpointStatus = Literal["serving", "behind", "failed", "down"]


class TensorSpec(msgspec.Struct, frozen=True):
    """A model's input or output. -1 stands for a dimension of any size."""

    name: str
    datatype: str  # Open Inference Protocol's: FP32, INT64, BYTES, …
    shape: tuple[int, ...]

    def fits(self, shape: Sequence[int]) -> bool:
        return len(shape) == len(self.shape) and all(
            wanted in (-1, size) for wanted, size in zip(self.shape, shape, strict=True)
        )


class ModelMetadata(msgspec.Struct, frozen=True):
    """What a server says of a model: OIP's answer, with class names among the parameters."""

    name: str
    versions: tuple[str, ...]
    platform: str
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    parameters: dict[str, tuple[str, ...]] = {}

    @property
    def classes(self) -> tuple[str, ...]:
        return self.parameters.get("classes", ())


class Trouble(msgspec.Struct, frozen=True):
    """An error as it travels: the fields of kamld.errors.KamldError."""

    code: str
    message: str
    hint: str = ""
    exit_status: int = 3


class EndpointState(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An endpoint as the server has it.

    `behind`: the newest event could not be loaded (`trouble` says why) and `event`, an earlier one,
    still serves. `failed`: nothing serves. `down`: the server itself is not there to ask.
    """

    name: str
    project: str
    state: EndpointStatus
    event: str = ""  # key of the event that serves
    versions: tuple[ServedVersion, ...] = ()
    trouble: Trouble | None = None


class Reconciled(msgspec.Struct, frozen=True):
    """`stopping`: nothing is left to serve, so the server ends."""

    endpoints: tuple[EndpointState, ...]
    stopping: bool


class ServerStatus(msgspec.Struct, frozen=True, kw_only=True):
    pid: int
    ready: bool  # every endpoint that should serve does
    endpoints: tuple[EndpointState, ...]
    log_lost: int  # prediction log lines that could not be written


def shape_text(shape: Sequence[int]) -> str:
    return "[" + ",".join(str(size) for size in shape) + "]"
