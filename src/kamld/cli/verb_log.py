"""`kamld log`: the history of a dataset or model, or of a path in it."""

import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import Any

import click

from kamld.app import App
from kamld.cli import render, views
from kamld.cli.context import Door, json_option, limit_option, pass_door
from kamld.cli.other_hub import is_same
from kamld.cli.paths import find_place, is_name, is_place, shell_word, typed
from kamld.errors import NotFound, SystemFault
from kamld.reading.choose import no_such, pattern_of
from kamld.reading.history import Step, steps
from kamld.records.history import Dataset
from kamld.records.names import MAIN
from kamld.store import Change, Repository, Tree
from kamld.store.trees import diff
from kamld.workspace import Binding, find_binding, read_binding, settle
from kamld.workspace.settle import bound_dataset


@click.command("log")
@click.argument("name", metavar="NAME[@REVISION][:PATH] | FOLDER", default=".")
@limit_option("How many to show.", default=20, show_default=True)
@json_option
@pass_door
def command(door: Door, name: str, limit: int, as_json: bool) -> None:
    """Show the history of a dataset or model, newest first.

    A name alone is its main, whatever is in a folder of that name. Without any it is the branch of the folder
    that you are in; that of another folder is shown by its path, as in kamld log ./digits.

    With a PATH, only the versions that changed that file, something in that folder, or a file that
    matches that pattern.

    \b
    Examples:
      kamld log digits
      kamld log                                    of the folder that you are in
      kamld log digits-net@champion
      kamld log digits@main@{2026-03-02T10:00}     as it was then
      kamld log digits:labels.csv                  who changed the labels
      kamld log "digits:3/*.png"
    """
    app = door.app
    if meant := _folder(app, name):
        folder, binding = meant
        repository = app.of_binding(folder, binding)
        dataset, start = bound_dataset(repository, folder, binding), binding.commit
        head = repository.refs.find(dataset, binding.branch) if binding.branch else None
        start = head.commit if head and head.commit else start
        if not as_json and name != "." and os.path.basename(name.rstrip("/")) != dataset.name:
            render.note(f"{name} is a folder of {dataset.said}, {_on(binding)}.")
    elif app.reference(name).path:
        place = find_place(app, name)
        raw, glob = os.fsencode(place.path), pattern_of(place.folders, place.path)
        found = list(islice(steps(app.repository, place.resolved.commit_id, raw, glob), limit + 1))
        if not any(step.changes for step in found):
            raise no_such(place.folders, place.path, place.where)
        _finish(app.repository, place.resolved.dataset, found, limit, app.author, name, as_json=as_json)
        return
    else:
        repository = app.repository
        resolved = app.resolve(name)
        dataset, start = resolved.dataset, resolved.commit_id
        if not as_json:
            _note_folder(app, name, dataset)
    history = list(islice(repository.log(start), limit + 1))
    found = [Step(identifier, commit, []) for identifier, commit in history]
    _finish(repository, dataset, found, limit, app.author, name, as_json=as_json, whole=True)


def _folder(app: App, word: str) -> tuple[Path, Binding] | None:
    """The folder that is meant: one that is written as a place, or a bound one whose name nothing else has.
    None: it is a name."""
    place = Path(app.folder, word)
    if is_place(word) and place.is_dir():
        try:
            return find_binding(place.resolve(), app.of_binding)
        except NotFound as error:
            if word == "." or error.code != "not_bound":
                raise
            return None  # the shell completed the name of a folder beside
    if {"@", ":"} & set(word) or not place.is_dir() or is_name(app, word):
        return None
    binding = settle(place, app.of_binding)
    return (place, binding) if binding else None


