"""Datasets and models as handles: the verbs of the command line, by the same names.

A handle is a name; nothing is looked up before a method is called, so there may be one for what the
first `commit` is still to make.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from kamld import ids
from kamld.api.branches import Branches
from kamld.api.connect import connect
from kamld.api.folders import Where
from kamld.api.health import verbs as health
from kamld.api.health.values import Purge
from kamld.api.mounted import Mounted
from kamld.api.shown import Line, Listing, html, many, plain, size
from kamld.api.version import Version, checked
from kamld.api.versions.differences import Change, Look
from kamld.api.versions.values import Checkout, Listed
from kamld.changes.checks import parse_rule
from kamld.changes.refs import remove_ref
from kamld.errors import Invalid, KamldError, NotFound, UsageError
from kamld.records.history import Dataset as Record
from kamld.records.history import RefKind
from kamld.records.names import MAIN, Reference, parse_revision
from kamld.store.gc import usage
from kamld.store.gc.usage import measure
from kamld.store.refs.revisions import Resolved


@dataclass(frozen=True, slots=True)
class Name:
    """A branch, tag or alias. A model's version numbers are among its tags."""

    name: str
    kind: str
    commit: str

    def _shown(self) -> dict[str, str]:
        return {"name": self.name, "kind": self.kind, "version": ids.short(self.commit)}


@dataclass(frozen=True, slots=True, repr=False)
class Used(Line):
    """What a dataset takes, in bytes: its newest version and all versions as files, what they take in the
    hub, of that what no other has too, and what the newest version does not need."""

    name: str  # with the project
    newest: int
    versions: int
    as_files: int
    stored: int
    alone: int
    history: int
    _headed: ClassVar[bool] = True

    def _shown(self) -> dict[str, str]:
        sizes = ("newest", "as_files", "stored", "alone", "history")
        shown = {word.replace("_", " "): size(getattr(self, word)) for word in sizes}
        return {"name": self.name, "versions": f"{self.versions:,}"} | shown

    def _line(self) -> str:
        kept = f"{size(self.stored)} in the hub, {size(self.alone)} of that its own"
        old = f"{size(self.history)} for what is not in the newest"
        files = f"{size(self.as_files)} as files, the newest {size(self.newest)}"
        return f"{self.name}: {many(self.versions, 'version')}, {files}; {kept}, {old}"


