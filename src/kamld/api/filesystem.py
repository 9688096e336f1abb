"""`kamld://project/name@revision/path` for everything that knows fsspec. It only reads.

A name without a revision is its newest version. A name without a project needs its revision, by
which it is known: `kamld://flowers@main/labels.csv`. Revisions are looked up for every call, so a
branch means what it means now; a file that is open stays the one that was opened.
"""

import io
import os
from collections import OrderedDict
from datetime import datetime
from typing import Any, BinaryIO
from urllib.parse import unquote

from fsspec.spec import AbstractFileSystem

from kamld import clock
from kamld.api.connect import connect
from kamld.app import App
from kamld.errors import Invalid, NotFound
from kamld.reading.folders import Folders
from kamld.records.kinds import FOLDER, SYMLINK
from kamld.records.names import MAIN, Reference, parse_name, parse_revision
from kamld.store import Tree
from kamld.store.refs.revisions import Resolved
from kamld.store.trees.entries import Entry

_TREES_KEPT = 16
_LINKS_MAX = 40  # as Linux has it
Info = dict[str, Any]


class KamldFileSystem(AbstractFileSystem):  # type: ignore[misc]
    """A hub as a file system: projects, in them datasets and models, in them the files of a version.

    Safe to use from several threads; sent to another process it opens the hub again there. Paths that
    are not there raise FileNotFoundError, and so do names and revisions.
    """

    protocol = "kamld"
    root_marker = ""
    cachable = False  # the settings may change between two calls, and making one costs little

    def __init__(self, hub: str | None = None, project: str | None = None, **options: Any) -> None:
        """`hub` (a folder) and `project` are the settings' unless given."""
        super().__init__(hub=hub, project=project, **options)
        self._app: App = connect(hub, project)
        self._trees: OrderedDict[str, Folders] = OrderedDict()

    def ls(self, path: str, detail: bool = True, **_options: Any) -> list[Any]:
        path = self._strip_protocol(path)
        found = self._names(path) if _is_above_names(path) else self._listed(path)
        return found if detail else [info["name"] for info in found]

    def info(self, path: str, **_options: Any) -> Info:
        path = self._strip_protocol(path)
        if _is_above_names(path):
            if path and not self._names(path):
                raise FileNotFoundError(f"kamld://{path}")
            return {"name": path, "size": 0, "type": "directory"}
        _, entry = self._entry(path)
        return _info(path, entry)

    def find(
        self, path: str, maxdepth: int | None = None, withdirs: bool = False, detail: bool = False,
        **options: Any,
    ) -> Any:  # fmt: skip
        path = self._strip_protocol(path)
        if maxdepth is not None or withdirs or _is_above_names(path):
            return super().find(path, maxdepth=maxdepth, withdirs=withdirs, detail=detail, **options)
        start, inside = _cut(path)
        resolved = self._resolved(start)
        entries = self._app.repository.tree(resolved.commit).under(os.fsencode(inside))
        names = {f"{start}/{os.fsdecode(row.path)}": row for row in entries.rows() if row.kind != FOLDER}
        return {name: _info(name, row) for name, row in names.items()} if detail else list(names)

    def modified(self, path: str) -> datetime:
        """When the version was committed."""
        start, _ = _cut(self._strip_protocol(path))
        return clock.moment(self._resolved(start).commit.time)

    created = modified

    def checksum(self, path: str) -> int:
        _, entry = self._entry(self._strip_protocol(path))
        return int.from_bytes(entry.id[:8], "big")

    def cat_file(self, path: str, start: int | None = None, end: int | None = None, **_options: Any) -> bytes:
        with self._open(self._strip_protocol(path)) as file:
            size = file.seek(0, io.SEEK_END)
            first, last, _step = slice(start, end).indices(size)
            file.seek(first)
            return file.read(max(last - first, 0))

    def _open(self, path: str, mode: str = "rb", **_options: Any) -> BinaryIO:
        if mode != "rb":
            raise PermissionError(f"kamld://{path}: versions never change; check one out and commit.")
        _, entry = self._entry(path)
        if entry.kind == FOLDER:
            raise IsADirectoryError(f"kamld://{path}")
        return io.BufferedReader(self._app.repository.objects.open(entry.id), 256 * 1024)

    def _listed(self, path: str) -> list[Info]:
        folders, entry = self._entry(path)
        if entry.kind != FOLDER:
            return [_info(path, entry)]
        start = _cut(path)[0]
        return [_info(f"{start}/{os.fsdecode(row.path)}", row) for row in folders.children(entry.path)]

    def _names(self, path: str) -> list[Info]:
        """Projects, or the names in one."""
        records = [r for r in self._app.repository.names.all() if self._app.repository.is_made(r)]
        if not path:
            names = sorted({record.project for record in records})
        else:
            names = sorted(f"{r.project}/{r.name}" for r in records if r.project == path)
        return [{"name": name, "size": 0, "type": "directory"} for name in names]

    def _entry(self, path: str) -> tuple[Folders, Entry]:
        """What is at a path; a link's target where that is in the version too."""
        start, inside = _cut(path)
        folders = self._folders(self._resolved(start).commit.tree)
        where = os.fsencode(inside)
        for _ in range(_LINKS_MAX):
            found = folders.find(where)
            if found is None or found.kind != SYMLINK:
                break
            target = self._app.repository.objects.read(found.id)
            where = os.path.normpath(os.path.join(os.path.dirname(where), target))
            where = b"" if where == b"." else where
        else:
            found = None
        if found is None:
            raise FileNotFoundError(f"kamld://{path}")
        return folders, found

    def _resolved(self, start: str) -> Resolved:
        name, _, revision = start.partition("@")
        try:
            reference = Reference(
                parse_name(name, self._app.project), parse_revision(unquote(revision) or MAIN)
            )
            return self._app.repository.resolve(reference)
        except (NotFound, Invalid) as error:
            raise FileNotFoundError(f"kamld://{start}: {error}") from None

    def _folders(self, tree: str) -> Folders:
        found = self._trees.get(tree)
        if found is None:
            repository = self._app.repository
            found = self._trees[tree] = Folders(
                repository.objects, Tree(repository.objects, bytes.fromhex(tree))
            )
            while len(self._trees) > _TREES_KEPT:
                self._trees.popitem(last=False)
        return found


def _is_above_names(path: str) -> bool:
    return "/" not in path and "@" not in path


def _cut(path: str) -> tuple[str, str]:
    """(the name with its revision, the path inside)."""
    parts = path.split("/")
    own = 1 if "@" in parts[0] else 2
    return "/".join(parts[:own]), "/".join(parts[own:])


def _info(name: str, entry: Entry) -> Info:
    if entry.kind == FOLDER:
        return {"name": name, "size": 0, "type": "directory"}
    return {"name": name, "size": entry.size, "type": "file", "id": entry.id.hex()}
