"""How runs differ: parameters, metrics, inputs, code, environment. Reads the store alone."""

from collections.abc import Iterable, Sequence
from typing import Any, Literal

import msgspec

from kamld.records.run import Run
from kamld.store import Repository, Tree
from kamld.store.trees import diff

Section = Literal["params", "metrics", "inputs", "code", "environment"]


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """One thing, as each of the runs has it; None: that run does not have it."""

    section: Section
    name: str
    values: tuple[Any, ...]


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    runs: tuple[Run, ...]
    same: tuple[Difference, ...]  # what all of them have alike
    different: tuple[Difference, ...]
    files: tuple[str, ...]  # of the code, that are not the same in all; sorted


def compare(repository: Repository, runs: Sequence[Run]) -> Comparison:
    """Raises SystemFault where the code of one cannot be read."""
    rows = [row for section, tables in _sections(runs) for row in _rows(section, tables)]
    alike = [all(value == row.values[0] for value in row.values) for row in rows]
    return Comparison(
        runs=tuple(runs),
        same=tuple(row for row, same in zip(rows, alike, strict=True) if same),
        different=tuple(row for row, same in zip(rows, alike, strict=True) if not same),
        files=_files(repository, [run.code.tree for run in runs if run.code]),
    )


def _sections(runs: Sequence[Run]) -> Iterable[tuple[Section, list[dict[str, Any]]]]:
    yield "params", [dict(run.params) for run in runs]
    yield "metrics", [dict(run.metrics) for run in runs]
    yield (
        "inputs",
        [{i.label: f"{i.project}/{i.name}@{i.commit}" for i in run.inputs} for run in runs],
    )
    yield "code", [_code(run) for run in runs]
    yield "environment", [_environment(run) for run in runs]


def _code(run: Run) -> dict[str, Any]:
    about: dict[str, Any] = {"command": list(run.command)}
    if run.code:
        about |= {"tree": run.code.tree}
        if run.code.git_commit:
            about |= {"git_commit": run.code.git_commit, "git_diff": run.code.git_diff}
    return about


def _environment(run: Run) -> dict[str, Any]:
    if not run.environment:
        return {}
    about = {"python": run.environment.python, "platform": run.environment.platform}
    return about | dict(sorted(run.environment.packages.items()))


def _rows(section: Section, tables: list[dict[str, Any]]) -> Iterable[Difference]:
    names = dict.fromkeys(name for table in tables for name in table)
    for name in names:
        values = tuple(table.get(name) for table in tables)
        yield Difference(section=section, name=name, values=values)


def _files(repository: Repository, trees: Sequence[str]) -> tuple[str, ...]:
    if not trees:
        return ()
    first = Tree(repository.objects, bytes.fromhex(trees[0]))
    changed = {
        change.path
        for tree in dict.fromkeys(trees[1:])
        for change in diff(first, Tree(repository.objects, bytes.fromhex(tree)))
    }
    return tuple(sorted(path.decode("utf-8", "backslashreplace") for path in changed))
