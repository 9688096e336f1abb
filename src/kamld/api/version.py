"""One version of a dataset or model: its facts, its files, and what it is read with for training."""

import builtins
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from kamld import ids
from kamld.api.connect import connect
from kamld.api.mounted import Mounted, mounted
from kamld.api.shown import Line, Listing, html, many, plain, size
from kamld.api.spoken import Spoken
from kamld.api.versions.differences import Change, Look
from kamld.api.versions.training import FileStream, tensorflow_dataset, torch_dataset
from kamld.api.versions.values import Checkout, Listed
from kamld.app import App
from kamld.errors import Invalid, NotFound
from kamld.reading import File, Files, Reader, Table, files_of, table_of
from kamld.reading.about import about
from kamld.reading.choose import chosen, no_such, one_file, pattern_of
from kamld.reading.files import KINDS, file_of
from kamld.reading.folders import Folders
from kamld.reading.history import steps
from kamld.records.kinds import FOLDER
from kamld.records.names import Reference, parse_revision
from kamld.store import Repository, Tree
from kamld.store.refs.revisions import Resolved
from kamld.store.trees import diff, present
from kamld.workspace import check_out

if TYPE_CHECKING:
    import tensorflow as tf
    import torch


@dataclass(frozen=True, slots=True, repr=False)
class About(Line):
    """What is known about a path. `kind`: file, executable, link, folder or pattern; `id` and, of a
    table, `columns` (name: type) are of single files. `changed` is the newest version that changed it."""

    path: str
    kind: str
    files: int
    size: int
    id: str | None
    columns: dict[str, str]
    changed: "Version | None"

    def _line(self) -> str:
        count = f"{many(self.files, 'file')}, " if self.kind in ("folder", "pattern") else ""
        typed = ", ".join(f"{plain(name)} {sort}" for name, sort in self.columns.items())
        columns = f"; columns: {typed}" if typed else ""
        changed = f"; changed by {self.changed._where}: {self.changed._subject}" if self.changed else ""
        return f"{plain(self.path)}, {self.kind}: {count}{size(self.size)}{columns}{changed}"


def checked(limit: int | None) -> int | None:
    """Raises Invalid (bad_limit)."""
    if limit is not None and limit < 1:
        raise Invalid("bad_limit", f"limit={limit} shows nothing.", "Give 1 or more; None shows all.")
    return limit


