"""What branch, tag and alias have in common: they name a version, and can be listed and removed."""

import click

from kamld.app import App
from kamld.cli import render
from kamld.errors import NotFound, UsageError
from kamld.records.history import Dataset, Ref, RefKind
from kamld.records.names import MAIN


def make_list_or_remove(
    app: App, kind: RefKind, name: str, word: str | None, *, remove: bool, as_json: bool
) -> None:
    if word is None:
        if remove:
            raise UsageError("usage", f"Which {kind} is to be removed?", f"kamld {kind} --help")
        _list(app, kind, name, as_json)
    elif remove:
        _remove(app, kind, app.dataset(name), word, as_json)
    else:
        _make(app, kind, name, word, as_json)


def _list(app: App, kind: RefKind, name: str, as_json: bool) -> None:
    dataset = app.dataset(name)
    found = [ref for ref in app.repository.live_refs(dataset) if ref.kind == kind]
    versions = app.repository.refs.versions(dataset) if kind == "tag" else {}
    if as_json:
        shown: list[dict[str, object]] = [
            {"name": r.name, "commit": r.commit, "time": r.last.time}
            | ({"protection": r.protection} if kind == "branch" else {})
            for r in found
        ]
        render.json_value(shown + [{"name": f"v{n}", "commit": c} for n, c in sorted(versions.items())])
        return
    rows = [
        (ref.name, render.commit_id(ref.commit or ""), render.ago(ref.last.time),
         render.who(ref.last.author, app.author), protection(ref))
        for ref in found
    ]  # fmt: skip
    rows += [(f"v{n}", render.commit_id(c), "", "", "") for n, c in sorted(versions.items())]
    render.table(rows)
    if not rows:
        render.say(f"{dataset.name} has none. Make one: kamld {kind} {dataset.name}@REVISION NAME")


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
        render.json_value({"name": word, "kind": kind, "commit": resolved.commit_id})
        return
    version = app.repository.refs.version_of(dataset, resolved.commit_id)
    about = f"v{version}  " if version else ""
    subject = resolved.commit.message.splitlines()[0] if resolved.commit.message else ""
    was = f"   (was {render.commit_id(before.commit)})" if before and before.commit else ""
    label = click.style(f"{dataset.name}@{word}", bold=True)
    render.say(f"{label}   {about}{render.commit_id(resolved.commit_id)}  {subject}{was}")


def _remove(app: App, kind: RefKind, dataset: Dataset, word: str, as_json: bool) -> None:
    ref = app.repository.refs.find(dataset, word)
    if ref is None or ref.commit is None or ref.kind != kind:
        raise NotFound(
            "unknown_revision",
            f'{dataset.name} has no {kind} "{word}".',
            f"kamld {kind} {dataset.name}",
        )
    if kind == "branch" and word == MAIN:
        raise UsageError("usage", "main is what the name alone means; it cannot be removed.")
    app.repository.refs.move(
        dataset, word, kind, None, expected=ref.commit, author=app.author, reason=f"remove {kind}"
    )
    if as_json:
        render.json_value({"name": word, "kind": kind, "commit": None, "was": ref.commit})
        return
    render.say(f"Removed {kind} {word}. It was at {render.commit_id(ref.commit)}, which stays.")
    render.say(f"This brings it back: kamld undo {dataset.name}@{word}")
