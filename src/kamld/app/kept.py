"""`kamld gc --why` wired: what keeps a version, a file or a pack in the hub."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta

from kamld.app import App
from kamld.app.unfinished import unfinished
from kamld.reading.choose import chosen
from kamld.reading.folders import Folders
from kamld.records.holes import Hole
from kamld.store.gc import Need, find_roots, kept_by, needs, objects_in, since

_PACK = re.compile(r"packs/[0-9a-f]{2}/[0-9a-f]{8,64}(\.pack)?|[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Kept:
    """`commit`: of a version, which `by` is then about; else the versions that need any of the `objects`
    are, looked for as they are asked for. None: it is garbage. `purged`: which of the files are not there any
    more, and why; nothing needs those. `expired`: the version was a checkpoint, and its files are gone."""

    what: str  # as it was asked for; a pack by its whole key
    commit: str | None
    objects: int
    by: Iterator[Need]
    purged: tuple[tuple[bytes, Hole], ...] = ()  # paths
    expired: bool = False


def why_kept(app: App, what: str, older_than: timedelta) -> Kept:
    """`what`: a version, NAME[@REVISION]:PATH, or the key or name of a pack.

    Raises NotFound, Invalid, SystemFault.
    """
    repository = app.repository
    roots = find_roots(repository, since(app.settings.keep_days, older_than), unfinished(app))
    if _PACK.fullmatch(what):
        key, ids = objects_in(repository, what)
        return Kept(key, None, len(ids), needs(repository, roots, ids))
    reference = app.reference(what)
    if reference.path:
        tree = repository.tree(repository.resolve(reference).commit)
        where = f"{reference.name}@{reference.revision.said}"
        found = chosen(Folders(repository.objects, tree), reference.path, where)
        rows = list(found.rows())
        gone = repository.objects.purged({row.id for row in rows})
        holes = {one: hole for one in gone if (hole := repository.objects.hole(one))}
        purged = tuple((row.path, holes[row.id]) for row in rows if row.id in holes)
        ids = sorted({row.id for row in rows} - holes.keys())
        return Kept(what, None, len(ids), needs(repository, roots, ids) if ids else iter(()), purged)
    resolved = app.resolve(what)
    commit_id, expired = resolved.commit_id, repository.kept_tree(resolved.commit) is None
    about = sorted({root.about for root in kept_by(repository, commit_id, roots)})
    return Kept(what, commit_id, 1, (Need(one, commit_id) for one in about), expired=expired)
