"""`kamld log`: the history of a dataset or model."""

from itertools import islice
from pathlib import Path

import click

from kamld.cli import render, views
from kamld.cli.context import Door, json_option, pass_door
from kamld.records.history import Commit, Dataset
from kamld.store import Repository
from kamld.store.trees import diff
from kamld.workspace import find_binding, settle
from kamld.workspace.settle import bound_dataset


@click.command("log")
@click.argument("name", metavar="NAME[@REVISION] | FOLDER", default=".")
@click.option("-n", "count", type=click.IntRange(1), default=20, show_default=True, help="How many to show.")
@json_option
@pass_door
def command(door: Door, name: str, count: int, as_json: bool) -> None:
    """Show the history of a dataset or model, newest first.

    \b
    Examples:
      kamld log digits
      kamld log digits-net@champion
      kamld log digits@main@{2026-03-02T10:00}     as it was then
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
    else:
        repository = app.repository
        resolved = app.resolve(name)
        dataset, start = resolved.dataset, resolved.commit_id
    history = list(islice(repository.log(start), count + 1))
    if as_json:
        render.json_value([views.commit_json(i, commit) for i, commit in history[:count]])
        return
    _show(repository, dataset, history[:count], app.author)
    if len(history) > count:
        render.say(f"… more with: kamld log {name} -n {count * 5}")


def _show(repository: Repository, dataset: Dataset, history: list[tuple[str, Commit]], me: str) -> None:
    names: dict[str, list[str]] = {}
    for ref in repository.live_refs(dataset):
        names.setdefault(ref.commit or "", []).append(ref.name)
    for number, commit in repository.refs.versions(dataset).items():
        names.setdefault(commit, []).append(f"v{number}")
    rows = [
        (
            render.commit_id(identifier),
            ", ".join(names.get(identifier, [])),
            render.ago(commit.time),
            render.who(commit.author, me),
            commit.message.splitlines()[0] if commit.message else "",
            _what(repository, commit),
        )
        for identifier, commit in history
    ]
    render.table(rows)


def _what(repository: Repository, commit: Commit) -> str:
    tree = repository.tree(commit)
    if not commit.parents:
        return render.files(tree.count)
    before = repository.tree(repository.commit(commit.parents[0]))
    return views.change_counts(diff(before, tree))
