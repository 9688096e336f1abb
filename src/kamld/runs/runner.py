"""Running: from a request to a sealed record. Plans, captures the code, starts, watches, seals.

Until the command has started, an error leaves nothing behind. From then on a record is kept,
whatever happens; if it cannot be kept now, the run's folder stays and is closed at the next start.
"""

import os
import signal
import socket
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from msgspec import structs

from kamld import clock, ids
from kamld.database.answers import LiveRun
from kamld.errors import RunFailed, SystemFault
from kamld.records.run import Metric, Run, RunInput
from kamld.runs import surroundings
from kamld.runs.code import capture_code
from kamld.runs.draft import Captured, Draft, End, RunFolder, new_folder, process_started
from kamld.runs.interface import Ended, Executor, Job, JobCode, Live, Logged, Stop, Stream, Wrote
from kamld.runs.plan import Plan, Request, plan_run
from kamld.runs.seal import Landing, SealedRun, seal
from kamld.runs.stops import Stopped, Stops, signals
from kamld.runs.unfinished import Closed, close_unfinished
from kamld.store import Repository


@dataclass(frozen=True, slots=True)
class Begun:
    """What is known when the command has started. `how`: label: how the input's files got there."""

    id: str
    plan: Plan
    how: dict[str, str]
    notes: tuple[str, ...]

    @property
    def inputs(self) -> list[tuple[RunInput, str, str]]:
        """Each input, the variable it is under, and how its files got there."""
        return [
            (one, surroundings.variable(surroundings.INPUT, one.label), self.how[one.label])
            for one in self.plan.inputs
        ]


class Audience(Protocol):
    """Who is told while it goes on, from the thread that called `run`.

    Raising from `begun`, `wrote` or `logged` ends the command, as a closed pipe does in a shell; the run is
    sealed as cancelled, and the error goes on.
    """

    def closed(self, closed: Closed) -> None:
        """An earlier run, whose process had died, was closed (or could not be)."""
        ...

    def prepared(self, files: int, size: int) -> None:
        """So many input files, of so many bytes, are there since the last call."""
        ...

    def begun(self, begun: Begun) -> None: ...

    def wrote(self, stream: Stream, data: bytes) -> None:
        """The command's own output, as it wrote it."""
        ...

    def logged(self, points: tuple[Metric, ...]) -> None: ...

    def stopping(self, how: Stop) -> None:
        """Ctrl-C or a signal was heard and passed on. Called from a signal handler."""
        ...

    def kept(self, files: int, size: int) -> None:
        """So many files of the outputs and logs are in the hub since the last call."""
        ...


@dataclass(frozen=True, slots=True)
class Outcome:
    run: Run
    landings: tuple[Landing, ...]
    code: str  # of the error, where there is one

    @property
    def exit_status(self) -> int:
        """The command's, as a shell has it (128 + signal); 1 where it succeeded but the run did not."""
        status = self.run.exit_status
        if self.run.state == "succeeded":
            return 0
        if status is not None and status < 0:
            return 128 - status
        return status or (128 + signal.SIGINT if self.run.state == "cancelled" else 1)

    @property
    def failure(self) -> RunFailed | None:
        """The error to show and to exit with. None: it succeeded."""
        if self.run.state == "succeeded":
            return None
        message = f"Run {self.run.number} {self.run.state}. {self.run.error}".strip()
        return RunFailed(self.code, message, status=self.exit_status)


