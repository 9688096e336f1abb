"""The executor of this machine: the command is a process beside ours, in the person's own folder.

STATE/runs/<id>/job/stdout, stderr        what it wrote
STATE/runs/<id>/job/own/                  its KAMLD_RUN_DIR: run.json, metrics.jsonl
STATE/runs/<id>/job/outputs/<label>/      outputs that have no folder of their own
STATE/runs/<id>/job/job.json              process and outputs as they were at start and end
"""

import json
import os
import shutil
import signal
import time
from collections.abc import Generator, Mapping
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import msgspec

from kamld.errors import KamldError, SystemFault, filesystem_fault
from kamld.records.encoding import decode, encode
from kamld.records.run import Environment
from kamld.runs import surroundings
from kamld.runs.draft import JOB, RUNS, process_started, write_in_place
from kamld.runs.executor.environment import Inquiry, nothing_known
from kamld.runs.executor.outputs import NOTHING, state_of, take_output
from kamld.runs.executor.process import Process
from kamld.runs.interface import (
    Collected,
    Event,
    Job,
    JobOutput,
    Logged,
    Started,
    Stop,
    Stream,
)
from kamld.runs.metrics import Follower, clean
from kamld.store import Progress, Repository, Source, Writer
from kamld.workspace import Lease, TreeCache

_GB = 1_000_000_000
_KEPT_BYTES = 16 * 1024
_LOOK_S = 0.25  # how often the metrics are looked at while the command runs


class _Kept(msgspec.Struct, kw_only=True):
    """What another process needs to know of a job when ours is gone."""

    pid: int = 0
    process_started: str = ""
    before: dict[str, str] = {}  # label: state of an output's folder when the command started
    after: dict[str, str] = {}  # and when it had ended
    notes: tuple[str, ...] = ()


@dataclass(slots=True)
class _Running:
    kept: _Kept
    leases: list[Lease] = field(default_factory=list)
    process: Process | None = None
    inquiry: Inquiry | None = None
    environment: Environment | None = None


