"""`kamld log`: the history of a dataset or model, or of a path in it."""

import os
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import click

from kamld.cli import render, views
from kamld.cli.context import Door, json_option, pass_door
from kamld.cli.paths import find_place, shell_word, typed
from kamld.reading.choose import no_such, pattern_of
from kamld.reading.history import Step, steps
from kamld.records.history import Dataset
from kamld.store import Change, Repository, Tree
from kamld.store.trees import diff
from kamld.workspace import find_binding, settle
from kamld.workspace.settle import bound_dataset


@click.command("log")
@click.argument("name", metavar="NAME[@REVISION][:PATH] | FOLDER", default=".")
@click.option("-n", "count", type=click.IntRange(1), default=20, show_default=True, help="How many to show.")
@json_option
@pass_door
def command(door: Door, name: str, count: int, as_json: bool) -> None:
    """Show the history of a dataset or model, newest first.

    With a PATH, only the versions that changed that file, something in that folder, or a file that
    matches that pattern.

    \b
    Examples:
      kamld log digits
      kamld log digits-net@champion
      kamld log digits@main@{2026-03-02T10:00}     as it was then
      kamld log digits:labels.csv                  who changed the labels
      kamld log "digits:3/*.png"
    """
    app = door.app
    folder = Path(app.folder, name)
    binding = settle(folder, app.of_binding) if folder.is_dir() else None
    if binding is None and name == ".":  # nothing was named: it is about where one is, maybe deep in it
        folder, binding = find_binding(app.folder, app.of_binding)
    if binding:
        repository = app.of_binding(folder, binding)
        dataset, start = bound_dataset(repository, folder, binding), binding.commit
        head = repository.refs.find(dataset, binding.branch) if binding.branch else None
        start = head.commit if head and head.commit else start
    elif app.reference(name).path:
        place = find_place(app, name)
        raw, glob = os.fsencode(place.path), pattern_of(place.folders, place.path)
        found = list(islice(steps(app.repository, place.resolved.commit_id, raw, glob), count + 1))
        if not any(step.changes for step in found):
            raise no_such(place.folders, place.path, place.where)
        _finish(app.repository, place.resolved.dataset, found, count, app.author, name, as_json=as_json)
        return
    else:
        repository = app.repository
        resolved = app.resolve(name)
        dataset, start = resolved.dataset, resolved.commit_id
    history = list(islice(repository.log(start), count + 1))
    found = [Step(identifier, commit, []) for identifier, commit in history]
    _finish(repository, dataset, found, count, app.author, name, as_json=as_json, whole=True)


def _finish(
    repository: Repository, dataset: Dataset, found: Sequence[Step], count: int, me: str, asked: str, *,
    as_json: bool, whole: bool = False,
) -> None:  # fmt: skip
    shown = found[:count]
    if as_json:
        render.json_value([_json(step, whole=whole) for step in shown])
        return
    names: dict[str, list[str]] = {}
    for ref in repository.live_refs(dataset):
        names.setdefault(ref.commit or "", []).append(ref.name)
    for number, commit_id in repository.refs.versions(dataset).items():
        names.setdefault(commit_id, []).append(f"v{number}")
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


def _json(step: Step, *, whole: bool) -> dict[str, Any]:
    shown = views.commit_json(step.commit_id, step.commit)
    added, removed, changed = views.counts(step.changes)
    return shown if whole else {**shown, "added": added, "removed": removed, "changed": changed}


def _of_whole(repository: Repository, found: Sequence[Step]) -> Iterator[str]:
    for step in found:
        tree = repository.kept_tree(step.commit)
        parents = step.commit.parents
        before = repository.kept_tree(repository.commit(parents[0])) if tree and parents else None
        yield views.EXPIRED if tree is None else _what(before, tree)


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
