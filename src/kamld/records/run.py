"""Runs: one execution of the user's code, from input commits to output commits."""

import msgspec

from kamld.records.history import Kind

RunState = str  # running, succeeded, failed, cancelled; a later version may add others
Parameter = str | int | float | bool


class RunInput(msgspec.Struct, frozen=True, kw_only=True):
    label: str
    project: str
    name: str
    kind: Kind
    revision: str  # as the person wrote it
    commit: str


class RunOutput(msgspec.Struct, frozen=True, kw_only=True):
    label: str
    project: str
    name: str
    kind: Kind
    commit: str  # the version that it gets when it lands is in the log of its main


class Metric(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    name: str
    value: float
    time: str
    step: int = 0


class Code(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The code folder as it was: its snapshot, and Git's view of it where there is one."""

    folder: str
    tree: str
    inside: str = ""  # where below `folder` the command was started
    git_commit: str | None = None
    git_branch: str | None = None
    git_remote: str | None = None
    git_diff: str | None = None  # file id of the diff against git_commit, if it was not empty


class Environment(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    python: str  # version of the interpreter that the command's `python` names
    platform: str
    cpus: int
    packages: dict[str, str] = {}


class Run(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Sealed when the command has ended, however it ended."""

    id: str
    project: str
    number: int
    name: str
    state: RunState
    command: tuple[str, ...]
    author: str
    started: str
    ended: str
    exit_status: int | None = None  # negative: minus the signal that ended it
    error: str = ""  # why it failed, in a sentence
    params: dict[str, Parameter] = {}
    metrics: dict[str, float] = {}  # last value of each
    inputs: tuple[RunInput, ...] = ()
    outputs: tuple[RunOutput, ...] = ()
    code: Code | None = None
    environment: Environment | None = None
    stdout: str | None = None  # file id
    stderr: str | None = None  # file id
    points: str | None = None  # file id: every logged metric, a Metric as JSON a line
    notes: tuple[str, ...] = ()  # what was left out or was odd, a sentence each