class Version(Spoken):
    """An immutable version. Two handles are equal where they mean the same commit of the same hub."""

    def __init__(self, app: App, resolved: Resolved, repository: Repository | None = None) -> None:
        """`repository`: the hub that it is in, if not the one of the settings."""
        self._app = app
        self._resolved = resolved
        self._repository = repository or app.repository

    def __reduce__(self) -> Any:  # for workers of a pool and the like, which open the hub again
        return _reopened, (self._repository.blobs.location, self.name, self.id, self._resolved.branch)

    # What it is

    @property
    def id(self) -> str:
        return self._resolved.commit_id

    @property
    def name(self) -> str:
        """Of its dataset, with the project."""
        return f"{self._resolved.dataset.project}/{self._resolved.dataset.name}"

    @property
    def kind(self) -> str:
        """dataset or model."""
        return self._resolved.dataset.kind

    @property
    def number(self) -> int | None:
        """The N of a model's vN."""
        return self._repository.refs.version_of(self._resolved.dataset, self.id)

    @property
    def time(self) -> str:
        """When it was committed: RFC 3339, UTC."""
        return self._resolved.commit.time

    @property
    def author(self) -> str:
        return self._resolved.commit.author

    @property
    def message(self) -> str:
        return self._resolved.commit.message

    @property
    def metadata(self) -> dict[str, Any]:
        return dict(self._resolved.commit.metadata)

    @property
    def run(self) -> str | None:
        """Id of the run that made it."""
        return self._resolved.commit.run

    @property
    def parents(self) -> "Listing[Version]":
        return Listing(self._other(parent) for parent in self._resolved.commit.parents)

    @property
    def names(self) -> list[str]:
        """Branches, tags and aliases that name it now."""
        refs = self._repository.live_refs(self._resolved.dataset)
        return [ref.name for ref in refs if ref.commit == self.id]

    @property
    def count(self) -> int:
        """Files and empty folders in it."""
        return self._tree.count

    @property
    def bytes(self) -> int:
        return self._tree.size

    @property
    def url(self) -> str:
        """Its address for pandas, Polars, PyArrow, DuckDB and whatever else knows fsspec."""
        return f"kamld://{self.name}@{self.id}"

    # Its files

    def files(self, pattern: str | None = None) -> Files:
        """All files, or those of a pattern such as `roses/*.png`, `**/*.csv`, or of a folder, of which there
        must be one at least. Raises NotFound (unknown_path, no_match)."""
        return files_of(self._repository.objects, self._tree, pattern, self._where)

    def ls(self, path: str = "", *, after: str = "", limit: int | None = None) -> Listing[Listed]:
        """What is directly in a folder, or the files of a pattern, at most `limit`, behind the one named
        `after`: a page costs the same however many there are. Raises NotFound (unknown_path, no_match)."""
        where, behind = os.fsencode(path.strip("/")), os.fsencode(after)
        some_of = checked(limit)
        if glob := pattern_of(self._folders, path):
            rows = self._folders.matching(glob, behind)
        elif (found := self._folders.find(where)) and found.kind == FOLDER:
            rows = self._folders.children(where, behind)
        else:
            rows = iter([found] if found else [])
        some = list(islice(rows, some_of))
        if not some and not after and (glob or self._folders.find(where) is None):
            raise self._no_path(path)
        return Listing(
            Listed(os.fsdecode(r.path), KINDS.get(r.kind, "unknown"), None if r.kind == FOLDER else r.size)
            for r in some
        )

    def show(self, path: str) -> About:
        """What is known about a file, a folder or a pattern. Raises NotFound (unknown_path, no_match)."""
        found = about(self._repository, self._folders, self.id, path, self._where)
        changed = self._other(found.last.commit_id) if found.last else None
        return About(
            found.path, found.kind, found.files, found.size, found.id or None, dict(found.columns), changed
        )

    def file(self, path: str) -> File:
        """Raises NotFound (unknown_path), Invalid (not_a_file)."""
        found = self._folders.find(os.fsencode(path))
        if found is None:
            raise self._no_path(path)
        if found.kind == FOLDER:
            found = one_file(self._folders, path, self._where)  # which says so
        return file_of(self._repository.objects, found)

    def read(self, path: str) -> builtins.bytes:
        """The content of one file. Raises as `file`, and SystemFault."""
        return self.file(path).read()

    def cat(self, path: str) -> builtins.bytes:
        """The content of a file, or of the only one that a pattern matches. Raises NotFound (unknown_path,
        no_match), Invalid (which_file, not_a_file), SystemFault."""
        found = one_file(self._folders, path, self._where)
        return file_of(self._repository.objects, found).read()

    def open(self, path: str) -> BinaryIO:
        """One file, to read from and seek in. Raises as `file`, and SystemFault."""
        return self.file(path).open()

    def checkout(self, folder: str | os.PathLike[str] | None = None, *, path: str = "") -> Checkout:
        """Its files, or those of `path` (a file, a folder or a pattern), in a new folder (default: the
        name here).

        A branch that was asked for by its name makes a folder to work in. Raises NotFound
        (unknown_path, no_match), Conflict (target_exists), SystemFault.
        """
        entries = chosen(self._folders, path, self._where)
        target = Path(self._app.folder, folder or self._resolved.dataset.name)
        bound = check_out(self._repository, self._resolved, entries, target, threads=self._app.threads)
        there = present(self._repository.objects, entries)[0]  # what was purged was left out
        return Checkout(target, bound, len(there), int(there.sizes.sum()))

    def mount(self, folder: str | os.PathLike[str] | None = None, *, write: bool = False) -> Mounted:
        """Its files as a folder (default: the name here) of which nothing is copied; use it with `with`.

        With `write`, of a branch that was asked for by its name, it can be changed; `commit` of its dataset
        makes versions of that. Raises Conflict (target_exists, already_mounted, uncommitted_layer), Invalid
        (not_a_branch), SystemFault (mount_unavailable, mount_failed).
        """
        target = Path(self._app.folder, folder or self._resolved.dataset.name)
        return mounted(self._app, self._resolved, target, write=write)

    def diff(
        self, other: "Version | str | None" = None, *, paths: str | Sequence[str] = (),
        key: str | Sequence[str] = (), inside: bool = False, rows: int = 5,
    ) -> Listing[Change]:  # fmt: skip
        """What changed from `other` (default: the first parent) to this version.

        `paths`: only these files, folders or patterns. `inside`: look into changed files, and tell what
        differs by their kind; of tables at most `rows` of each sort, told apart by the columns of `key`,
        with which they are looked into anyway. Raises as `Dataset.at`.
        """
        if other is None:
            parents = self._resolved.commit.parents
            before = self._repository.kept_tree(self._repository.commit(parents[0])) if parents else None
        else:
            before = (self._at(other) if isinstance(other, str) else other)._tree
        return Look(paths, key, inside, rows).at(self._repository, diff(before, self._tree))

    # Reading it

    def table(self, path: str | None = None, columns: str | Sequence[str] | None = None) -> Table:
        """A CSV, TSV, JSON Lines, Parquet or Arrow file, or several of one format by a pattern, to be had
        as `.pandas()`, `.polars()`, `.arrow()` or in `.batches()`. `columns`: only these.

        Raises NotFound (no_table, unknown_path, no_match), Invalid (which_table, unknown_column, bad_table).
        """
        return table_of(self.files(path), path, columns)

    def iter(
        self, pattern: str | None = None, *, shuffle: int | None = None, shard: tuple[int, int] = (0, 1),
        resume: Mapping[str, Any] | None = None, epoch: int = 0, epochs: int | None = 1,
    ) -> Reader:  # fmt: skip
        """Every file's path and content, read ahead from the hub in bounded memory.

        `shuffle` is a seed; each epoch has an order of its own. `shard=(i, n)` is the i-th of n equal
        parts. `resume` goes on where `state()` of an earlier reader was. `epochs=None` never ends.

        Raises NotFound (unknown_path, no_match), Invalid (bad_shard, bad_state, other_examples, other_order).
        """
        return Reader(
            self.files(pattern), shuffle=shuffle, shard=shard, resume=resume, epoch=epoch, epochs=epochs
        )

    def torch(
        self, pattern: str | None = None, *, shuffle: int | None = None,
        shard: tuple[int, int] | None = None, transform: Callable[[str, builtins.bytes], Any] | None = None,
    ) -> "torch.utils.data.IterableDataset[Any]":  # fmt: skip
        """A torch IterableDataset of (path, content), or of what `transform` makes of each.

        Workers of a DataLoader share it out among themselves, and so do the processes of
        torch.distributed unless `shard` says otherwise. Give `set_epoch(n)` before each epoch.
        Raises Invalid (not_installed), NotFound (unknown_path, no_match).
        """
        self.files(pattern)  # so that a pattern that nothing has is told now, and not in some worker
        return torch_dataset(self._stream(pattern, shuffle), shard, transform)

    def tf(
        self, pattern: str | None = None, *, shuffle: int | None = None, shard: tuple[int, int] = (0, 1),
    ) -> "tf.data.Dataset":  # fmt: skip
        """A tf.data.Dataset of (path, content), both tf.string, that knows how many there are. Each time it
        is iterated is an epoch. Raises Invalid (not_installed, bad_shard), NotFound (unknown_path, no_match).
        """
        return tensorflow_dataset(self._stream(pattern, shuffle), shard)

    # How it shows itself

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Version) and self._which() == other._which()

    def __hash__(self) -> int:
        return hash(self._which())

    def _shown(self) -> dict[str, str]:
        return {
            "version": ids.short(self.id), "names": ", ".join(self.names), "time": self.time[:19] + "Z",
            "author": plain(self.author), "message": self._subject,
        }  # fmt: skip

    def __repr__(self) -> str:
        return f"<{self._where}: {self._subject} ({', '.join(self._totals())})>"

    def _repr_html_(self) -> str:
        facts = {"name": self.name} | self._shown()
        return html(facts | {"files": ", ".join(self._totals())})

    # Ways

    def _which(self) -> tuple[str, str]:
        return self.id, self._resolved.dataset.id  # which keeps its id under another name

    def _own_names(self) -> frozenset[str]:
        record = self._resolved.dataset
        return frozenset((self.name, record.said, record.name))

    @property
    def _subject(self) -> str:
        return plain(self.message.splitlines()[0]) if self.message else ""

    def _totals(self) -> tuple[str, ...]:
        tree = self._repository.kept_tree(self._resolved.commit)
        return (many(tree.count, "file"), size(tree.size)) if tree else ("expired",)

    @property
    def _where(self) -> str:
        """As a person names it."""
        return f"{self.name}@{ids.short(self.id)}"

    @cached_property
    def _tree(self) -> Tree:
        return self._repository.tree(self._resolved.commit)

    @cached_property
    def _folders(self) -> Folders:
        return Folders(self._repository.objects, self._tree)

    def _stream(self, pattern: str | None, shuffle: int | None) -> FileStream:
        return FileStream(
            self._repository.blobs.location, self._resolved.commit.tree, self._where, pattern, shuffle
        )

    def _at(self, revision: str) -> "Version":
        reference = Reference(self._app.name(self.name), parse_revision(revision))
        return Version(self._app, self._repository.resolve(reference), self._repository)

    def _history(self, path: str) -> "Iterator[Version]":
        found = self._repository.log(self.id)
        if path.strip("/"):
            raw, glob = os.fsencode(path.strip("/")), pattern_of(self._folders, path)
            changed = steps(self._repository, self.id, raw, glob)
            found = ((step.commit_id, step.commit) for step in changed if step.changes)
        record = self._resolved.dataset
        hub = self._repository
        return (Version(self._app, Resolved(record, i, commit, None), hub) for i, commit in found)

    def _other(self, commit_id: str) -> "Version":
        resolved = Resolved(self._resolved.dataset, commit_id, self._repository.commit(commit_id), None)
        return Version(self._app, resolved, self._repository)

    def _no_path(self, path: str) -> NotFound:
        return no_such(self._folders, path, self._where)


def _reopened(hub: str, name: str, commit_id: str, branch: str | None) -> Version:
    app = connect(hub, None)
    found = app.repository.resolve(Reference(app.name(name), parse_revision(commit_id)))
    return Version(app, replace(found, branch=branch))
