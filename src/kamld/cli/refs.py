"""What branch, tag and alias have in common: they name a version, and can be listed and removed."""

import click

from kamld.app import App
from kamld.changes.refs import remove_ref
from kamld.cli import render, views
from kamld.cli.here import meant, or_here
from kamld.errors import NotFound, UsageError
from kamld.records.history import Dataset, Ref, RefKind


def make_list_or_remove(
    app: App, kind: RefKind, name: str | None, word: str | None, *, remove: bool, as_json: bool
) -> None:
    """Without a name, of the folder that one is in."""
    app, name = meant(app, name, whole=True)
    if word is None and remove:
        _remove(app, kind, *named(app, name, kind), as_json)
    elif word is None:
        _list(app, kind, name, as_json)
    elif remove:
        _remove(app, kind, app.dataset(name), word, as_json)
    else:
        _make(app, kind, name, word, as_json)


def named(app: App, text: str, kind: RefKind, *, or_main: bool = False) -> tuple[Dataset, str]:
    """The dataset, and the ref of `NAME@REF`, which has to be said, unless `or_main`.

    Raises UsageError, NotFound, Invalid.
    """
    reference = app.reference(text)
    revision, way = reference.revision, f"Write {reference.name.said}@{kind.upper()}."
    if not or_main and "@" not in text:
        raise UsageError("usage", f"Which {kind} of {text}?", way)
    if reference.path or revision.steps or revision.time:
        raise UsageError("usage", f'"{text}" is no {kind}.', way)
    return app.repository.names.get(reference.name), revision.base


def _list(app: App, kind: RefKind, name: str, as_json: bool) -> None:
    try:
        dataset = app.dataset(name)
    except NotFound as error:
        raise or_here(error, app, name, f"kamld {kind} NAME {name}") from None
    found = [ref for ref in app.repository.live_refs(dataset) if ref.kind == kind]
    versions = app.repository.refs.versions(dataset) if kind == "tag" else {}
    if as_json:
        shown = [_json(dataset, r.name, kind) | {"commit": r.commit, "time": r.last.time} for r in found]
        if kind == "branch":
            shown = [one | {"protection": r.protection} for one, r in zip(shown, found, strict=True)]
        numbers = {f"v{number}": commit_id for number, commit_id in sorted(versions.items())}
        of_model = [_json(dataset, n, "number") | {"commit": c, "time": None} for n, c in numbers.items()]
        render.json_value(shown + of_model)
        return
    rows = [
        (ref.name, render.commit_id(ref.commit or ""), render.ago(ref.last.time),
         render.who(ref.last.author, app.author), protection(ref))
        for ref in found
    ]  # fmt: skip
    rows += [(f"v{n}", render.commit_id(c), "", "", "") for n, c in sorted(versions.items())]
    render.table(rows)
    if not rows:
        render.say(f"{dataset.said} has none. Make one: kamld {kind} {dataset.said}@REVISION NAME")


def _json(dataset: Dataset, ref: str, kind: str) -> dict[str, object]:
    return views.dataset_json(dataset) | {"ref": ref, "ref_kind": kind}


def protection(ref: Ref) -> str:
    """Whether only merges move it, and what must hold before they do."""
    if ref.protection is None:
        return ""
    return f"protected: {', '.join((*ref.protection.require, *ref.protection.checks)) or 'only by merges'}"


def _make(app: App, kind: RefKind, name: str, word: str, as_json: bool) -> None:
    resolved = app.resolve(name)
    dataset = resolved.dataset
    before = app.repository.refs.find(dataset, word)
    app.repository.set_ref(dataset, word, kind, resolved.commit_id, author=app.author, known=True)
    if as_json:
        was_at = before.commit if before else None
        render.json_value(_json(dataset, word, kind) | {"commit": resolved.commit_id, "old_commit": was_at})
        return
    version = app.repository.refs.version_of(dataset, resolved.commit_id)
    about = f"v{version}  " if version else ""
    subject = resolved.commit.message.splitlines()[0] if resolved.commit.message else ""
    was = f"   (was {render.commit_id(before.commit)})" if before and before.commit else ""
    label = click.style(f"{dataset.said}@{word}", bold=True)
    render.say(f"{label}   {about}{render.commit_id(resolved.commit_id)}  {subject}{was}")


def _remove(app: App, kind: RefKind, dataset: Dataset, word: str, as_json: bool) -> None:
    was = remove_ref(app.repository, dataset, kind, word, author=app.author)
    if as_json:
        render.json_value(_json(dataset, word, kind) | {"commit": None, "old_commit": was})
        return
    render.say(f"Removed {kind} {word}. It was at {render.commit_id(was)}, which stays.")
    render.advise(f"This brings it back: kamld undo {dataset.said}@{word}")
