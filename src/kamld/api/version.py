"""One version of a dataset or model: its facts, its files, and what it is read with for training."""

import builtins
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from kamld import ids
from kamld.api.mounted import Mounted, mounted
from kamld.api.shown import Listing, html, plain, size
from kamld.api.versions.differences import Change, Look
from kamld.api.versions.training import FileStream, tensorflow_dataset, torch_dataset
from kamld.app import App
from kamld.errors import NotFound
from kamld.reading import File, Files, Reader, Table, files_of, table_of
from kamld.reading.about import about
from kamld.reading.choose import chosen, no_such, one_file, pattern_of
from kamld.reading.files import KINDS, file_of
from kamld.reading.folders import Folders
from kamld.reading.history import steps
from kamld.records.names import Reference, parse_revision
from kamld.store import Tree
from kamld.store.refs.revisions import Resolved
from kamld.store.trees import FOLDER, diff
from kamld.workspace import check_out

if TYPE_CHECKING:
    import tensorflow as tf
    import torch


@dataclass(frozen=True, slots=True)
class Listed:
    """A file, or a folder (which has no size), directly in the folder that was listed."""

    path: str
    kind: str  # file, executable, link, folder
    size: int | None

    def _shown(self) -> dict[str, str]:
        mark = "/" if self.kind == "folder" else ""
        return {"size": "" if self.size is None else size(self.size), "path": plain(self.path) + mark}


@dataclass(frozen=True, slots=True)
class About:
    """What is known about a path. `kind`: file, executable, link, folder or pattern; `id` and, of a
    table, `columns` (name: type) are of single files. `changed` is the newest version that changed it."""

    path: str
    kind: str
    files: int
    size: int
    id: str | None
    columns: dict[str, str]
    changed: "Version | None"


@dataclass(frozen=True, slots=True)
class Checkout:
    """`bound`: it is a folder to work in and commit from; else an export."""

    folder: Path
    bound: bool
    files: int
    bytes: int


class Version:
    """An immutable version. Two handles are equal where they mean the same commit of the same hub."""

    def __init__(self, app: App, resolved: Resolved) -> None:
        self._app = app
        self._resolved = resolved
        self._repository = app.repository

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
        if glob := pattern_of(self._folders, path):
            rows = self._folders.matching(glob, behind)
        elif (found := self._folders.find(where)) and found.kind == FOLDER:
            rows = self._folders.children(where, behind)
        else:
            rows = iter([found] if found else [])
        some = list(islice(rows, limit))
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
        """Raises NotFound (unknown_path)."""
        found = self._folders.find(os.fsencode(path))
        if found is None or found.kind == FOLDER:
            raise self._no_path(path)
        return file_of(self._repository.objects, found)

    def read(self, path: str) -> builtins.bytes:
        """The content of one file. Raises NotFound (unknown_path), SystemFault."""
        return self.file(path).read()

    def cat(self, path: str) -> builtins.bytes:
        """The content of a file, or of the only one that a pattern matches. Raises NotFound (unknown_path,
        no_match), Invalid (which_file, not_a_file), SystemFault."""
        found = one_file(self._folders, path, self._where)
        return file_of(self._repository.objects, found).read()

    def open(self, path: str) -> BinaryIO:
        """One file, to read from and seek in. Raises NotFound (unknown_path), SystemFault."""
        return self.file(path).open()

    def checkout(self, folder: str | os.PathLike[str] | None = None, path: str = "") -> Checkout:
        """Its files, or those of `path` (a file, a folder or a pattern), in a new folder (default: the
        name here).

        A branch that was asked for by its name makes a folder to work in. Raises NotFound
        (unknown_path, no_match), Conflict (target_exists), SystemFault.
        """
        entries = chosen(self._folders, path, self._where)
        target = Path(self._app.folder, folder or self._resolved.dataset.name)
        bound = check_out(self._repository, self._resolved, entries, target, threads=self._app.threads)
        return Checkout(target, bound, len(entries), int(entries.sizes.sum()))

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

    def table(self, path: str | None = None, columns: Sequence[str] | None = None) -> Table:
        """A CSV, TSV, JSON Lines, Parquet or Arrow file, or several of one format by a pattern.

        Raises NotFound (no_table, unknown_path, no_match), Invalid (which_table)."""
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
        return isinstance(other, Version) and (self.id, self.name) == (other.id, other.name)

    def __hash__(self) -> int:
        return hash((self.id, self.name))

    def _shown(self) -> dict[str, str]:
        subject = self.message.splitlines()[0] if self.message else ""
        return {
            "version": ids.short(self.id), "names": ", ".join(self.names), "time": self.time[:19] + "Z",
            "author": plain(self.author), "message": plain(subject),
        }  # fmt: skip

    def __repr__(self) -> str:
        subject = plain(self.message.splitlines()[0]) if self.message else ""
        return f"<{self.name}@{ids.short(self.id)}: {subject} ({', '.join(self._totals())})>"

    def _repr_html_(self) -> str:
        facts = {"name": self.name} | self._shown()
        return html(facts | {"files": ", ".join(self._totals())})

    # Ways

    def _totals(self) -> tuple[str, ...]:
        tree = self._repository.kept_tree(self._resolved.commit)
        return (f"{tree.count:,} files", size(tree.size)) if tree else ("expired",)

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
        return FileStream(self._app.settings.hub, self._resolved.commit.tree, self._where, pattern, shuffle)

    def _at(self, revision: str) -> "Version":
        reference = Reference(self._app.name(self.name), parse_revision(revision))
        return Version(self._app, self._repository.resolve(reference))

    def _history(self, path: str) -> "Iterator[Version]":
        found = self._repository.log(self.id)
        if path.strip("/"):
            raw, glob = os.fsencode(path.strip("/")), pattern_of(self._folders, path)
            changed = steps(self._repository, self.id, raw, glob)
            found = ((step.commit_id, step.commit) for step in changed if step.changes)
        record = self._resolved.dataset
        return (Version(self._app, Resolved(record, i, commit, None)) for i, commit in found)

    def _other(self, commit_id: str) -> "Version":
        resolved = Resolved(self._resolved.dataset, commit_id, self._repository.commit(commit_id), None)
        return Version(self._app, resolved)

    def _no_path(self, path: str) -> NotFound:
        return no_such(self._folders, path, self._where)
