"""Datasets and models as handles: the verbs of the command line, by the same names.

A handle is a name; nothing is looked up before a method is called, so there may be one for what the
first `commit` is still to make.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from kamld import ids
from kamld.api.connect import connect
from kamld.api.shown import Listing, html, plain, size
from kamld.api.version import Change, Checkout, Listed, Version, change_of
from kamld.app import App
from kamld.errors import Conflict, KamldError, NotFound
from kamld.records.history import Dataset as Record
from kamld.records.names import MAIN, Reference, parse_revision
from kamld.store.refs.revisions import Resolved
from kamld.workspace import commit_folder, find_binding, folder_status, settle

Where = str | os.PathLike[str]


@dataclass(frozen=True, slots=True)
class Committed:
    """`changed` False: nothing had changed, and `version` is what was there before.

    `landed`: moved (onto the branch), merged (with what others committed meanwhile), or kept (apart,
    as `branch`, because others had changed the same files: `conflicts`).
    """

    version: Version
    changed: bool
    created: bool
    branch: str
    landed: str
    changes: Sequence[Change]
    conflicts: tuple[str, ...]
    bytes_added: int


@dataclass(frozen=True, slots=True)
class Name:
    """A branch, tag or alias. A model's version numbers are among its tags."""

    name: str
    kind: str
    commit: str

    def _shown(self) -> dict[str, str]:
        return {"name": self.name, "kind": self.kind, "version": ids.short(self.commit)}


class Dataset:
    """A dataset; `Model` is one whose kind says so. Made by `kamld.dataset` and `kamld.model`."""

    kind = "dataset"

    def __init__(self, app: App, name: str) -> None:
        self._app = app
        self._name = app.name(name)

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

    def log(self, revision: str = MAIN, count: int | None = None) -> Listing[Version]:
        """This version and those before it, newest first, at most `count`. Raises as `at`."""
        record, start = self._record(), self._resolve(revision)
        history = islice(self._app.repository.log(start.commit_id), count)
        return Listing(Version(self._app, Resolved(record, i, commit, None)) for i, commit in history)

    def diff(self, old: str, new: str = MAIN) -> Listing[Change]:
        """What changed from one version to another, by path. Raises as `at`."""
        return self.at(new).diff(self.at(old))

    def ls(self, path: str = "", revision: str = MAIN) -> Listing[Listed]:
        """What is directly in a folder. Raises NotFound (unknown_path), and as `at`."""
        return self.at(revision).ls(path)

    def checkout(self, folder: Where | None = None, revision: str = MAIN, path: str = "") -> Checkout:
        """The files of a version in a new folder. Raises as `Version.checkout` and `at`."""
        return self.at(revision).checkout(folder, path)

    # Folders

    def commit(self, folder: Where, message: str) -> Committed:
        """Keep what is in the folder as a new version; the first one makes the dataset.

        Raises NotFound (no_such_folder), Conflict (name_taken, bound_elsewhere, other_kind …),
        Invalid (empty_folder, special_file), SystemFault.
        """
        app, target = self._app, self._folder(folder)
        binding = settle(target, app.of_binding)
        repository = app.of_binding(target, binding) if binding else app.new_repository
        there = repository.names.find(self._name)
        if there is not None and repository.is_made(there):
            self._check(there)
        done = commit_folder(repository, target, message, name=self._name, kind=self.kind, author=app.author)
        committed = done.committed
        commit_id = committed.commit_id if committed else done.base or ""
        version = Version(app, Resolved(done.dataset, commit_id, repository.commit(commit_id), None))
        landed = committed.landed if committed else None
        return Committed(
            version=version, changed=committed is not None, created=done.created,
            branch=landed.branch if landed else binding.branch if binding else MAIN,
            landed=landed.how if landed else "moved", changes=Listing(map(change_of, done.changes)),
            conflicts=tuple(os.fsdecode(path) for path in landed.conflicts) if landed else (),
            bytes_added=done.bytes_added,
        )  # fmt: skip

    def status(self, folder: Where) -> Listing[Change]:
        """What changed in a folder since the version it comes from. Raises NotFound (not_bound),
        Conflict (bound_elsewhere), SystemFault."""
        top, binding = find_binding(self._folder(folder), self._app.of_binding)
        if binding.full_name != self._name:
            raise Conflict("bound_elsewhere", f"{top} is a folder of {binding.full_name}.")
        status = folder_status(top, binding, self._app.of_binding(top, binding))
        return Listing(map(change_of, status.changes))

    # Names

    def branch(self, name: str, at: str = MAIN) -> Version:
        """Make a branch at a version, and give that. Raises Conflict (name_taken), Invalid (bad_name)."""
        return self._set("branch", name, at)

    def tag(self, name: str, at: str = MAIN) -> Version:
        """Give a version a name that stays. Raises as `branch`."""
        return self._set("tag", name, at)

    def alias(self, name: str, at: str = MAIN) -> Version:
        """Give a version a name that may move. Raises as `branch`."""
        return self._set("alias", name, at)

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

    def _check(self, record: Record) -> Record:
        if record.kind != self.kind:
            raise Conflict(
                "other_kind", f"{self.name} is a {record.kind}.", f'kamld.{record.kind}("{self.name}")'
            )
        return record

    def _resolve(self, revision: str) -> Resolved:
        return self._app.repository.resolve(Reference(self._name, parse_revision(revision)))

    def _set(self, kind: str, name: str, at: str) -> Version:
        version = self.at(at)
        self._app.repository.set_ref(self._record(), name, kind, version.id, author=self._app.author)
        return version

    def _folder(self, given: Where) -> Path:
        folder = Path(self._app.folder, given).resolve()
        if not folder.is_dir():
            raise NotFound("no_such_folder", f"There is no folder {given}.", "Name a folder that is there.")
        return folder


class Model(Dataset):
    """A model: every version on its main has a number, `v1`, `v2` …"""

    kind = "model"


def dataset(name: str, *, hub: Where | None = None, project: str | None = None) -> Dataset:
    """A handle on a dataset, there already or not: `kamld.dataset("vision/flowers")`.

    Hub and project are the settings' unless given. Raises Invalid (bad_name).
    """
    return Dataset(connect(hub, project), name)


def model(name: str, *, hub: Where | None = None, project: str | None = None) -> Model:
    """The same for a model."""
    return Model(connect(hub, project), name)
