"""`kamld diff`: what differs between two versions, or between a folder and its last commit."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

import click
import msgspec

from kamld.app import App
from kamld.catalog.metrics import MetricChange, compare_metrics
from kamld.changes.compare import Comparison, Wanted, compare_change, text_of_one
from kamld.cli import diff_views, render, views
from kamld.cli.context import Door, existing_folder, json_option, pass_door
from kamld.cli.views import plain
from kamld.errors import Invalid, NotFound, UsageError
from kamld.records.history import Commit, Dataset
from kamld.store import Change, Repository, Tree
from kamld.store.refs.revisions import Resolved
from kamld.store.trees import diff
from kamld.workspace import find_binding, folder_status
from kamld.workspace.settle import bound_dataset

_UNASKED_MAX = 256_000_000  # bytes of a file that is looked into when nobody asked for more than a list
_THUMBNAIL = 128


@dataclass(frozen=True, slots=True)
class _Compared:
    repository: Repository
    title: str
    changes: list[Change]
    folder: Path | None = None  # where the new files are, if not in the hub
    models: tuple[str, str] | None = None  # the commits, if these are versions of models
    trees: tuple[Tree, ...] = ()  # the two sides, as far as they are in the hub
    of: Dataset | None = None


@click.command("diff")
@click.argument("versions", nargs=-1, metavar="[NAME[@OLD] [[NAME]@NEW]] | [FOLDER] [PATH]...")
@click.option("-p", "--patch", is_flag=True, help="Show details too: rows, arrays, lines of text.")
@click.option("--stat", is_flag=True, help="A line for every file, none counted by folder.")
@click.option("--metrics", "measured", is_flag=True, help="Only what was measured of two versions.")
@click.option("--key", metavar="COLUMN[,...]", help="The columns that tell a table's rows apart.")
@json_option
@pass_door
def command(
    door: Door, versions: tuple[str, ...], patch: bool, stat: bool, measured: bool, key: str | None,
    as_json: bool,
) -> None:  # fmt: skip
    """Show what differs: a folder from its last commit, a version from the one before, or two versions.

    Tables are compared by rows, models by arrays, pictures by pixels, texts by lines, all else by bytes.
    Of two versions of a model also what was measured of them, by the runs that made them and by those
    that took them in. With --json, what is inside files is told where -p or --stat is given.

    \b
    Examples:
      kamld diff digits                    the folder and its last commit
      kamld diff digits@v1 digits@main     two versions
      kamld diff digits@main~1 @main -p    the same name, with details
      kamld diff digits@main               a version and the one before it
      kamld diff digits labels.csv --key file
      kamld diff digits-net@v1 @v2 --metrics
    """
    compared, paths = _compared(door.app, versions)
    if measured:
        _show_metrics(door.app, compared, as_json=as_json)
        return
    _check_there(compared, paths)
    changes = [change for change in compared.changes if _is_asked(change.path, paths)]
    wanted = Wanted(
        key=key.split(",") if key else None,
        rows=5 if patch else 0,
        thumbnail=_THUMBNAIL if patch and as_json else 0,
    )
    asked = bool(patch or stat or key or paths)
    if as_json:
        found = _look(compared, changes, wanted) if patch or stat else {}
        render.json_value([_json(change, found.get(change.path)) for change in changes])
        return
    render.say(f"{compared.title}   {views.change_counts(changes)}")
    if compared.models and not paths:
        _say_metrics(compare_metrics(door.app.repository, *compared.models))
    altered = [change for change in changes if change.sort == "changed"]
    if not asked:
        altered = [change for change in altered if _largest(change) <= _UNASKED_MAX]
    if len(altered) > views.LISTED and not (patch or stat):
        altered = []
    found = _look(compared, altered, wanted)
    sizes = {change.path: views.sizes(change) for change in altered}
    notes = {path: diff_views.summary(one, sizes[path], lines=stat) for path, one in found.items()}
    views.show_changes(changes, notes, folded=not stat)
    if patch:
        _show_details(compared, changes, found)


def _compared(app: App, words: Sequence[str]) -> tuple[_Compared, Sequence[str]]:
    """What is compared, and the paths that were named."""
    first = words[0] if words else "."
    folder = Path(app.folder, first)
    second = words[1] if len(words) > 1 else ""
    if folder.is_dir() and "@" not in second and (not second or _is_path_in(folder, second)):
        top, binding = find_binding(existing_folder(app.folder, Path(first)), app.of_binding)
        repository = app.of_binding(top, binding)
        changes = folder_status(top, binding, repository).changes
        of = bound_dataset(repository, top, binding)  # whose name is not the binding's after `kamld mv`
        title = f"{of.name}: {render.commit_id(binding.commit)} → {words[0] if words else '.'}"
        trees = _trees(repository, repository.commit(binding.commit)) if words[1:] else ()
        return _Compared(repository, title, changes, top, None, trees, of), words[1:]
    one = app.resolve(first)
    other = _second(app, first, second) if second else None
    if other is not None:
        title = f"{one.dataset.name} {render.commit_id(one.commit_id)} → {render.commit_id(other.commit_id)}"
        changes = _diff(app.repository, one.commit, other.commit)
        trees, models = _trees(app.repository, one.commit, other.commit), _models(one, other.commit_id)
        return _Compared(app.repository, title, changes, None, models, trees, one.dataset), words[2:]
    parent = one.commit.parents[0] if one.commit.parents else None
    before = app.repository.commit(parent) if parent else None
    came_from = render.commit_id(parent) if parent else "nothing"
    title = f"{one.dataset.name} {came_from} → {render.commit_id(one.commit_id)}"
    changes = _diff(app.repository, before, one.commit)
    models = _models(one, parent, one.commit_id) if parent else None
    trees = _trees(app.repository, before, one.commit)
    return _Compared(app.repository, title, changes, None, models, trees, one.dataset), words[1:]


def _models(of: Resolved, *commits: str) -> tuple[str, str] | None:
    before, after = commits if len(commits) > 1 else (of.commit_id, *commits)
    return (before, after) if of.dataset.kind == "model" else None


def _second(app: App, first: str, second: str) -> Resolved | None:
    """None: it is a path in the version that was named first."""
    name = first.partition("@")[0].partition(":")[0]
    try:
        return app.resolve(name + second if second.startswith("@") else second)
    except (NotFound, Invalid):  # a path need not be something that could be a name
        if "@" in second or "@" not in first:
            raise
        return None


def _show_metrics(app: App, compared: _Compared, *, as_json: bool) -> None:
    if compared.models is None:
        raise UsageError(
            "usage",
            "Metrics are of versions of a model.",
            "For example: kamld diff digits-net@v1 @v2 --metrics",
        )
    found = compare_metrics(app.repository, *compared.models)
    if as_json:
        render.json_value(plain(msgspec.to_builtins(found)))
        return
    _say_metrics(found)
    if not found:
        render.say("Nothing was measured of either: no run made them, or took them in.")


def _say_metrics(found: Sequence[MetricChange]) -> None:
    rows = [
        (one.name, _number(one.before), "→", _number(one.after), _difference(one), _runs(one))
        for one in found
    ]
    render.table(rows, right=(1, 3, 4), indent="  ")


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.6g}"


def _difference(one: MetricChange) -> str:
    if one.before is None or one.after is None:
        return ""
    return f"{one.after - one.before:+.3g}" if one.after != one.before else "="


def _runs(one: MetricChange) -> str:
    numbers = [number for number in (one.run_before, one.run_after) if number is not None]
    return f"run {', '.join(map(str, dict.fromkeys(numbers)))}"


def _is_path_in(folder: Path, word: str) -> bool:
    return (folder / word).exists() or any(mark in word for mark in "*?[")


def _trees(repository: Repository, *commits: Commit | None) -> tuple[Tree, ...]:
    return tuple(repository.tree(commit) for commit in commits if commit)


def _check_there(compared: _Compared, paths: Sequence[str]) -> None:
    """Raises NotFound (unknown_path) for a word that names nothing on either side."""
    for word in paths:
        if any(_is_asked(change.path, [word]) for change in compared.changes) or (
            compared.folder and os.path.lexists(compared.folder / word)
        ):
            continue
        if any(_has(tree, word) for tree in compared.trees):
            continue
        hint = "kamld ls shows what a version has."
        if compared.of:
            ref = compared.repository.refs.find(compared.of, word.removeprefix("@"))
            name = compared.of.name
            hint = f"kamld ls {name} shows what there is."
            if ref and ref.commit:
                hint = f"To compare with that {ref.kind}: kamld diff {name}@OTHER @{ref.name}"
        raise NotFound("unknown_path", f'Neither side has a file or folder "{word}".', hint)


def _has(tree: Tree, word: str) -> bool:
    if any(mark in word for mark in "*?["):
        return any(_is_asked(path, [word]) for path in tree.entries().paths)
    return len(tree.under(os.fsencode(word.strip("/")))) > 0


def _is_asked(path: bytes, paths: Sequence[str]) -> bool:
    text = path.decode("utf-8", "surrogateescape")
    wanted = [word.strip("/") for word in paths]
    return not paths or any(
        text == word or text.startswith(f"{word}/") or fnmatchcase(text, word) for word in wanted
    )


def _diff(repository: Repository, old: Commit | None, new: Commit) -> list[Change]:
    return diff(repository.tree(old) if old else None, repository.tree(new))


def _largest(change: Change) -> int:
    return max(entry.size for entry in (change.old, change.new) if entry)


def _look(compared: _Compared, changes: Sequence[Change], wanted: Wanted) -> dict[bytes, Comparison]:
    found = {}
    for change in changes:
        inside = compare_change(compared.repository, change, compared.folder, wanted)
        if inside is not None:
            found[change.path] = inside
    return found


def _json(change: Change, inside: Comparison | None) -> dict[str, object]:
    return views.change_json(change) | (diff_views.comparison_json(inside) if inside else {})


def _show_details(compared: _Compared, changes: Sequence[Change], found: dict[bytes, Comparison]) -> None:
    for change in changes:
        name = render.path(change.path)
        if change.path in found:
            diff_views.show_details(name, found[change.path])
        elif text := text_of_one(compared.repository, change, compared.folder):
            diff_views.show_lines(name, text)
