"""What a dataset or model does with working folders, by the names of the command line."""

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kamld.api.connect import connect
from kamld.api.shown import Line, Listing, many, plain, size
from kamld.api.spoken import Spoken
from kamld.api.version import Version
from kamld.api.versions.differences import Change, Look, change_of, counted
from kamld.app import App
from kamld.errors import Conflict, Invalid, NotFound, UsageError
from kamld.records.history import Dataset as Record
from kamld.records.names import MAIN, Name, Reference, parse_revision
from kamld.store import Repository
from kamld.store.refs.revisions import Resolved
from kamld.workspace import Binding, Wish, commit_folder, find_binding, folder_status, settle
from kamld.workspace.committing.begin import begin
from kamld.workspace.committing.rebind import rebind
from kamld.workspace.settle import bound_dataset
from kamld.workspace.status import changes_since
from kamld.workspace.switch import restore, switch, switch_to_new

Where = str | os.PathLike[str]
_PATHS_SHOWN = 3


@dataclass(frozen=True, slots=True, repr=False)
class Committed(Line):
    """`changed` False: nothing had changed, and `version` is what was there before. `amended`: `version`
    took that one's place.

    `landed`: None where nothing had changed; else moved (onto the branch), merged (with what others committed
    meanwhile), carried (only what was changed, since what the folder came from was taken back or replaced;
    `version` is the folder's), or kept (apart, as `branch`, because others had changed the same files:
    `conflicts`).
    """

    version: Version
    changed: bool
    created: bool
    branch: str
    landed: str | None
    changes: Sequence[Change]
    conflicts: tuple[str, ...]
    bytes_added: int
    amended: bool = False

    def _line(self) -> str:
        label = self.version._where
        if self.landed is None:
            on = "" if self.branch == MAIN else f" on {plain(self.branch)}"
            return f"{label}{on}: nothing had changed, so there is no new version"
        where = f"{label} on {plain(self.branch)}"
        if self.landed == "kept":
            some = plain(", ".join(self.conflicts[:_PATHS_SHOWN]))
            more = ", …" if len(self.conflicts) > _PATHS_SHOWN else ""
            return f"{where}, kept apart, for others had changed the same: {some}{more}"
        how = {"merged": ", beside what others had committed", "carried": ", only what was changed here"}
        told = "amended, " if self.amended else ""
        what = f"{told}{counted(self.changes)}, {size(self.bytes_added)} new"
        return f"{where}: {what}{how.get(self.landed, '')}"


@dataclass(frozen=True, slots=True, repr=False)
class Switched(Line):
    """`branch` None: the folder is on no branch. `changes`: what was done to its files. `own_changes`: how
    many of your own are still there."""

    version: Version
    branch: str | None
    changes: Sequence[Change]
    own_changes: int

    def _line(self) -> str:
        where = f"on {plain(self.branch)}" if self.branch else "on no branch"
        own = f"; {many(self.own_changes, 'change')} of your own still there" if self.own_changes else ""
        return f"{self.version._where}, {where}: {counted(self.changes)}{own}"


