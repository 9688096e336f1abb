"""`kamld show`: one version and all that is known about it, or one path of it."""

import os
from collections.abc import Iterable, Iterator
from typing import Any

import click

from kamld import clock
from kamld.app import App
from kamld.cli import render, views
from kamld.cli.context import Door, json_option, pass_door
from kamld.cli.here import meant
from kamld.cli.left_out import left_elsewhere, paths_left_out, purged_of
from kamld.cli.paths import Place, find_place, shell_word, typed, with_removal
from kamld.errors import NotFound
from kamld.reading.about import About, about
from kamld.records.history import Commit
from kamld.records.holes import Hole
from kamld.store.refs.expiry import Link, standings
from kamld.store.refs.revisions import Resolved
from kamld.store.trees import Tree, diff
from kamld.store.trees.entries import Change

_SORTS = 8  # sorts of files that are shown, and columns of a table
_COLUMNS = 20


@click.command("show")
@click.argument("name", required=False, metavar="[NAME[@REVISION][:PATH]]")
@json_option
@pass_door
def command(door: Door, name: str | None, as_json: bool) -> None:
    """Show one version: who made it, when and from what, its names, and what it changed.

    Without a NAME it is the branch of the folder that you are in, also before @REVISION and :PATH.

    With a PATH: how large that file or folder is, what is in it, and which version changed it last.

    \b
    Examples:
      kamld show digits
      kamld show                              of the folder that you are in
      kamld show :labels.csv                  a file of it
      kamld show digits@main~1
      kamld show digits-net@v2 --json
      kamld show digits:labels.csv
      kamld show "digits:**/*.png"
    """
    app, name = meant(door.app, name)
    if app.reference(name).path:
        _path(app, find_place(app, name), as_json)
        return
    resolved = app.resolve(name)
    names, changes = _names(app, resolved), _changes(app, resolved.commit)
    tree = app.repository.kept_tree(resolved.commit)
    if as_json:
        shown = views.dataset_json(resolved.dataset) | views.commit_json(resolved.commit_id, resolved.commit)
        number = app.repository.refs.version_of(resolved.dataset, resolved.commit_id)
        named = {"names": names, "version": views.version_json(number), "expired": tree is None}
        left = left_elsewhere(app.repository.objects, tree.entries().rows())[0] if tree else 0
        purged = paths_left_out(app.repository.objects, tree.entries()) if tree else []
        extra = {"files": tree and tree.count, "bytes": tree and tree.size, "left": left, "purged": purged}
        render.json_value(shown | named | extra | {"changes": _changes_json(changes)})
        return
    dataset, commit = resolved.dataset, resolved.commit
    subject, _, rest = commit.message.partition("\n")
    render.say(f"{dataset.project}/{dataset.name}  {render.commit_id(resolved.commit_id)}  {subject}")
    for line in rest.strip().splitlines():
        render.say(f"  {line}")
    rows = [
        ("", "names", ", ".join(names)),
        ("", "made", f"{render.ago(commit.time)} by {render.who(commit.author, app.author)}"),
        ("", "files", f"{render.files(tree.count)}, {render.size(tree.size)}" if tree else views.EXPIRED),
        ("", "kept", _kept(app, resolved) if tree else ""),
        ("", "purged", purged_of(app.repository.objects, tree.entries()) if tree else ""),
        ("", "left", _left(app, tree) if tree else ""),
        ("", "before", ", ".join(map(render.commit_id, commit.parents))),
        ("", "from", _source(commit)),
        *_described(commit),
    ]
    render.table([row for row in rows if row[2]])
    if commit.parents and changes is not None:
        render.say(f"Changed since {render.commit_id(commit.parents[0])}: {views.change_counts(changes)}")
        views.show_changes(changes)
    if tree:
        render.advise(f"Get it: kamld checkout {dataset.said}@{resolved.commit_id[:12]} FOLDER")


def _changes_json(changes: list[Change] | None) -> list[dict[str, Any]] | None:
    return None if changes is None else [views.change_json(change) for change in changes]


def _names(app: App, resolved: Resolved) -> list[str]:
    """What else this version is called: branches, tags, aliases, a model's number."""
    refs = app.repository.live_refs(resolved.dataset)
    found = [ref.name for ref in refs if ref.commit == resolved.commit_id]
    number = app.repository.refs.version_of(resolved.dataset, resolved.commit_id)
    return [f"v{number}", *found] if number else found


def _changes(app: App, commit: Commit) -> list[Change] | None:
    """Since its first parent; none for a first version, whose files are all new. None: nobody can tell,
    for one of them was a checkpoint that expired."""
    if not commit.parents:
        return []
    repository = app.repository
    before, after = (repository.kept_tree(one) for one in (repository.commit(commit.parents[0]), commit))
    return diff(before, after) if before and after else None


def _left(app: App, tree: Tree) -> str:
    """Files of which the hub has no copy."""
    count, where = left_elsewhere(app.repository.objects, tree.entries().rows())
    return f"{render.files(count)} in {where}, of which the hub has no copy" if count else ""


def _kept(app: App, resolved: Resolved) -> str:
    """For how long, of a checkpoint."""
    if resolved.commit.checkpoint is None:
        return ""
    count = resolved.commit.checkpoint.keep_last
    newer = f"{count:,} newer one{' follows' if count == 1 else 's follow'}"
    if _is_expired(app, resolved):
        return f"a checkpoint: {newer}, so its files go with the next gc unless something names it"
    return f"a checkpoint: its files go once {newer} and nothing names it"


