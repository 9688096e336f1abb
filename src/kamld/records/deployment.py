"""Deployments: append-only events of an endpoint, and what its predictions leave behind."""

import msgspec

Action = str  # deploy, stop; a later version may add others


class ServedVersion(msgspec.Struct, frozen=True, kw_only=True):
    project: str
    name: str
    version: str  # "v4", or the first 12 hex digits of a commit that has no version
    commit: str
    weight: int  # per cent


class DeploymentEvent(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One change of an endpoint; the newest says what it serves."""

    key: str  # 8 hex digits, unique in the hub; inside every prediction id
    endpoint: str
    project: str
    seq: int  # 1, 2, … for each endpoint
    time: str
    author: str
    action: Action
    revision: str = ""  # as the person wrote it
    versions: tuple[ServedVersion, ...] = ()
    why: str = ""


class Prediction(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A line of the prediction log."""

    id: str
    time: str
    endpoint: str
    project: str
    version: str
    status: int  # HTTP status of the answer
    ms: float  # inside the server
    answer: str = ""  # short summary of the outputs, unless settings forbid it
    error: str = ""
