"""Deciding what a run is before anything starts: reads the hub, writes nothing."""

import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

import msgspec

from kamld.errors import Invalid
from kamld.records.history import Dataset, Kind
from kamld.records.names import Name, check_word
from kamld.records.run import RunInput
from kamld.runs.interface import Job, JobOutput
from kamld.runs.words import (
    InputWord,
    OutputWord,
    check_text,
    parse_inputs,
    parse_outputs,
    parse_params,
)
from kamld.store import Repository

_INTERPRETERS = ("python", "pypy", "ipython", "Rscript", "sh", "bash", "node", "julia", "perl")


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A run as a person asked for it. `variables` is the environment that the command gets."""

    command: tuple[str, ...]
    project: str
    author: str
    folder: Path  # where the command starts
    variables: Mapping[str, str] = field(default_factory=dict)
    inputs: tuple[str, ...] = ()  # [LABEL=]NAME[@REVISION]
    outputs: tuple[str, ...] = ()  # [LABEL=]KIND:NAME[:FOLDER]
    params: tuple[str, ...] = ()  # NAME=VALUE
    name: str = ""  # "": the script's, else the command's


class Output(msgspec.Struct, frozen=True, kw_only=True):
    """An output that is wanted."""

    label: str
    project: str
    name: str
    kind: Kind


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """Everything about a run that is known before it starts, and can be kept."""

    job: Job
    project: str
    name: str
    author: str
    inputs: tuple[RunInput, ...]
    outputs: tuple[Output, ...]


def plan_run(repository: Repository, request: Request, run_id: str) -> Plan:
    """Raises NotFound (unknown_name, unknown_revision), Invalid."""
    if not request.command:
        raise Invalid("no_command", "There is no command to run.", "Write it after --.")
    for argument in request.command:
        check_text(argument, "The command's word")
    check_text(str(request.folder), "The folder")
    outputs = parse_outputs(request.outputs, request.project)
    params = parse_params(request.params)
    resolved = [_resolve(repository, word) for word in parse_inputs(request.inputs, request.project)]
    for word in outputs:
        _check_output(repository, word, request.folder)
    job = Job(
        id=run_id, command=request.command, folder=str(request.folder),
        inputs={one.label: tree for one, tree in resolved},
        outputs=tuple(JobOutput(label=word.label, path=word.path) for word in outputs),
        params={param.name: param.value for param in params},
        texts={param.name: param.text for param in params},
    )  # fmt: skip
    return Plan(
        job=job,
        project=check_word(request.project, "project"),
        name=check_text(request.name, "The name") or name_of(request.command),
        author=request.author,
        inputs=tuple(one for one, _ in resolved),
        outputs=tuple(
            Output(label=w.label, project=w.name.project, name=w.name.name, kind=w.kind) for w in outputs
        ),
    )


def made(repository: Repository, name: Name) -> Dataset | None:
    """What has this name; None also where nothing landed in it yet, for then the name is free."""
    dataset = repository.names.find(name)
    return dataset if dataset and repository.is_made(dataset) else None


def name_of(command: tuple[str, ...]) -> str:
    """What a run of this command is called: its script or module, else its program."""
    program = PurePosixPath(command[0]).name
    if program.rstrip("0123456789.") in _INTERPRETERS and len(command) > 1:
        first = command[1]
        if first == "-m" and len(command) > 2:
            return command[2]
        if not first.startswith("-"):
            return PurePosixPath(first).name
    return program


def command_text(command: tuple[str, ...]) -> str:
    """As a person would type it, on one line."""
    return " ".join(shlex.join(command).split())


def _resolve(repository: Repository, word: InputWord) -> tuple[RunInput, str]:
    found = repository.resolve(word.reference)
    dataset = found.dataset
    one = RunInput(
        label=word.label, project=dataset.project, name=dataset.name, kind=dataset.kind,
        revision=word.revision, commit=found.commit_id,
    )  # fmt: skip
    return one, repository.tree(found.commit).id.hex()  # which tells if a checkpoint expired


def _check_output(repository: Repository, word: OutputWord, folder: Path) -> None:
    present = made(repository, word.name)
    if present and present.kind != word.kind:
        raise Invalid(
            "other_kind",
            f"{word.name} is a {present.kind}, not a {word.kind}. Nothing was run.",
            f"Write -o {present.kind}:{word.name.name}, or choose another name.",
        )
    if word.path is None:
        return
    place = folder / word.path
    if not place.resolve().is_relative_to(folder.resolve()) or place.resolve() == folder.resolve():
        raise Invalid(
            "bad_output_folder",
            f"{place} is not below {folder}. Nothing was run.",
            "Name a folder below the one where the command starts, or leave it out.",
        )
    if place.exists() and not place.is_dir():
        raise Invalid(
            "bad_output_folder",
            f"{place} is a file. Nothing was run.",
            "Name the folder that the command writes into.",
        )
