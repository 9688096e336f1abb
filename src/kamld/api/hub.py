"""A whole hub as a handle: what is in it, and the verbs that are about all of it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import overload

from kamld import ids
from kamld.api.connect import connect
from kamld.api.dataset import Dataset, Model, Used, used_of
from kamld.api.folders import Where
from kamld.api.health import verbs as health
from kamld.api.health.values import Examined, Finished, Hole, Soundness
from kamld.api.shown import Line, Listing, html, many, plain, size
from kamld.api.spoken import Spoken
from kamld.app import App
from kamld.app.catalog import open_catalog
from kamld.app.kept import why_kept
from kamld.app.unfinished import unfinished
from kamld.errors import Invalid, UsageError
from kamld.records.names import MAIN
from kamld.store.gc import AGE, SHORTEST, collect, look
from kamld.store.gc.usage import measure
from kamld.store.hub import upgrade as raise_format


@dataclass(frozen=True, slots=True)
class Named:
    """A dataset or model of a hub, and its newest version."""

    name: str  # with the project
    kind: str
    commit: str
    time: str
    files: int
    bytes: int

    def _shown(self) -> dict[str, str]:
        return {
            "name": self.name, "kind": self.kind, "files": f"{self.files:,}", "size": size(self.bytes),
            "time": self.time[:19] + "Z",
        }  # fmt: skip


@dataclass(frozen=True, slots=True, repr=False)
class Usage(Line):
    """What takes the space, in bytes. `shared`: what several datasets have, once. `other`: what runs
    printed, what was removed or taken back, what nothing needs."""

    datasets: Listing[Used]
    shared: int
    other: int
    total: int

    def _line(self) -> str:
        return f"{size(self.total)}, of that {size(self.shared)} shared and {size(self.other)} other"

    def _below(self) -> Sequence[Listing[Used]]:
        return (self.datasets,)


@dataclass(frozen=True, slots=True, repr=False)
class Rebuilt(Line):
    """`damaged`: what could not be read and is left out, in sentences or by key."""

    objects: int
    commits: int
    runs: int
    damaged: tuple[str, ...]

    def _line(self) -> str:
        found = ", ".join(
            many(count, word)
            for count, word in ((self.objects, "object"), (self.commits, "commit"), (self.runs, "run"))
        )
        return f"{found}; {len(self.damaged):,} damaged"


@dataclass(frozen=True, slots=True, repr=False)
class Collection(Line):
    """`packs` with `bytes` of garbage are marked since then, or would be; `deleted_packs` of `freed` bytes
    had been marked long enough, and are gone. `waits_for`: what those do who began before the marking."""

    packs: int
    bytes: int
    since: str = ""
    deleted_packs: int = 0
    freed: int = 0
    waits_for: tuple[str, ...] = ()

    def _line(self) -> str:
        garbage = f"{many(self.packs, 'pack')} with {size(self.bytes)} of garbage"
        what = garbage if self.packs else "no garbage"
        marked = f"{what}, marked {self.since[:19]}Z" if self.since and self.packs else what
        gone = f"; {size(self.freed)} given back" if self.deleted_packs else ""
        waits = f"; waits for {plain(', '.join(self.waits_for))}" if self.waits_for else ""
        return f"{marked}{gone}{waits}"


@dataclass(frozen=True, slots=True)
class Need:
    """A version that needs something, or is it itself, and what keeps that version; `commit` is "" where no
    version does."""

    commit: str
    kept_by: str

    def _shown(self) -> dict[str, str]:
        return {"version": ids.short(self.commit) if self.commit else "", "kept by": plain(self.kept_by)}


class Hub(Spoken):
    """Made by `kamld.hub`."""

    def __init__(self, app: App) -> None:
        self._app = app

    @property
    def location(self) -> str:
        return self._app.settings.hub

    def dataset(self, name: str) -> Dataset:
        """As `kamld.dataset`, in this hub."""
        return Dataset(self._app, name)

    def model(self, name: str) -> Model:
        """As `kamld.model`, in this hub."""
        return Model(self._app, name)

    def ls(self) -> Listing[Named]:
        """Datasets and models that have a version. Raises NotFound (no_hub) where a hub that was named is
        not there."""
        if self._app.is_new:
            return Listing([])
        repository, found = self._app.repository, []
        for record in repository.names.all():
            ref = repository.refs.find(record, MAIN)
            if ref is None or ref.commit is None:
                continue
            commit = repository.commit(ref.commit)
            tree, name = repository.tree(commit), f"{record.project}/{record.name}"
            found.append(Named(name, record.kind, ref.commit, commit.time, tree.count, tree.size))
        return Listing(found)

    @overload
    def gc(self, *, dry_run: bool = False, older_than: timedelta = AGE) -> Collection: ...
    @overload
    def gc(self, *, why: str, older_than: timedelta = AGE) -> Listing[Need]: ...
    def gc(
        self, *, dry_run: bool = False, older_than: timedelta = AGE, why: str | None = None
    ) -> Collection | Listing[Need]:
        """Give back the room of what nothing leads to any more. It is marked first, and deleted by a call
        that comes `older_than` later: call it daily, and leave them an hour at least.

        `why`: nothing is done, but told what keeps a version ("flowers@v2"), or which versions need a file or
        folder ("flowers@v2:roses/1.png") or a pack; nothing where it is garbage.

        Raises Conflict (collecting, older_hub), SystemFault; then nothing was deleted. With `why` NotFound.
        """
        if why is not None:
            if dry_run:
                raise UsageError("usage", "`why` does nothing, so there is no dry run of it.")
            return Listing(Need(one.commit, one.about) for one in why_kept(self._app, why, older_than).by)
        days, drafts = self._app.settings.keep_days, unfinished(self._app)
        if dry_run:
            found = look(self._app.repository, days, older_than, drafts)
            return Collection(len(found.sparse), found.bytes)
        if older_than < SHORTEST:
            raise Invalid("bad_age", f"{older_than} is too short.", "Give those who work an hour to end.")
        done = collect(self._app.repository, days, older_than, drafts)
        return Collection(
            done.condemned, done.condemned_bytes, done.since, done.deleted, done.freed, done.waits_for
        )  # fmt: skip

    def du(self) -> Usage:
        """What takes the space: all commits and lists of files are read, no file. Raises SystemFault."""
        found = measure(self._app.repository)
        return Usage(Listing(map(used_of, found.datasets)), found.shared, found.other, found.total)

    def rebuild(self) -> Rebuilt:
        """Make the index and the catalog anew from what is kept; nothing that you made is changed.
        Raises SystemFault."""
        objects, damaged = self._app.repository.rebuild_index()
        with open_catalog(self._app) as catalog:
            made = catalog.rebuild()
        return Rebuilt(objects, made.commits, made.runs, (*damaged, *made.damaged))

    def fsck(self, *names: str, quick: bool = False) -> Soundness:
        """Whether every byte is what was put there; with names, of what these datasets and models need.
        `quick` does not read the content of files. Changes nothing. Raises NotFound (unknown_name, no_hub).
        """
        return health.fsck(self._app, names, quick=quick)

    def repair(self, *places: Where) -> Soundness:
        """Put right what can be put right, with what the hub has itself and with what these folders and
        hubs have. Raises NotFound (no_such_folder), SystemFault; then call it again."""
        return health.repair(self._app, places)

    def doctor(self, *, upgrade: bool = False) -> Listing[Examined]:
        """How the installation and the hub are, and what is to be done. `upgrade`: first make a hub of an
        older format one of the newest, which older programs then refuse; only that raises NotFound (no_hub),
        SystemFault."""
        if upgrade:
            raise_format(self._app.repository.blobs)
        return health.doctor(self._app)

    def purges(self) -> Listing[Hole]:
        """What was purged, oldest first. Raises SystemFault."""
        return health.purges(self._app)

    def finish_purges(self) -> Finished:
        """End purges that were begun and stopped; what that removed. Raises as `Dataset.purge`."""
        return health.finish_purges(self._app)

    def __repr__(self) -> str:
        return f"<hub {plain(self.location)}>"

    def _repr_html_(self) -> str:
        return html({"hub": plain(self.location)})


def hub(folder: Where | None = None, *, project: str | None = None) -> Hub:
    """A handle on the hub of the settings, or on the one in this folder."""
    return Hub(connect(folder, project))
