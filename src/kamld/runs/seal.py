"""Sealing: what came of a run gets into the hub, whole or not at all, however often it is tried.

The order: (1) everything large is put and durable: logs, metrics, outputs' files; who wrote it holds a
lease until (4), so that it is not taken for garbage. Then, one run of this machine at a time, (2) the
run's number is claimed, (3) the outputs' commits are durable, (4) the record is sealed, which names those
commits, (5) `main` of each output moves to its commit.

Before (4) there is no run, only garbage that nothing names. After (4) the run is finished, and who
is killed before (5) leaves a folder from which `land_outputs` does it later; a name that was made and
that nothing landed under yet is free until then. So a sealed record can
name a commit, but not the version number that a model's `main` gives it in (5): that is looked up
from the ref. An output replaces what was there: its commit's parent is the head of that moment. If
somebody who is no run of this machine moves `main` between (3) and (5), the landing rule of
kamld.store.refs.landing holds: merged, or kept as a branch of its own and said so.
"""

from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import msgspec

from kamld import ids
from kamld.errors import Conflict, Invalid, KamldError, NotFound
from kamld.records.history import Dataset
from kamld.records.names import MAIN, Name
from kamld.records.run import Run, RunOutput
from kamld.runs.draft import Draft, End, RunFolder, turn
from kamld.runs.interface import Collected, Executor
from kamld.runs.plan import Output, command_text, made
from kamld.runs.surroundings import OUTPUT, variable
from kamld.store import Entries, Progress, Repository, Writer
from kamld.store.trees import write_tree
from kamld.workspace.landed import landed_on

_MESSAGE_MAX = 300  # characters of a commit's message


@dataclass(frozen=True, slots=True)
class Landing:
    """Where an output is now. `branch` is not `main` where somebody else's change clashed with it."""

    output: RunOutput
    branch: str
    version: int | None  # a model's, if it is on `main`
    files: int
    bytes: int


@dataclass(frozen=True, slots=True)
class SealedRun:
    run: Run
    landings: tuple[Landing, ...]
    failure: str  # code of the error, if the run failed


def seal(
    repository: Repository, executor: Executor, state: Path, folder: RunFolder, draft: Draft,
    end: End, progress: Progress,
) -> SealedRun:  # fmt: skip
    """Raises SystemFault (no_space …), and as `progress`; the folder is as it was then."""
    with ExitStack() as until_sealed:
        writer, collected, end = _collect(repository, until_sealed, executor, draft, end, progress)
        until_sealed.enter_context(turn(state))
        end = _recheck(repository, draft, end)
        outputs = draft.plan.outputs if end.state == "succeeded" else ()
        number = folder.number() or repository.sealed.claim_number(draft.plan.project, draft.plan.job.id)
        folder.write_number(number)
        made = _commit(repository, draft, number, outputs, collected.outputs)
        run = _record(draft, folder, end, number, collected, made)
        writer.check_awake()
        repository.sealed.seal_run(run)
        return SealedRun(run, land_outputs(repository, run), end.code)


def land_outputs(repository: Repository, run: Run) -> tuple[Landing, ...]:
    """Move `main` to each output's commit, unless that was done before. Raises Conflict, SystemFault."""
    return tuple(_land(repository, run, output) for output in run.outputs)


def landing_of(repository: Repository, output: RunOutput) -> Landing | None:
    """Where a sealed run's output is. None: it never landed."""
    dataset = repository.names.find(Name(output.project, output.name))
    if dataset is None:
        return None
    branch = landed_on(repository, dataset, MAIN, output.commit)
    return _landing(repository, dataset, output, branch) if branch else None


def _collect(
    repository: Repository, until_sealed: ExitStack, executor: Executor, draft: Draft, end: End,
    progress: Progress,
) -> tuple[Writer, Collected, End]:  # fmt: skip
    """Who keeps what came of the run until it is sealed; what that is, durable; how it ended, which an
    output may have turned into a failure."""
    job, wanted = draft.plan.job, end.state == "succeeded"
    try:
        with ExitStack() as trying:
            writer = trying.enter_context(repository.writer())
            collected = executor.collect(job, writer, outputs=wanted, progress=progress)
            for entries in collected.outputs.values():
                write_tree(writer, entries)
            writer.flush()
            until_sealed.enter_context(trying.pop_all())
    except Invalid as error:
        failed = _failed(end, error)
        writer = until_sealed.enter_context(repository.writer())
        collected = executor.collect(job, writer, outputs=False, progress=progress)
        writer.flush()
        return writer, collected, failed
    missing = [o.label for o in job.outputs if o.label not in collected.outputs]
    if wanted and missing:
        end = _failed(end, _nothing_written(missing[0]))
    return writer, collected, end