class Dataset(Branches):
    """A dataset; `Model` is one whose kind says so. Made by `kamld.dataset` and `kamld.model`."""

    @property
    def name(self) -> str:
        """With the project."""
        return str(self._name)

    @property
    def exists(self) -> bool:
        """Whether anything was ever committed to it."""
        try:
            return self._app.repository.is_made(self._record())
        except NotFound:
            return False

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> object:
            """Only of what is not there."""
            if not name.startswith("_") and hasattr(Version, name):
                of = f"a version has it: .at().{name}, or .at(REVISION).{name}"
                raise AttributeError(f"A {self.kind} has no {name}; {of}.", name=name, obj=self)
            raise AttributeError(f"A {self.kind} has no {name}.", name=name, obj=self)

    # Versions

    def at(self, revision: str = MAIN) -> Version:
        """A version by branch, tag, alias, commit, `v3`, `main~1` or `main@{2026-03-02T10:00}`.

        Raises NotFound (no_hub, unknown_name, unknown_revision), Invalid (ambiguous_revision).
        """
        self._record()
        return Version(self._app, self._resolve(revision))

    def __getitem__(self, revision: str) -> Version:
        return self.at(revision)

    def show(self, revision: str = MAIN) -> Version:
        """The same as `at`: a version shows itself."""
        return self.at(revision)

    def log(self, revision: str = MAIN, *, path: str = "", limit: int | None = None) -> Listing[Version]:
        """This version and those before it, newest first: all, or at most `limit`; with a `path` (a file,
        folder or pattern) only those that changed it. Raises Invalid (bad_limit), NotFound (unknown_path,
        no_match), and as `at`."""
        version = self.at(revision)
        found = Listing(islice(version._history(path), checked(limit)))
        if not found:  # for nothing that is, or ever was, has that path
            raise version._no_path(path)
        return found

    def diff(
        self, old: str | None = None, new: str | None = None, *, folder: Where | None = None,
        paths: str | Sequence[str] = (), key: str | Sequence[str] = (), inside: bool = False, rows: int = 5,
    ) -> Listing[Change]:  # fmt: skip
        """What changed, by path, from one version (default: the one before) to another (default: main's
        newest), or to what is in a `folder` (then the default is the version that it comes from).

        `paths`, `key`, `inside` and `rows` as of `Version.diff`. Raises as `at` and `status`.
        """
        if folder is None:
            newer = self.at(MAIN if new is None else new)
            older = None if old is None else self.at(old)
            return newer.diff(older, paths=paths, key=key, inside=inside, rows=rows)
        if new is not None:
            raise UsageError("usage", "The folder is the newer side: leave out `new`.")
        return self._beside(folder, old, Look(paths, key, inside, rows))

    def ls(
        self, path: str = "", revision: str = MAIN, *, after: str = "", limit: int | None = None
    ) -> Listing[Listed]:
        """What is directly in a folder, or the files of a pattern. Raises as `Version.ls` and `at`."""
        return self.at(revision).ls(path, after=after, limit=limit)

    def cat(self, path: str, revision: str = MAIN) -> bytes:
        """The content of a file of any version. Raises as `Version.cat` and `at`."""
        return self.at(revision).cat(path)

    def checkout(self, revision: str = MAIN, folder: Where | None = None, *, path: str = "") -> Checkout:
        """The files of a version in a new folder, by default one of the name here. Raises as
        `Version.checkout` and `at`."""
        return self._for_folder(revision).checkout(folder, path=path)

    def mount(self, revision: str = MAIN, folder: Where | None = None, *, write: bool = False) -> Mounted:
        """The files of a version as a folder, without a copy. Raises as `Version.mount` and `at`."""
        return self._for_folder(revision).mount(folder, write=write)

    def du(self) -> Used:
        """What its versions take in the hub. Reads as much as `Hub.du`: others may share it. Raises
        NotFound (unknown_name, unknown_revision: nothing was committed yet), SystemFault."""
        record = self.at()._resolved.dataset
        found = measure(self._app.repository).datasets
        return next(used_of(used) for used in found if used.dataset.id == record.id)

    # Names

    def branch(
        self, name: str, revision: str = MAIN, *, protect: Sequence[str] | None = None,
        checks: Sequence[str] = (), remove: bool = False,
    ) -> Version:  # fmt: skip
        """Make a branch at a version, and give that. With `protect`, which may be `()`, it is protected as
        by `protect`. `remove`: take the name away, and give the version that it named, which stays; `undo`
        brings it back. Raises Conflict (name_taken, protected_branch), Invalid (bad_name, bad_rule), NotFound
        (unknown_revision)."""
        if remove:
            if protect is not None or checks:
                raise UsageError("usage", "What is removed is not protected.")
            return self._remove("branch", name, revision)
        for rule in protect or ():
            parse_rule(rule)
        made = self._set("branch", name, revision)
        if protect is not None or checks:
            self.protect(name, require=protect or (), checks=checks)
        return made

    def tag(self, name: str, revision: str = MAIN, *, remove: bool = False) -> Version:
        """Give a version a name that stays, or take that away. Raises as `branch`."""
        return (self._remove if remove else self._set)("tag", name, revision)

    def alias(self, name: str, revision: str = MAIN, *, remove: bool = False) -> Version:
        """Give a version a name that may move, or take that away. Raises as `branch`."""
        return (self._remove if remove else self._set)("alias", name, revision)

    def purge(
        self, path: str, *, reason: str, revision: str = MAIN, every_version: bool = False,
        dry_run: bool = False,
    ) -> Purge:  # fmt: skip
        """Remove a file's content from the hub for good, whichever versions and datasets list it, or that
        of all files of a folder. `every_version`: all contents that the path ever had here. `dry_run`
        says what would go. It cannot be undone.

        Raises NotFound (unknown_path), Invalid (no_content, no_reason), Conflict (older_hub, purging,
        hub_in_use: then `Hub.finish_purges` ends it).
        """
        text = f"{self.name}@{revision}:{path}"
        return health.purge(self._app, text, reason, every_version=every_version, dry_run=dry_run)

    def names(self) -> Listing[Name]:
        """Branches, tags and aliases, and a model's version numbers."""
        record, repository = self._record(), self._app.repository
        found = [Name(ref.name, ref.kind, ref.commit or "") for ref in repository.live_refs(record)]
        numbers = sorted(repository.refs.versions(record).items())
        return Listing([*found, *(Name(f"v{number}", "tag", commit) for number, commit in numbers)])

    # How it shows itself

    def __repr__(self) -> str:
        return f"<{self.kind} {self.name}>"

    def _repr_html_(self) -> str:
        try:
            newest = self.at()
        except KamldError as error:
            return html({self.kind: self.name, "": plain(str(error))})
        facts = newest._shown() | {"files": f"{newest.count:,}", "size": size(newest.bytes)}
        return html({self.kind: self.name} | facts)

    # Ways

    def _record(self) -> Record:
        return self._check(self._app.repository.names.get(self._name))

    def _resolve(self, revision: str) -> Resolved:
        return self._app.repository.resolve(Reference(self._name, parse_revision(revision)))

    def _for_folder(self, revision: str) -> Version:
        """As `at`; a folder's name in its place is the likeliest mistake."""
        try:
            return self.at(revision)
        except (NotFound, Invalid) as error:
            if error.code in ("unknown_revision", "bad_revision"):
                error.hint = f'{error.hint} A folder is named second, or folder="{plain(revision)}".'.strip()
            raise

    def _remove(self, kind: RefKind, name: str, revision: str) -> Version:
        if revision != MAIN:
            raise UsageError("usage", f"A {kind} is removed by its name alone: leave out the revision.")
        record, repository = self._record(), self._app.repository
        commit_id = remove_ref(repository, record, kind, name, author=self._app.author)
        return self._version(record, repository, commit_id)

    def _set(self, kind: RefKind, name: str, revision: str) -> Version:
        version = self.at(revision)
        self._app.repository.set_ref(self._record(), name, kind, version.id, author=self._app.author)
        return version