class LocalExecutor:
    """An `Executor` (kamld.runs.interface) for the runs of one hub."""

    def __init__(self, repository: Repository, state: Path, *, cache_gb: int, threads: int) -> None:
        """`threads`: 0 for one a core, at most 8."""
        threads = threads or min(os.cpu_count() or 1, 8)
        self._state = state
        self.trees = TreeCache(repository, state / "trees", size_max=cache_gb * _GB, threads=threads)
        self._running: dict[str, _Running] = {}

    def submit(self, job: Job, variables: Mapping[str, str], progress: Progress) -> Started:
        place, folder = self._place(job), Path(job.folder)
        running = self._running[job.id] = _Running(_Kept())
        inputs = {}
        for label, tree in job.inputs.items():
            lease = self.trees.lease(tree, progress)
            running.leases.append(lease)
            inputs[label] = lease
        self.trees.make_room()
        try:
            facts = self._prepare(job, inputs)
        except OSError as error:
            raise filesystem_fault(error, str(place)) from None
        running.kept.before = {o.label: state_of(self._output(job, o)) for o in job.outputs}
        notes = tuple(
            f"{output.path} was not empty before the run; what is in it at the end is the output."
            for output in job.outputs
            if running.kept.before[output.label] != NOTHING
        )
        notes += tuple(
            f"{count:,} of the files of {label} {'was' if count == 1 else 'were'} purged, and left out."
            for label, tree in job.inputs.items()
            if (count := self.trees.left_out(tree))
        )
        inner = {**variables, **facts}
        progress(0, 0)  # the last chance to say no
        running.process = Process(job.command, folder, inner, place)
        running.inquiry = Inquiry(job.command, folder, inner)
        running.kept.pid = running.process.pid
        running.kept.process_started = process_started(running.process.pid)
        self._keep(job, running.kept)
        return Started({label: lease.how for label, lease in inputs.items()}, notes)

    def watch(self, job: Job) -> Generator[Event]:
        running = self._running[job.id]
        assert running.process is not None
        assert running.inquiry is not None
        follower = Follower(self._own(job) / surroundings.POINTS)
        due = 0.0
        with closing(running.process.events()) as events:
            for wrote in events:
                if wrote:
                    yield wrote
                if time.monotonic() < due:
                    continue
                due = time.monotonic() + _LOOK_S
                if points := follower.read():
                    yield Logged(points)
                if running.inquiry.done and not running.environment:
                    running.environment = running.inquiry.answer()
                    self._answered(job, running.environment)
        while points := follower.read():
            yield Logged(points)
        for output in job.outputs:
            with suppress(KamldError):  # a file that no version can hold: `collect` tells
                running.kept.after[output.label] = state_of(self._output(job, output))
        if not running.environment:
            running.environment = running.inquiry.answer()
            self._answered(job, running.environment)
        running.kept.notes = tuple(running.process.notes)
        self._keep(job, running.kept)
        yield running.process.end()

    def logs(self, job: Job, stream: Stream, offset: int = 0) -> bytes:
        try:
            with open(self._place(job) / stream, "rb") as file:
                file.seek(offset)
                return file.read()
        except OSError:
            return b""

    def cancel(self, job: Job, how: Stop) -> None:
        running = self._running.get(job.id)
        if running and running.process:
            running.process.stop(how)
        elif not running:
            kept = self._kept(job)
            if kept.pid and process_started(kept.pid) == kept.process_started:
                with suppress(ProcessLookupError, PermissionError):
                    os.killpg(kept.pid, signal.SIGTERM if how != "kill" else signal.SIGKILL)

    def collect(self, job: Job, writer: Writer, *, outputs: bool, progress: Progress) -> Collected:
        place, kept = self._place(job), self._kept(job)
        cleaned = place / "points"
        try:
            read = clean(self._own(job) / surroundings.POINTS, cleaned)
        except OSError as error:
            raise filesystem_fault(error, str(place)) from None
        logs = {name: _put(writer, place / name, progress) for name in ("stdout", "stderr", "points")}
        found = {}
        for output in job.outputs if outputs else ():
            before, after = kept.before.get(output.label), kept.after.get(output.label)
            folder = self._output(job, output)
            entries = take_output(folder, before, after, writer, progress)
            if entries is not None:
                found[output.label] = entries
        return Collected(
            stdout=logs["stdout"], stderr=logs["stderr"], points=logs["points"],
            metrics=read.last, environment=self._environment(job),
            outputs=found, notes=(*kept.notes, *read.notes),
        )  # fmt: skip

    def release(self, job: Job) -> None:
        running = self._running.pop(job.id, None)
        for lease in running.leases if running else ():
            lease.give_back()
        shutil.rmtree(self._place(job), ignore_errors=True)

    def _prepare(self, job: Job, inputs: Mapping[str, Lease]) -> dict[str, str]:
        """Make the folders and files that the command finds; the variables that tell of them."""
        own = self._own(job)
        own.mkdir(parents=True)
        outputs = {output.label: self._output(job, output) for output in job.outputs}
        for folder in outputs.values():
            folder.mkdir(parents=True, exist_ok=True)
        (own / surroundings.FACTS).write_text(
            json.dumps(
                {
                    "id": job.id,
                    "inputs": {label: str(lease.path) for label, lease in inputs.items()},
                    "outputs": {label: str(folder) for label, folder in outputs.items()},
                    "params": job.params,
                }
            ),
            "utf-8",
        )
        named = surroundings.variable
        return {
            **{named(surroundings.INPUT, label): str(at.path) for label, at in inputs.items()},
            **{named(surroundings.OUTPUT, label): str(at) for label, at in outputs.items()},
            **{named(surroundings.PARAM, name): text for name, text in job.texts.items()},
            surroundings.RUN_ID: job.id,
            surroundings.RUN_DIR: str(own),
        }

    def _place(self, job: Job) -> Path:
        return self._state / RUNS / job.id / JOB

    def _own(self, job: Job) -> Path:
        return self._place(job) / "own"

    def _output(self, job: Job, output: JobOutput) -> Path:
        if output.path is None:
            return self._place(job) / "outputs" / output.label
        return Path(job.folder, output.path)

    def _keep(self, job: Job, kept: _Kept) -> None:
        with suppress(SystemFault):  # the run goes on; only who closes it later knows less
            write_in_place(self._place(job) / "job.json", encode(kept), _KEPT_BYTES)

    def _kept(self, job: Job) -> _Kept:
        if running := self._running.get(job.id):
            return running.kept
        return _read(self._place(job) / "job.json", _Kept) or _Kept()

    def _answered(self, job: Job, environment: Environment | None) -> None:
        with suppress(OSError):
            if environment:
                (self._place(job) / "environment.json").write_bytes(encode(environment))

    def _environment(self, job: Job) -> Environment:
        found = _read(self._place(job) / "environment.json", Environment)
        return found or nothing_known()


Record = TypeVar("Record", bound=msgspec.Struct)


def _read(path: Path, kind: type[Record]) -> Record | None:
    try:
        return decode(path.read_bytes(), kind, str(path))
    except (OSError, KamldError):
        return None  # it is not there, or only half of it


def _put(writer: Writer, path: Path, progress: Progress) -> bytes | None:
    """None: there is no such file, or it is empty."""
    try:
        size = path.stat().st_size
    except FileNotFoundError:
        return None
    if not size:
        return None
    return next(iter(writer.put_files([Source(str(path), size)], progress))).id