@dataclass(slots=True)
class Runner:
    """Runs commands for one hub, with `state` for what is unfinished."""

    repository: Repository
    executor: Executor
    live: Live
    state: Path

    def run(self, request: Request, audience: Audience) -> Outcome:
        """Raises NotFound, Invalid, SystemFault before the command has started (nothing is kept
        then), RunFailed (cancelled) if it was stopped before, SystemFault when it cannot be sealed.
        A command that fails is no error here: see `Outcome`.
        """
        for closed in close_unfinished(self.repository, self.executor, self.live, self.state):
            audience.closed(closed)
        plan = plan_run(self.repository, request, ids.new_id())
        draft = Draft(plan=plan, started=clock.now())
        folder = new_folder(self.state, plan.job.id)
        stops = Stops(self.executor, plan.job, audience.stopping)
        with signals(stops), ExitStack() as until_sealed:
            try:
                try:
                    variables = _variables(self.repository, request)
                    draft, notes = self._capture(draft, request, variables, folder, until_sealed)
                    begun = self._begin(draft, variables, notes, stops, audience)
                except BaseException:
                    self._forget(plan.job, folder)
                    raise
                end, trouble = self._watch(begun, stops, audience)
                sealed = self._seal(draft, folder, end, stops, audience)
                self._forget(plan.job, folder)
            finally:
                folder.close()
        if trouble:
            raise trouble
        return Outcome(sealed.run, sealed.landings, sealed.failure)

    def _capture(
        self, draft: Draft, request: Request, variables: dict[str, str], folder: RunFolder,
        until_sealed: ExitStack,
    ) -> tuple[Draft, tuple[str, ...]]:  # fmt: skip
        """Keep the code and all that is known; the job knows its code then. A lease keeps it, and the
        inputs, until the run's record does."""
        job = draft.plan.job
        own_folders = [request.folder / output.path for output in job.outputs if output.path]
        with self.repository.writer() as writer:
            code, notes = capture_code(writer, request.folder, variables, own_folders)
            writer.flush()
            inputs = tuple(one.commit for one in draft.plan.inputs)
            diff = (code.git_diff,) if code.git_diff else ()
            leases = self.repository.leases
            until_sealed.enter_context(leases.take("run", inputs, trees=(code.tree,), objects=diff))
            writer.check_awake()
        job = structs.replace(job, code=JobCode(tree=code.tree, inside=code.inside))
        draft = structs.replace(draft, plan=structs.replace(draft.plan, job=job))
        folder.write_draft(draft)
        folder.write_captured(Captured(code=code, notes=notes))
        self.live.add_run(_live(draft, folder))
        return draft, notes

    def _begin(
        self, draft: Draft, variables: dict[str, str], notes: tuple[str, ...], stops: Stops,
        audience: Audience,
    ) -> Begun | End:  # fmt: skip
        """Start the command; how it ended, if it could not be started."""
        job = draft.plan.job
        try:
            started = self.executor.submit(job, variables, stops.checking(audience.prepared))
        except RunFailed as error:
            return End(
                ended=clock.now(), state="failed", exit_status=error.exit_status, code=error.code,
                error=str(error),
            )  # fmt: skip
        except Stopped:
            raise RunFailed(
                "cancelled", "The run was stopped before its command began; nothing is kept of it.",
                status=128 + signal.SIGINT,
            ) from None  # fmt: skip
        stops.begun()
        return Begun(job.id, draft.plan, started.inputs, (*notes, *started.notes))

    def _watch(
        self, begun: Begun | End, stops: Stops, audience: Audience
    ) -> tuple[End, BaseException | None]:
        """How the command ended, and what the audience raised, if that is why."""
        if isinstance(begun, End):
            return begun, None
        job, ended, trouble = begun.plan.job, None, None
        events = self.executor.watch(job)
        try:
            audience.begun(begun)
            for event in events:
                match event:
                    case Wrote(stream, data):
                        audience.wrote(stream, data)
                    case Logged(points):
                        audience.logged(points)
                    case Ended():
                        ended = event
        except BaseException as error:  # noqa: BLE001 - raised again once the run is sealed
            trouble = error
            self.executor.cancel(job, "kill")
            ended = next((event for event in events if isinstance(event, Ended)), None)
        stops.ended()
        return _end(ended, trouble), trouble

    def _seal(self, draft: Draft, folder: RunFolder, end: End, stops: Stops, audience: Audience) -> SealedRun:
        progress = stops.checking(audience.kept)
        try:
            folder.write_end(end)
            try:
                return seal(self.repository, self.executor, self.state, folder, draft, end, progress)
            except Stopped:
                said = "It was stopped while its outputs were kept; none of them was."
                end = structs.replace(end, state="cancelled", code="cancelled", error=said)
                folder.write_end(end)
                return seal(self.repository, self.executor, self.state, folder, draft, end, audience.kept)
        except SystemFault as fault:
            raise SystemFault(
                fault.code,
                f"{fault.message} The command had ended; what it left is in {folder.path}.",
                f"{fault.hint} The next kamld run then finishes this one.".strip(),
            ) from fault

    def _forget(self, job: Job, folder: RunFolder) -> None:
        self.executor.release(job)
        self.live.remove_run(job.id)
        folder.remove()


def _end(ended: Ended | None, trouble: BaseException | None) -> End:
    now = clock.now()
    status = ended.status if ended else None
    if trouble:
        said = f"It was ended because nobody could be told of it any more: {trouble!r}."
        return End(ended=now, state="cancelled", exit_status=status, code="cancelled", error=said)
    assert ended is not None
    assert status is not None
    if ended.stopped:
        said = "It was stopped on request."
        return End(ended=now, state="cancelled", exit_status=status, code="cancelled", error=said)
    if status == 0:
        return End(ended=now, state="succeeded", exit_status=0)
    said = f"The command ended with status {status}."
    if status < 0:
        said = f"The command was ended by signal {-status} ({_signal_name(-status)})."
    return End(ended=now, state="failed", exit_status=status, code="command_failed", error=said)


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return "unknown"


def _variables(repository: Repository, request: Request) -> dict[str, str]:
    """What the command gets from outside the run, so that kamld inside it means the same hub.

    Python, which holds output back when nobody seems to read it, is asked not to.
    """
    outer = (surroundings.INPUT, surroundings.OUTPUT, surroundings.PARAM)
    kept = {k: v for k, v in request.variables.items() if not k.startswith(outer)}
    return {"PYTHONUNBUFFERED": "1"} | kept | {
        surroundings.HUB: repository.blobs.location, surroundings.PROJECT: request.project,
    }  # fmt: skip


def _live(draft: Draft, folder: RunFolder) -> LiveRun:
    plan, pid = draft.plan, os.getpid()
    return LiveRun(
        id=plan.job.id, project=plan.project, name=plan.name, pid=pid,
        process_started=process_started(pid), host=socket.gethostname(), started=draft.started,
        folder=str(folder.path), command=plan.job.command, params=plan.job.params,
    )  # fmt: skip