def _nothing_written(label: str) -> NotFound:
    return NotFound(
        "output_missing",
        f'The command succeeded but wrote nothing to ${variable(OUTPUT, label)}, output "{label}".',
        f'Write its files to that folder, in Python: kamld.output("{label}").',
    )


def _recheck(repository: Repository, draft: Draft, end: End) -> End:
    """A name may have become something else's while the command ran."""
    for output in draft.plan.outputs if end.state == "succeeded" else ():
        name = Name(output.project, output.name)
        present = made(repository, name)
        if present and present.kind != output.kind:
            message = f"{name} became a {present.kind} while the run went on; no output was kept."
            return _failed(end, Conflict("other_kind", message, "Choose another name."))
    return end


def _failed(end: End, error: KamldError) -> End:
    return msgspec.structs.replace(end, state="failed", code=error.code, error=str(error))


def _commit(
    repository: Repository, draft: Draft, number: int, outputs: tuple[Output, ...],
    contents: dict[str, Entries],
) -> tuple[RunOutput, ...]:  # fmt: skip
    """Durable commits that no ref names yet."""
    message = f"run {number}: {command_text(draft.plan.job.command)}"[:_MESSAGE_MAX]
    made = []
    with repository.writer() as writer:
        for output in outputs:
            dataset = repository.names.find(Name(output.project, output.name))
            main = repository.refs.find(dataset, MAIN) if dataset else None
            version = repository.write_version(
                writer, contents[output.label], author=draft.plan.author, message=message,
                parents=(main.commit,) if main and main.commit else (), run=draft.plan.job.id,
            )  # fmt: skip
            made.append(
                RunOutput(
                    label=output.label,
                    project=output.project,
                    name=output.name,
                    kind=output.kind,
                    commit=version.commit_id,
                )
            )
    return tuple(made)


def _record(
    draft: Draft, folder: RunFolder, end: End, number: int, collected: Collected,
    outputs: tuple[RunOutput, ...],
) -> Run:  # fmt: skip
    plan, captured = draft.plan, folder.captured()
    return Run(
        id=plan.job.id, project=plan.project, number=number, name=plan.name, state=end.state,
        command=plan.job.command, author=plan.author, started=draft.started, ended=end.ended,
        exit_status=end.exit_status, error=end.error, params=plan.job.params,
        metrics=collected.metrics, inputs=plan.inputs, outputs=outputs, code=captured.code,
        environment=collected.environment, stdout=_hex(collected.stdout),
        stderr=_hex(collected.stderr), points=_hex(collected.points),
        notes=(*captured.notes, *collected.notes),
    )  # fmt: skip


def _land(repository: Repository, run: Run, output: RunOutput) -> Landing:
    if landed := landing_of(repository, output):
        return landed
    dataset = _dataset(repository, output)
    landing = repository.land(dataset, MAIN, output.commit, author=run.author)
    return _landing(repository, dataset, output, landing.branch)


def _dataset(repository: Repository, output: RunOutput) -> Dataset:
    """The output's dataset or model, made if need be. Raises Conflict (other_kind)."""
    name = Name(output.project, output.name)
    dataset = made(repository, name)
    if dataset is None:
        try:
            return repository.create(name, output.kind)
        except Conflict:  # somebody was faster
            dataset = repository.names.get(name)
    if dataset.kind != output.kind:
        message = f"{name} became a {dataset.kind}; the run's output is {ids.short(output.commit)}."
        raise Conflict("other_kind", message, "Choose another name next time.")
    return dataset


def _landing(repository: Repository, dataset: Dataset, output: RunOutput, branch: str) -> Landing:
    version = repository.refs.version_of(dataset, output.commit) if branch == MAIN else None
    tree = repository.tree(repository.commit(output.commit))
    return Landing(output, branch, version, tree.count, tree.size)


def _hex(identifier: bytes | None) -> str | None:
    return identifier.hex() if identifier else None
