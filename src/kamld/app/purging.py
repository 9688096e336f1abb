"""`kamld purge` wired: what a person names, what it touches, and this machine's copies of it."""

import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from kamld.app import App, tree_cache
from kamld.errors import Invalid
from kamld.records.history import Dataset
from kamld.store.purge import PATIENCE_S, Purged, Told, Touched, Weight, contents, find, finish, purge, weigh


@dataclass(frozen=True, slots=True)
class Plan:
    """What a purge would do."""

    dataset: Dataset
    path: str
    contents: dict[bytes, int]  # ids and sizes
    touched: Touched
    weight: Weight


def plan(app: App, text: str, *, every_version: bool) -> Plan:
    """`text` is NAME[@REVISION]:PATH. Raises NotFound, Invalid (no_path, no_content)."""
    reference = app.reference(text)
    if not reference.path:
        raise Invalid("no_path", f'"{text}" names no file.', "Name one: kamld purge NAME:PATH")
    resolved = app.repository.resolve(reference)
    dataset, commit = resolved.dataset, resolved.commit_id
    ids = contents(app.repository, dataset, commit, reference.path, every_version=every_version)
    touched = find(app.repository, ids, dataset.id)
    return Plan(dataset, reference.path, ids, touched, weigh(app.repository, ids))


def carry_out(
    app: App, made: Plan, reason: str, *, patience: float = PATIENCE_S, told: Told = lambda _: None
) -> tuple[Purged, list[Path]]:
    """What was done, and copies of this machine that somebody uses at the moment. Raises as `purge`."""
    begun = time.time()
    done = purge(
        app.repository, made.contents, made.touched,
        author=app.author, reason=reason, patience=patience, told=told,
    )  # fmt: skip
    return done, _forget(app, made.touched.trees, begun)


def go_on(app: App, *, told: Told = lambda _: None) -> tuple[Purged, list[Path]]:
    """The same for purges that were begun. Raises as `purge`."""
    begun = time.time()
    done = finish(app.repository, author=app.author, told=told)
    ids = [bytes.fromhex(hole.id) for hole in done.holes]
    return done, _forget(app, find(app.repository, ids).trees if ids else set(), begun)


def _forget(app: App, trees: set[str], before: float) -> list[Path]:
    """Checked-out inputs of runs, and what commands that were killed have left."""
    kept = tree_cache(app).forget(trees)
    for left in (Path(app.settings.hub) / "tmp").glob("*"):
        with suppress(OSError):  # who writes now began later, or has been waited for
            if left.stat().st_mtime < before:
                left.unlink()
    return [app.local / "trees" / key for key in kept]