class Folders(Spoken):
    """Of one dataset or model, in whatever folders it is worked on."""

    kind = "dataset"

    def __init__(self, app: App, name: str) -> None:
        self._app = app
        try:
            self._name = app.name(name)
        except Invalid as error:
            word, at, revision = name.partition("@")
            if at and ":" not in name:
                error.hint = f"A version of it: kamld.{self.kind}({json.dumps(word)})[{json.dumps(revision)}]"
            raise

    def __reduce__(self) -> Any:  # for workers of a pool and the like, which open the hub again
        hub = self._app.settings.hub if self._app.hub_named else None
        return _reopened, (type(self), hub, str(self._name))

    def init(self, folder: Where, *, bind: str | None = None) -> Version:
        """Begin it with a folder, which may be empty or not there yet; its first version has no files.

        A folder that is its own already stays as it is. `bind`: make a folder that lost its record of what it
        comes from one of this branch or version again; no file is touched. Raises Conflict (name_taken,
        bound_elsewhere, inside_another, other_kind), SystemFault; with `bind` also as `at`.
        """
        app, target = self._app, Path(self._app.folder, folder).resolve()
        if bind is not None:
            self._check(app.repository.names.get(self._name))
            found = app.repository.resolve(Reference(self._name, parse_revision(bind)))
            done = rebind(app.repository, self._folder(folder), found, app.hub_of)
            return self._version(done.dataset, app.repository, done.binding.commit)
        binding = settle(target, app.of_binding)
        repository = app.of_binding(target, binding) if binding else app.new_repository
        author = app.author
        begun = begin(repository, target, app.of_binding, name=self._name, kind=self.kind, author=author)
        return self._version(begun.dataset, repository, begun.commit)

    def commit(
        self, folder: Where, message: str | None = None, *,
        branch: str | None = None, amend: bool = False, keep_last: int | None = None,
    ) -> Committed:  # fmt: skip
        """Keep what is in the folder as a new version; the first one makes the dataset.

        `branch`: begin this one with it. `amend`: in place of the newest, whose message it keeps unless there
        is another. `keep_last`: a checkpoint, whose files may go once so many newer ones follow.

        Raises NotFound (no_such_folder), Conflict (name_taken, bound_elsewhere, other_kind, no_branch,
        protected_branch, not_newest …), Invalid (empty_folder, special_file), SystemFault.
        """
        if message is not None and not message.strip():
            raise UsageError("usage", "The message is empty: say what changed, in your words.")
        if message is None and not amend:
            raise UsageError(
                "usage", "A commit needs a message: say what changed, in your words.",
                f'.commit({json.dumps(os.fspath(folder))}, "…")',
            )  # fmt: skip
        if branch is not None and amend:
            raise UsageError("usage", "What is amended stays on its branch: leave out branch, or amend.")
        app, target = self._app, self._folder(folder)
        binding = settle(target, app.of_binding)
        repository = app.of_binding(target, binding) if binding else app.new_repository
        there = repository.names.find(self._name)
        if there is not None and repository.is_made(there):
            self._check(there)
        done = commit_folder(
            repository, target, message, name=self._name, kind=self.kind, author=app.author,
            wish=Wish(branch, amend, keep_last),
        )  # fmt: skip
        committed = done.committed
        commit_id = committed.commit_id if committed else done.base or ""
        landed = committed.landed if committed else None
        return Committed(
            version=self._version(done.dataset, repository, commit_id), changed=committed is not None,
            created=done.created, branch=done.branch, landed=landed.how if landed else None,
            changes=Listing(map(change_of, done.changes)),
            conflicts=tuple(os.fsdecode(path) for path in landed.conflicts) if landed else (),
            bytes_added=done.bytes_added, amended=done.amended,
        )  # fmt: skip

    def status(self, folder: Where, *, full: bool = False) -> Listing[Change]:
        """What changed in a folder since the version it comes from. `full`: read every file, whatever its
        times say. Raises NotFound (not_bound), Conflict (bound_elsewhere), SystemFault."""
        repository, top, binding, _ = self._own(folder)
        return Listing(map(change_of, folder_status(top, binding, repository, full=full).changes))

    def switch(self, folder: Where, revision: str = MAIN, *, create: bool = False) -> Switched:
        """Make the folder another version, where it is: only what differs is written.

        A branch is gone on with; at any other revision the folder is on no branch. `create`: make the branch
        `revision` here first. Raises Conflict (in_the_way: nothing was changed; folder_busy), NotFound
        (not_bound, unknown_revision), and with `create` as `branch`.
        """
        repository, top, _, record = self._own(folder)
        if create:
            done = switch_to_new(repository, top, revision, author=self._app.author)
        else:
            name = Name(record.project, record.name)
            done = switch(repository, top, repository.resolve(Reference(name, parse_revision(revision))))
        return Switched(
            self._version(record, repository, done.binding.commit), done.binding.branch or None,
            Listing(map(change_of, done.changes)), done.kept,
        )  # fmt: skip

    def restore(self, folder: Where, *paths: str, revision: str | None = None) -> Listing[Change]:
        """Have files or folders (by default all) back as they are in the version that the folder comes from,
        or another `revision`; what was done to them. New files stay.

        Raises NotFound (unknown_path, not_bound, unknown_revision), Conflict (folder_busy), SystemFault.
        """
        repository, top, binding, record = self._own(folder)
        commit_id = binding.commit
        if revision is not None:
            name = Name(record.project, record.name)
            commit_id = repository.resolve(Reference(name, parse_revision(revision))).commit_id
        wanted = [os.fsencode(path.strip("/")) for path in paths or [""]]
        return Listing(map(change_of, restore(repository, top, wanted, commit_id)))

    # Ways

    def _own_names(self) -> frozenset[str]:
        return frozenset((str(self._name), self._name.said, self._name.name))

    def _check(self, record: Record) -> Record:
        if record.kind != self.kind:
            raise Conflict(
                "other_kind", f"{self._name} is a {record.kind}.", f'kamld.{record.kind}("{self._name}")'
            )
        return record

    def _own(self, folder: Where) -> tuple[Repository, Path, Binding, Record]:
        """A folder of this very dataset. Raises NotFound (not_bound), Conflict (bound_elsewhere)."""
        top, binding = find_binding(self._folder(folder), self._app.of_binding)
        repository = self._app.of_binding(top, binding)
        record = bound_dataset(repository, top, binding)
        present = Name(record.project, record.name)
        if present != self._name:
            raise Conflict(
                "bound_elsewhere", f"{top} is a folder of {present}.",
                f'Its own handle does that: kamld.{record.kind}("{present}")',
            )  # fmt: skip
        return repository, top, binding, record

    def _beside(self, folder: Where, revision: str | None, look: Look) -> Listing[Change]:
        """What differs in a folder from a version, or from the one that it comes from."""
        repository, top, binding, record = self._own(folder)
        if revision is None:
            return look.at(repository, folder_status(top, binding, repository).changes, top)
        reference = Reference(Name(record.project, record.name), parse_revision(revision))
        tree = repository.tree(repository.resolve(reference).commit)
        return look.at(repository, changes_since(top, binding, repository, tree), top)

    def _version(self, record: Record, repository: Repository, commit_id: str) -> Version:
        return Version(self._app, Resolved(record, commit_id, repository.commit(commit_id), None), repository)

    def _folder(self, given: Where) -> Path:
        folder = Path(self._app.folder, given).resolve()
        if not folder.is_dir():
            raise NotFound("no_such_folder", f"There is no folder {given}.", "Name a folder that is there.")
        return folder


def _reopened(sort: type[Folders], hub: str | None, name: str) -> Folders:
    return sort(connect(hub, None), name)