def _is_expired(app: App, resolved: Resolved) -> bool:
    """By what branches, tags and aliases say; runs and deployments may name it too."""
    repository = app.repository
    heads = {ref.commit for ref in repository.live_refs(resolved.dataset) if ref.commit}
    found = [
        standing.expired for head in heads
        for standing in standings(_links(repository.log(head)), heads)
        if standing.commit_id == resolved.commit_id
    ]  # fmt: skip
    return bool(found) and all(found)


def _links(history: Iterable[tuple[str, Commit]]) -> Iterator[Link]:
    for commit_id, commit in history:
        yield commit_id, commit.parents, commit.checkpoint.keep_last if commit.checkpoint else None


def _source(commit: Commit) -> str:
    """What its files were made of: a run, another dataset, a place elsewhere."""
    said = []
    if commit.run:
        said.append(f"run {commit.run[:12]}")
    if commit.origin:
        origin = commit.origin
        said.append(f"{origin.project}/{origin.name} {render.commit_id(origin.commit)}")
    if commit.imported:
        place, revision = commit.imported.source, commit.imported.revision
        said.append(f"{place} (Git commit {revision[:10]})" if commit.imported.kind == "dvc" else place)
    return ", ".join(said)


def _described(commit: Commit) -> list[tuple[str, str, str]]:
    """What a description that was imported with the files says about all of them."""
    said = commit.metadata.get("croissant") or commit.metadata.get("huggingface") or {}
    keys = ("license", "version", "url", "homepage", "citeAs", "citation")
    texts = {key: said[key] for key in keys if isinstance(said, dict) and isinstance(said.get(key), str)}
    rows = [("", key, text.splitlines()[0]) for key, text in texts.items() if text.strip()]
    missing = (commit.metadata.get("dvc") or {}).get("left_out") or []
    shown = ", ".join(missing[:3]) + f" and {len(missing) - 3:,} more" * (len(missing) > 3)
    return [*rows, ("", "left out", f"{shown} (DVC's cache lacked them)")] if missing else rows


def _path(app: App, place: Place, as_json: bool) -> None:
    try:
        found = about(app.repository, place.folders, place.resolved.commit_id, place.path, place.where)
    except NotFound as error:
        raise with_removal(app, place, error) from None
    if as_json:
        render.json_value(_json(found))
        return
    mark = "/" if found.kind == "folder" else ""
    render.say(f"{place.where}:{render.path(os.fsencode(found.path))}{mark}")
    rows = [("", "size", _size(found)), ("", "id", found.id[:12] and render.commit_id(found.id))]
    rows += [("", "leads to", found.target), ("", "changed", _changed(app, found))]
    rows += [("", "purged", _purged(found.purged))] if found.purged else []
    rows += [("", "columns", found.unreadable), *_many("columns", _columns(found))]
    rows += _many("of it", _sorts(found))
    render.table([row for row in rows if row[2]])
    asked = shell_word(os.fsencode(place.text))
    if found.kind in ("folder", "pattern") and found.files:
        render.say(f"Get it: {typed()} checkout {asked} FOLDER")
    elif found.kind in ("file", "executable") and not found.purged:
        render.say(f"Get it: {typed()} cat {asked}")


def _many(word: str, lines: list[str]) -> list[tuple[str, str, str]]:
    return [("", "" if at else word, line) for at, line in enumerate(lines)]


def _size(found: About) -> str:
    size = render.size(found.size)
    if found.kind in ("folder", "pattern"):
        return f"{render.files(found.files)}, {size}" if found.files else "empty"
    return size if found.kind == "file" else f"{size}, {found.kind}"


def _purged(hole: Hole) -> str:
    why = f": {hole.reason}" if hole.reason else ""
    return f"on {clock.local(hole.time)[:10]} by {hole.author}{why}; its content is gone"


def _changed(app: App, found: About) -> str:
    if found.last is None:
        return ""
    commit = found.last.commit
    subject = commit.message.splitlines()[0] if commit.message else ""
    by = f"{render.ago(commit.time)} by {render.who(commit.author, app.author)}"
    return f"{render.commit_id(found.last.commit_id)}  {subject}  ({by})"


def _columns(found: About) -> list[str]:
    width = max((len(name) for name, _ in found.columns), default=0)
    lines = [f"{name.ljust(width)}  {kind}" for name, kind in found.columns[:_COLUMNS]]
    return lines + [f"… {len(found.columns) - _COLUMNS} more"] * (len(found.columns) > _COLUMNS)


def _sorts(found: About) -> list[str]:
    if len(found.sorts) < 2:
        return []
    lines = [
        f"{render.files(sort.files)} {sort.suffix or 'without suffix'}, {render.size(sort.bytes)}"
        for sort in found.sorts[:_SORTS]
    ]
    return lines + [f"… {len(found.sorts) - _SORTS} more sorts"] * (len(found.sorts) > _SORTS)


def _json(found: About) -> dict[str, Any]:
    shown: dict[str, Any] = views.path_json(os.fsencode(found.path))
    shown |= {"kind": found.kind, "size": found.size, "files": found.files}
    if found.last:
        shown["last_commit"] = views.commit_json(found.last.commit_id, found.last.commit)
    if found.id:
        shown["id"] = found.id
    if found.purged:
        shown["hole"] = {field: getattr(found.purged, field) for field in ("time", "author", "reason")}
    if found.target:
        shown["target"] = found.target
    if found.columns:
        shown["columns"] = [{"name": name, "type": kind} for name, kind in found.columns]
    if found.kind in ("folder", "pattern"):
        shown["sorts"] = [{"suffix": s.suffix, "files": s.files, "bytes": s.bytes} for s in found.sorts]
    return shown