class Model(Dataset):
    """A model: every version on its main has a number, `v1`, `v2` …"""

    kind = "model"


def used_of(used: usage.Used) -> Used:
    name = f"{used.dataset.project}/{used.dataset.name}"
    sizes = (used.as_files, used.stored, used.alone, used.history)
    return Used(name, used.newest, used.versions, *sizes)


def dataset(name: str, *, hub: Where | None = None, project: str | None = None) -> Dataset:
    """A handle on a dataset, there already or not: `kamld.dataset("vision/flowers")`.

    Hub and project are the settings' unless given. Raises Invalid (bad_name).
    """
    return Dataset(connect(hub, project), name)


def model(name: str, *, hub: Where | None = None, project: str | None = None) -> Model:
    """The same for a model."""
    return Model(connect(hub, project), name)


def init(
    folder: Where = ".", *, name: str | None = None, model: bool = False, hub: Where | None = None,
    project: str | None = None,
) -> Dataset:  # fmt: skip
    """Begin a dataset, or a model, with a folder, and give its handle. Its name is the folder's unless given.

    Raises as `Dataset.init`, and Invalid (bad_name).
    """
    app = connect(hub, project)
    word = name or Path(app.folder, folder).resolve().name
    handle = Model(app, word) if model else Dataset(app, word)
    handle.init(folder)
    return handle
