"""Where a dataset comes from and what is made of it: imports, splits, exports, another name or none."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from kamld import ids
from kamld.api.folders import Folders, Where
from kamld.api.shown import Line, Listing, many, plain, size
from kamld.api.version import Version
from kamld.api.versions.differences import Change, change_of, counted
from kamld.app import App
from kamld.blobs.foreign import is_bucket
from kamld.changes.protecting import check_removable
from kamld.errors import UsageError
from kamld.exchange import (
    export,
    export_file,
    export_to_bucket,
    fetch_left,
    file_target,
    import_from,
    recognise,
)
from kamld.reading.choose import chosen
from kamld.reading.folders import Folders as Paths
from kamld.records.history import SplitPart
from kamld.records.names import MAIN, Reference, parse_name, parse_revision
from kamld.splits import Asked, settle, split
from kamld.splits.rule import parse_parts
from kamld.store import Entries
from kamld.store.refs.revisions import Resolved


@dataclass(frozen=True, slots=True, repr=False)
class Imported(Line):
    """`changed` False: nothing had changed there, and `version` is the newest that came from it. `landed` as
    in `Committed`. `versions`: how many are new, where a history came. `remarks`: what did not come."""

    version: Version
    changed: bool
    created: bool
    source: str
    kind: str  # folder, file, archive, bucket, address, mlflow, huggingface, dvc, croissant
    branch: str
    landed: str | None
    changes: Sequence[Change]
    bytes_read: int
    bytes_added: int
    versions: int
    tags: tuple[str, ...]
    remarks: tuple[str, ...]

    def _line(self) -> str:
        label, source = self.version._where, plain(self.source)
        if self.landed is None:
            return f"{label}: nothing had changed in {source}, so there is no new version"
        came = f"{many(self.versions, 'version')}, " if self.versions > 1 else ""
        apart = ", kept apart" if self.landed == "kept" else ""
        left = f"; {many(len(self.remarks), 'remark')}" if self.remarks else ""
        what = f"{came}{counted(self.changes)}, {size(self.bytes_added)} new"
        return f"{label} on {plain(self.branch)}{apart}, from {source}: {what}{left}"


@dataclass(frozen=True, slots=True, repr=False)
class Exported(Line):
    """`kind`: folder, tar, tar.gz, tar.zst, zip or bucket. Of a bucket: `put` of the files differed, and
    `left_there` are files of earlier exports that this version does not have."""

    target: str
    kind: str
    files: int
    bytes: int
    put: int = 0
    left_there: tuple[str, ...] = ()

    def _line(self) -> str:
        put = f", {self.put:,} of them put" if self.kind == "bucket" else ""
        left = f"; {many(len(self.left_there), 'file')} of earlier exports left there" * bool(self.left_there)
        return f"{plain(self.target)}, {self.kind}: {many(self.files, 'file')}{put}, {size(self.bytes)}{left}"


@dataclass(frozen=True, slots=True)
class Part:
    """`examples`: files, or rows, that were chosen. `changed` False: it was so already."""

    part: str  # "" for a view
    version: Version
    examples: int
    changed: bool

    def _shown(self) -> dict[str, str]:
        name, of = self.version.name, ids.short(self.version.id)
        return {"name": plain(name), "version": of, "examples": many(self.examples, "example")}


@dataclass(frozen=True, slots=True)
class Split:
    """The parts by name, the largest first; `split["train"]` is one's version. `shared`: files that are whole
    in every part. `leaked`: how many examples have a content that is on both sides."""

    parts: Listing[Part]
    shared: tuple[str, ...]
    leaked: int
    leaked_groups: tuple[str, ...]
    bytes_added: int
    _versions: Mapping[str, Version] = field(repr=False)

    def __getitem__(self, part: str) -> Version:
        return self._versions[part]

    def __repr__(self) -> str:
        return repr(self.parts)

    def _repr_html_(self) -> str:
        return self.parts._repr_html_()


class Derived(Folders):
    """Of one dataset or model."""

    def import_(
        self, source: Where, message: str = "", *, into: str | None = None, kind: str = "", sha256: str = "",
        reference: bool = False, leave_out_missing: bool = False,
    ) -> Imported:  # fmt: skip
        """Bring files from elsewhere as a new version; no folder is made. The same again: what changed.

        `source`: a folder, archive, file, web address, bucket, DVC repository (with its history) or Croissant
        description; `kind` takes it for one of these. `into`: a branch, main unless said. `reference`: the
        files stay where they are. `leave_out_missing`: what a DVC cache lacks.

        Raises NotFound (no_such_source), Conflict (name_taken), Invalid (unsafe_path, damaged_archive,
        other_checksum, missing_content …), SystemFault; then nothing has landed.
        """
        app = self._app
        repository, aside = app.new_repository, app.local / "imports"
        found = recognise(
            os.fspath(source),
            repository.objects.foreign,
            app.folder,
            as_kind=kind,
            sha256=sha256,
            aside=aside,
        )
        done = import_from(
            repository, found, self._name, local=aside, author=app.author, message=message,
            model=self.kind == "model", branch=into or "", reference=reference, leave_out=leave_out_missing,
        )  # fmt: skip
        landed = done.committed.landed if done.committed else None
        commit_id = done.committed.commit_id if done.committed else done.base or ""
        return Imported(
            version=self._version(done.dataset, repository, commit_id), changed=landed is not None,
            created=done.created, source=done.source.source, kind=done.source.kind,
            branch=landed.branch if landed else done.branch or into or MAIN,
            landed=landed.how if landed else None,
            changes=Listing(map(change_of, done.changes)), bytes_read=done.bytes_read,
            bytes_added=done.bytes_added, versions=done.versions if landed or done.tags else 0,
            tags=done.tags, remarks=done.remarks,
        )  # fmt: skip

    def fetch(self, revision: str = MAIN) -> int:
        """Copy files that were left elsewhere into the hub, each verified; how many. Raises SystemFault
        (left_file_gone, left_file_changed)."""
        repository = self._app.repository
        return fetch_left(repository, repository.tree(self._at(revision).commit).entries())[0]

    def export(
        self, target: Where | BinaryIO, *, revision: str = MAIN, path: str = "",
        overwrite: bool = False, delete: bool = False, dry_run: bool = False,
    ) -> Exported:  # fmt: skip
        """Write a version, or what is at a path or pattern of it, for those who have no kamld.

        `target`: a new folder (of one file: that file, or a folder for it), a new .tar, .tar.gz, .tar.zst or
        .zip file, a binary file (which gets a tar), or s3://BUCKET/PREFIX, where only what differs is put;
        the options are for that: `overwrite` what others put there, `delete` what earlier exports put and
        this version lacks, `dry_run`.

        Raises NotFound (unknown_path …), Conflict (target_exists), Invalid (name_not_kept), SystemFault.
        """
        app, resolved = self._app, self._at(revision)
        repository = app.repository
        folders = Paths(repository.objects, repository.tree(resolved.commit))
        entries = chosen(folders, path.strip("/"), f"{self._name}@{revision}")
        if isinstance(target, str) and is_bucket(target):
            return _to_bucket(app, target, resolved, entries, overwrite, delete, dry_run)
        if overwrite or delete or dry_run:
            raise UsageError("usage", "overwrite, delete and dry_run are for buckets.")
        if isinstance(target, str | os.PathLike):
            file = file_target(entries, path.strip("/"), os.fspath(target), app.folder)
            if file:
                done = export_file(repository.objects, entries.row(0), file)
                return Exported(str(file), done.kind, done.files, done.bytes)
        place = Path(app.folder, target) if isinstance(target, str | os.PathLike) else target
        done = export(repository.objects, resolved.commit, entries, place, threads=app.threads)
        return Exported(str(place), done.kind, done.files, done.bytes)

    def split(
        self, test: float | None = None, *, parts: Mapping[str, float] | None = None, seed: int | None = None,
        stratify: str | None = None, group: str | None = None, where: str | None = None,
        table: str | None = None, rows: str | None = None, file_column: str | None = None, prefix: str = "",
        as_: str = "", revision: str = MAIN,
    ) -> Split:  # fmt: skip
        """Make parts of it, such as train and test, datasets of their own, without copying a file.

        With nothing said, the rule by which the parts were made is repeated. `stratify`: "folder", or
        "labels.csv:diagnosis", whose shares are kept; `group`: "labels.csv:patient", whose files stay
        together; `where`: SQL over files, or over a `table`; `rows`: of this table; `as_`: one dataset of all
        for which `where` holds.

        Raises Conflict (name_taken, other_rule, part_changed, several_splits), Invalid (bad_share, bad_sql,
        bad_column …), UsageError.
        """
        asked = Asked(
            test, _parts(parts), prefix, as_, seed, stratify, group, where, table, rows, file_column
        )
        repository, source = self._app.repository, self._at(revision)
        what = settle(repository, source.dataset, asked)
        done = split(repository, source, what.rule, names=what.names, author=self._app.author)
        made = [
            Part(one.part, self._version(one.dataset, repository, one.commit_id), one.examples,
                 one.committed is not None) for one in done.parts
        ]  # fmt: skip
        return Split(
            Listing(made), tuple(map(os.fsdecode, done.shared)), done.leaked, done.leaked_groups,
            done.bytes_added, {one.part: one.version for one in made},
        )  # fmt: skip

    def mv(self, new_name: str) -> None:
        """Rename it, or move it to another project: "project/name". This handle goes with it; folders that
        were checked out follow by themselves. Raises Conflict (name_taken), Invalid (bad_name)."""
        new = parse_name(new_name, self._name.project)
        self._check(self._app.repository.names.get(self._name))
        if new != self._name:
            self._app.repository.names.rename(self._name, new, author=self._app.author)
            self._name = new

    def rm(self) -> None:
        """Remove it with all its versions; `undo` brings it back. Raises NotFound (unknown_name), Conflict
        (protected_branch)."""
        names = self._app.repository.names
        record = self._check(names.get(self._name))
        check_removable(self._app.repository, record)
        names.remove(record, author=self._app.author)

    def _at(self, revision: str) -> Resolved:
        repository = self._app.repository
        self._check(repository.names.get(self._name))
        return repository.resolve(Reference(self._name, parse_revision(revision)))


def _parts(asked: Mapping[str, float] | None) -> tuple[SplitPart, ...]:
    return parse_parts(",".join(f"{name}={share!r}" for name, share in asked.items())) if asked else ()


def _to_bucket(
    app: App, target: str, resolved: Resolved, entries: Entries, overwrite: bool, delete: bool, dry_run: bool
) -> Exported:
    objects = app.repository.objects
    what = {"name": f"{resolved.dataset.project}/{resolved.dataset.name}", "commit": resolved.commit_id}
    done = export_to_bucket(
        objects, objects.foreign, target, entries, what, overwrite=overwrite, delete=delete, dry_run=dry_run
    )
    left = () if delete else tuple(done.gone)
    count = len(entries) - done.empty_folders
    return Exported(target, "bucket", count, int(entries.sizes.sum()), len(done.put), left)
