"""`kamld purge` wired: what a person names, what it touches, and this machine's copies of it."""

import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from kamld import clock
from kamld.app import App, tree_cache
from kamld.app.mounts import mounts_folder
from kamld.errors import Invalid, KamldError, NotFound
from kamld.mount import Written, all_mounts, written_with
from kamld.records.history import Dataset
from kamld.records.holes import Hole
from kamld.records.names import Reference
from kamld.store import Holes, Repository
from kamld.store.purge import PATIENCE_S, Purged, Told, Touched, Weight, contents, find, finish, purge, weigh
from kamld.store.refs.revisions import resolve


@dataclass(frozen=True, slots=True)
class Plan:
    """What a purge would do."""

    dataset: Dataset
    path: str
    contents: dict[bytes, int]  # ids and sizes
    touched: Touched
    weight: Weight
    purged: tuple[Hole, ...] = ()  # where all of it was purged before: the records of that


@dataclass(frozen=True, slots=True)
class Left:
    """A copy on this machine that is still there, and why."""

    path: Path
    why: str


@dataclass(frozen=True, slots=True)
class Done:
    """`mounts`: folders at which a version is shown that had it. `written`: one's own copies, in what was
    written to mounts."""

    purged: Purged
    left: tuple[Left, ...]
    mounts: tuple[str, ...]
    written: tuple[Written, ...]


def plan(app: App, text: str, *, every_version: bool) -> Plan:
    """`text` is NAME[@REVISION]:PATH. Raises NotFound, Invalid (no_path, no_content)."""
    reference = app.reference(text)
    if not reference.path:
        raise Invalid("no_path", f'"{text}" names no file.', "Name one: kamld purge NAME:PATH")
    dataset, ids = _named(app.repository, reference, every_version=every_version)
    touched = find(app.repository, ids, dataset.id)
    weight, holes = weigh(app.repository, ids), Holes(app.repository.blobs)
    before = [hole for one in sorted(ids) if (hole := holes.find(one)) and hole.done]
    purged = tuple(before) if len(before) == len(ids) and not weight.bytes else ()
    return Plan(dataset, reference.path, ids, touched, weight, purged)


def _named(
    repository: Repository, reference: Reference, *, every_version: bool
) -> tuple[Dataset, dict[bytes, int]]:
    """What is named, in which dataset: the one of this name, else those removed under it, which need not be
    brought back for that. Raises NotFound, Invalid (no_content, ambiguous_name)."""
    names, name = repository.names, reference.name
    removed = () if names.find(name) else names.all_removed_from(name)
    found: list[tuple[str, Dataset, dict[bytes, int]]] = []
    failure: KamldError | None = None
    for dataset in [one.dataset for one in removed] or [names.get(name)]:
        try:
            commit = resolve(repository.objects, repository.refs, dataset, reference.revision).commit_id
            ids = contents(repository, dataset, commit, reference.path, every_version=every_version)
        except (NotFound, Invalid) as error:
            failure = failure or error
        else:
            found.append((commit, dataset, ids))
    if failure and not found:
        raise failure
    if any(ids != found[0][2] for _, _, ids in found):
        versions = " or ".join(f"{dataset.said}@{commit[:12]}" for commit, dataset, _ in found)
        raise Invalid(
            "ambiguous_name",
            f"{len(found)} datasets that were removed had the name {name}, and have different content at"
            f" {reference.path}.",
            f"Name the version by its id: {versions}",
        )
    return found[0][1], found[0][2]


def carry_out(
    app: App, made: Plan, reason: str, *, patience: float = PATIENCE_S, told: Told = lambda _: None
) -> Done:  # fmt: skip
    """Raises as `purge`."""
    begun = time.time()
    done = purge(
        app.repository, made.contents, made.touched,
        author=app.author, reason=reason, patience=patience, told=told,
    )  # fmt: skip
    return _done(app, done, made.contents, made.touched.trees, begun)


def already(app: App, made: Plan, *, dry_run: bool) -> Done:
    """For what was purged before: what this machine may still have of it goes, but on a `dry_run`."""
    done, trees = Purged(made.purged, 0, 0, made.weight.shared), made.touched.trees
    if dry_run:
        return Done(done, (), tuple(_mounts(app, trees)), _written(app, made.contents))
    return _done(app, done, made.contents, trees, _waited_for(made.purged))


def go_on(app: App, *, told: Told = lambda _: None) -> Done:
    """The same for purges that were begun; also what those that came to their end have left here. Raises as
    `purge`."""
    begun = time.time()
    done = finish(app.repository, author=app.author, told=told)
    holes = Holes(app.repository.blobs)
    purged = {bytes.fromhex(hole.id): hole.size for hole in holes.all()}
    before = begun if done.holes else _waited_for(holes.all())
    return _done(app, done, purged, find(app.repository, purged).trees if purged else set(), before)


def _waited_for(holes: Iterable[Hole]) -> float:
    """The time from before which nobody writes any more, for these purges have waited for them."""
    return max((clock.moment(hole.time).timestamp() for hole in holes if hole.done), default=0.0)


def _done(app: App, purged: Purged, contents: Mapping[bytes, int], trees: set[str], before: float) -> Done:
    left, mounts = tuple(_forget(app, trees, before)), tuple(_mounts(app, trees))
    return Done(purged, left, mounts, _written(app, contents))


def _written(app: App, contents: Mapping[bytes, int]) -> tuple[Written, ...]:
    return tuple(written_with(mounts_folder(app), contents))


def _mounts(app: App, trees: set[str]) -> Iterator[str]:
    for one in all_mounts(mounts_folder(app)):
        if one.state == "mounted" and _tree(app, one.commit) in trees:
            yield one.record.folder


def _tree(app: App, commit_id: str) -> str | None:
    try:
        return app.repository.commit(commit_id).tree
    except KamldError:  # it is damaged: nothing can be read in that mount
        return None


def _forget(app: App, trees: set[str], before: float) -> Iterator[Left]:
    """Remove checked-out inputs of runs, and what commands that were killed have left; what stays. `before`:
    a time at which whoever wrote then has been waited for since."""
    for key in tree_cache(app).forget(trees):
        yield Left(app.local / "trees" / key, "somebody uses it")
    for left in (Path(app.settings.hub) / "tmp").glob("*"):
        try:  # who writes now began later
            if left.stat().st_mtime < before:
                left.unlink()
        except FileNotFoundError:  # whose it was has ended
            continue
        except OSError as error:
            yield Left(left, error.strerror or str(error))