def _note_folder(app: App, word: str, dataset: Dataset) -> None:
    """A name alone is its main; what is in a folder of that name may be something else."""
    binding = None
    with suppress(SystemFault):  # what is wrong with the folder is told to who asks for the folder
        binding = None if {"@", ":"} & set(word) else read_binding(Path(app.folder, word))
    if binding and (binding.dataset, binding.branch) != (dataset.id, MAIN):
        of = "" if binding.dataset == dataset.id else f" of {binding.full_name}"
        if not is_same(binding.hub, app.settings.hub):
            of = f" of {binding.full_name} in another hub, {binding.hub},"
        render.advise_aside(f"The folder {word} is{of} {_on(binding)}: kamld log ./{word}")


def _on(binding: Binding) -> str:
    return f"on {binding.branch}" if binding.branch else "on no branch"


def _finish(
    repository: Repository, dataset: Dataset, found: Sequence[Step], count: int, me: str, asked: str, *,
    as_json: bool, whole: bool = False,
) -> None:  # fmt: skip
    shown = found[:count]
    if as_json:
        render.json_value(_json(repository, dataset, shown, whole=whole))
        return
    names = _names(repository, dataset)
    what = (_of_whole if whole else _of_path)(repository, shown)
    rows = [
        (
            render.commit_id(step.commit_id),
            ", ".join(names.get(step.commit_id, [])),
            render.ago(step.commit.time),
            render.who(step.commit.author, me),
            step.commit.message.splitlines()[0] if step.commit.message else "",
            said,
        )
        for step, said in zip(shown, what, strict=True)
    ]
    render.table(rows, whole=(0, 2, 5), spare=(3,))
    if len(found) > count:
        render.say(f"… more with: {typed()} log {shell_word(os.fsencode(asked))} -n {count * 5}")


def _names(repository: Repository, dataset: Dataset) -> dict[str, list[str]]:
    """What each version is called, by its commit: branches, tags, aliases; a model's number last."""
    names: dict[str, list[str]] = {}
    for ref in repository.live_refs(dataset):
        names.setdefault(ref.commit or "", []).append(ref.name)
    for number, commit_id in repository.refs.versions(dataset).items():
        names.setdefault(commit_id, []).append(f"v{number}")
    return names


def _json(
    repository: Repository, dataset: Dataset, shown: Sequence[Step], *, whole: bool
) -> list[dict[str, Any]]:
    """What log tells of a version; of a path also how many files of it each changed."""
    names, rows = _names(repository, dataset), []
    numbers = {commit_id: number for number, commit_id in repository.refs.versions(dataset).items()}
    for step in shown:
        row = views.commit_json(step.commit_id, step.commit) | {
            "names": names.get(step.commit_id, []),
            "version": views.version_json(numbers.get(step.commit_id)),
            "expired": bool(step.commit.checkpoint) and repository.kept_tree(step.commit) is None,
        }
        if not whole:
            counted = zip(("added", "removed", "changed"), views.counts(step.changes), strict=True)
            row |= {f"files_{word}": count for word, count in counted}
        rows.append(row)
    return rows


def _of_whole(repository: Repository, found: Sequence[Step]) -> Iterator[str]:
    for step in found:
        tree = repository.kept_tree(step.commit)
        parents = step.commit.parents
        before = repository.kept_tree(repository.commit(parents[0])) if tree and parents else None
        about = ", a checkpoint" if step.commit.checkpoint else ""
        yield views.EXPIRED if tree is None else _what(before, tree) + about


def _what(before: Tree | None, tree: Tree) -> str:
    """Also of the first that is kept after some that expired, how many files there are."""
    return views.change_counts(diff(before, tree)) if before else render.files(tree.count)


def _of_path(_repository: Repository, found: Sequence[Step]) -> Iterator[str]:
    for step in found:
        if step.tree_gone:
            yield views.EXPIRED
        elif len(step.changes) == 1:
            yield _one(step.changes[0], known=not step.before_gone)
        else:
            yield render.files(len(step.changes)) if step.before_gone else views.change_counts(step.changes)


def _one(change: Change, *, known: bool) -> str:
    """`known`: also how it was before."""
    word = {"added": "new, ", "removed": "removed, ", "changed": ""}[change.sort] if known else ""
    return word + views.sizes(change)
