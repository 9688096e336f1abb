"""What runs are handed, and the words between a run and the executor that carries it out.

An executor starts a command somewhere, lets it be watched and stopped, and brings back what came of
it. Code and inputs go as trees of the hub, results come back as objects of the hub, so the command may
run on another machine; only an executor of this one looks at `Job.folder`.
"""

from collections.abc import Generator, Mapping
from dataclasses import dataclass
from typing import Literal, Protocol

import msgspec

from kamld.database.answers import LiveRun
from kamld.records.run import Environment, Metric, Parameter
from kamld.store import Entries, Progress, Writer

Stream = Literal["stdout", "stderr"]
Stop = Literal["interrupt", "terminate", "kill"]  # as Ctrl-C does; politely; at once


class JobOutput(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    label: str
    path: str | None = None  # below the working folder; None: the executor makes a fresh folder


class JobCode(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    tree: str  # the snapshot of the code, in the hub
    inside: str = ""  # where below its top the command starts


class Job(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A command and what it needs. Has no secrets: variables are given to `submit` alone.

    An executor of this machine starts it in `folder`; one elsewhere checks `code` out and starts it
    in there.
    """

    id: str  # the run's
    command: tuple[str, ...]
    folder: str  # the person's own, on the machine where the run was asked for
    code: JobCode | None = None  # None: it is still to be captured
    inputs: dict[str, str] = {}  # label: tree
    outputs: tuple[JobOutput, ...] = ()
    params: dict[str, Parameter] = {}
    texts: dict[str, str] = {}  # the parameters as they were written


@dataclass(frozen=True, slots=True)
class Started:
    inputs: dict[str, str]  # label: how its files got there, in a word or two
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Wrote:
    """A piece of the command's output, as it wrote it."""

    stream: Stream
    data: bytes


@dataclass(frozen=True, slots=True)
class Logged:
    points: tuple[Metric, ...]


@dataclass(frozen=True, slots=True)
class Ended:
    status: int  # negative: minus the signal that ended it
    stopped: bool  # somebody had asked for it


Event = Wrote | Logged | Ended


@dataclass(frozen=True, slots=True)
class Collected:
    """What came of a job; objects named here are put, and durable once the writer is flushed."""

    stdout: bytes | None
    stderr: bytes | None
    points: bytes | None
    metrics: dict[str, float]  # last value of each
    environment: Environment
    outputs: dict[str, Entries]  # those that were asked for and have something in them
    notes: tuple[str, ...]


class Executor(Protocol):
    def submit(self, job: Job, variables: Mapping[str, str], progress: Progress) -> Started:
        """Get the inputs to where the command runs, and start it.

        Raises RunFailed if the command itself cannot be started, and whatever `progress` raises.
        """
        ...

    def watch(self, job: Job) -> Generator[Event]:
        """What happens until it has ended; the last event is Ended. Once, by who submitted it.

        Closing it early ends the command at once.
        """
        ...

    def logs(self, job: Job, stream: Stream, offset: int = 0) -> bytes:
        """What the stream has from `offset` on so far; anybody may ask, any number of times."""
        ...

    def cancel(self, job: Job, how: Stop) -> None:
        """Ask or make it stop; `watch` still gives the end. A request that is not heard becomes a
        stronger one after a stated time. Safe in a signal handler; no error when it has ended."""
        ...

    def collect(self, job: Job, writer: Writer, *, outputs: bool, progress: Progress) -> Collected:
        """Put what came of an ended job into the hub, its outputs only if they are wanted.

        May be repeated, also by another process than the one that submitted the job. Raises
        SystemFault, Invalid (special_file, changed_output) and whatever `progress` raises.
        """
        ...

    def release(self, job: Job) -> None:
        """Forget the job and remove what it left."""
        ...


class Live(Protocol):
    """The table of runs that have begun and are not sealed: kamld.database.live has it."""

    def add_run(self, run: LiveRun) -> None: ...

    def remove_run(self, run_id: str) -> bool: ...

    def runs(self) -> list[LiveRun]: ...
