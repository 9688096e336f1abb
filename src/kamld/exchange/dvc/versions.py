"""Making the versions of a history, one after the other; what two of them share is looked at once."""

import os
import posixpath
from dataclasses import dataclass, field
from typing import Any

from kamld import clock
from kamld.exchange.dvc.outputs import Content, Output
from kamld.exchange.dvc.planning import Plan, Step
from kamld.exchange.dvc.project import Project
from kamld.exchange.items import check_paths, refused
from kamld.exchange.notes import Notes
from kamld.records.history import Commit
from kamld.records.history import Imported as Origin
from kamld.records.kinds import EXECUTABLE, FILE
from kamld.store import Progress, Repository, Writer
from kamld.store.commits import write_commit
from kamld.store.trees import write_tree
from kamld.store.trees.entries import Entry, entries_of

_FLUSH = 256 * 1024 * 1024  # bytes after which what came is made durable and noted
_RECORDED = 1000  # files left out that a version's record names
_NOTED = b"content"  # what notes of contents are filed under: not by path
Tracked = tuple[str, bool, int]  # MD5, whether that is exact, kind of file


@dataclass(slots=True)
class Versions:
    """Those that one import has made so far."""

    project: Project
    source: str
    repository: Repository
    writer: Writer
    notes: Notes
    gone: set[Content]
    made: dict[str, str]  # by Git commit
    progress: Progress | None
    commits: dict[str, Commit] = field(default_factory=dict)
    read: int = 0
    known: dict[str, tuple[bytes, int]] = field(default_factory=dict)  # id and size by MD5
    unflushed: int = 0
    stands: dict[str, str | None] = field(default_factory=dict)  # for steps that changed no file
    last: dict[bytes, Tracked] = field(default_factory=dict)  # what the last step tracked
    entries: dict[bytes, Entry] = field(default_factory=dict)  # of it

    def __post_init__(self) -> None:
        noted = {stamp: held for (_, stamp), held in self.notes.read().items()}
        usable = self.writer.has([identifier for identifier, _ in noted.values()])
        self.known = {md5: held for (md5, held), has in zip(noted.items(), usable, strict=True) if has}

    def add(self, step: Step) -> None:
        above = dict.fromkeys(self.made.get(one) or self.stands.get(one) for one in step.parents)
        parents = tuple(parent for parent in above if parent)
        rows, left_out = self._rows(step)
        tree = write_tree(self.writer, entries_of(rows)).hex()
        before = [self._commit(parent) for parent in parents]
        metadata: dict[str, Any] = {"dvc": {"left_out": left_out[:_RECORDED]}} if left_out else {}
        same = len(before) == 1 and (before[0].tree, before[0].metadata) == (tree, metadata)
        if same or not (rows or before):
            self.stands[step.revision.id] = parents[0] if parents else None
            return
        latest = max((commit.time for commit in before), default="")
        commit = Commit(
            tree=tree, time=max(step.revision.time, clock.just_after(latest)), author=step.revision.author,
            message=step.revision.message, parents=parents, metadata=metadata,
            imported=Origin(
                source=self.source, kind="dvc", time=clock.now(), revision=step.revision.id
            ),
        )  # fmt: skip
        identifier = write_commit(self.writer, commit)
        self.made[step.revision.id] = identifier
        self.commits[identifier] = commit

    def stands_for(self, planned: Plan, git_commit: str) -> str | None:
        """The version that has what this commit tracks. None: it is before there was anything."""
        stands = planned.same.get(git_commit, git_commit)
        return self.made.get(stands) or self.stands.get(stands) if stands else None

    def _commit(self, identifier: str) -> Commit:
        return self.commits.get(identifier) or self.repository.commit(identifier)

    def _rows(self, step: Step) -> tuple[list[Entry], list[str]]:
        """The files of one version, sorted by path, and those that are left out."""
        tracked, left_out = self._tracked(step.outputs)
        fresh = {path: one for path, one in tracked.items() if self.last.get(path) != one}
        if not fresh.keys() <= self.last.keys():
            check_paths(self.source, tracked)
        wanted = {md5: exact for md5, exact, _ in fresh.values() if md5 not in self.known}
        streams = (
            (md5, self.project.cache.pieces(Content(md5, False, exact))) for md5, exact in wanted.items()
        )
        for md5, identifier, size in self.writer.put_streams(streams, self.progress):
            self.known[md5] = identifier, size
            self.notes.add(_NOTED, md5, identifier, size)
            self.read, self.unflushed = self.read + size, self.unflushed + size
        if self.unflushed >= _FLUSH:
            self.writer.flush()
            self.notes.write()
            self.unflushed = 0
        entries = {path: entry for path, entry in self.entries.items() if path in tracked}
        for path, (md5, _, kind) in fresh.items():
            identifier, size = self.known[md5]
            entries[path] = Entry(path, kind, size, identifier)
        self.last, self.entries = tracked, entries
        return [entries[path] for path in sorted(entries)], left_out

    def _tracked(self, outs: list[Output]) -> tuple[dict[bytes, Tracked], list[str]]:
        """By path from what was asked for; and what is left out. Raises Invalid (unsafe_path)."""
        tracked: dict[bytes, Tracked] = {}
        left_out: list[str] = []
        for out in outs:
            content = out.content
            if content is None or content in self.gone:
                left_out.append(out.path)
                continue
            kind = EXECUTABLE if out.executable and not content.folder else FILE
            listed = self.project.cache.folder(content) if content.folder else [("", content.md5)]
            for below, md5 in listed:
                path = f"{out.path}/{below}" if content.folder else out.path
                inside = os.fsencode(_inside(path, self.project.inside))
                if not inside:
                    continue
                if self.gone and Content(md5, False, content.exact) in self.gone:
                    left_out.append(path)
                elif inside in tracked:
                    raise refused(self.source, inside, "is there twice")
                else:
                    tracked[inside] = md5, content.exact, kind
        return tracked, left_out


def _inside(path: str, wanted: str) -> str:
    """The path from what was asked for; "": it is not in that."""
    if not wanted:
        return path
    if path == wanted:
        return posixpath.basename(path)
    return path.removeprefix(f"{wanted}/") if path.startswith(f"{wanted}/") else ""
