"""A plain model of what kamld is to do: dicts of files, versions with parents, names with their pasts.

It is slow, keeps all in memory, and has nothing of kamld in it.
"""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field

Files = dict[str, bytes]


@dataclass(frozen=True)
class Version:
    files: Files
    parents: tuple[str, ...]
    message: str


@dataclass
class Named:
    """A branch, tag or alias: the versions that it named, one after the other; None: it was away."""

    kind: str
    past: list[str | None] = field(default_factory=list)
    carried: set[str] = field(default_factory=set)  # folders' versions of which only the changes landed
    merged: bool = False  # a branch for a commit that was kept apart, and that a merge of it made go

    @property
    def now(self) -> str | None:
        return self.past[-1] if self.past else None

    def move(self, to: str | None) -> None:
        self.past.append(to)
        self.merged = False

    def undo(self) -> str | None:
        self.past.append(self.past[-2] if len(self.past) > 1 else None)
        return self.now


@dataclass
class Dataset:
    name: str
    refs: dict[str, Named] = field(default_factory=dict)
    removed: bool = False

    def live(self, *kinds: str) -> list[str]:
        return sorted(name for name, ref in self.refs.items() if ref.now and (not kinds or ref.kind in kinds))

    def head(self, ref: str) -> str:
        found = self.refs[ref].now
        assert found
        return found

    def put(self, name: str, kind: str, to: str) -> None:
        ref = self.refs.setdefault(name, Named(kind))
        ref.kind = kind
        ref.move(to)


@dataclass
class Folder:
    """A working folder. `branch` None: it is at a version, and on no branch."""

    dataset: Dataset
    branch: str | None
    base: str
    files: Files
    mounted: bool = False


@dataclass
class Model:
    versions: dict[str, Version] = field(default_factory=dict)
    datasets: list[Dataset] = field(default_factory=list)
    folders: dict[str, Folder] = field(default_factory=dict)
    read_only: dict[str, str] = field(default_factory=dict)  # mounts, and what version each is
    waiting: dict[tuple[str, str], str] = field(default_factory=dict)  # (dataset, branch): theirs
    amended: set[str] = field(default_factory=set)  # versions that others took the place of
    imported: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))  # by where from

    def live(self) -> list[Dataset]:
        return [dataset for dataset in self.datasets if not dataset.removed]

    def named(self, name: str) -> Dataset:
        return next(dataset for dataset in self.live() if dataset.name == name)

    def add(self, identifier: str, files: Files, parents: Iterable[str], message: str) -> None:
        self.versions[identifier] = Version(dict(files), tuple(parents), message)

    def past(self, identifier: str) -> set[str]:
        """It, and all that it came from."""
        found, waiting = set(), [identifier]
        while waiting:
            one = waiting.pop()
            if one not in found:
                found.add(one)
                waiting += self.versions[one].parents
        return found

    def was_on(self, ref: Named, identifier: str) -> bool:
        """Whether a version was ever part of a ref, or its changes were."""
        return identifier in ref.carried or any(one and identifier in self.past(one) for one in ref.past)

    def newest(self, identifier: str, among: set[str]) -> str | None:
        """Of these, what was made last of all that this one came from."""
        past = self.past(identifier) & among
        return max(past, key=list(self.versions).index, default=None)

    def bases(self, one: str, two: str) -> set[str]:
        """What both came from, without what such a version itself came from."""
        common = self.past(one) & self.past(two)
        return {a for a in common if not any(a != b and a in self.past(b) for b in common)}

    def joined(self, ours: str, theirs: str) -> tuple[Files, list[str]] | None:
        """(files, paths in conflict), by paths; None where several versions are the common one."""
        bases = self.bases(ours, theirs)
        if len(bases) > 1:
            return None
        base = self.versions[bases.pop()].files if bases else {}
        return three_way(base, self.versions[ours].files, self.versions[theirs].files)


def three_way(base: Files, ours: Files, theirs: Files) -> tuple[Files, list[str]]:
    result, conflicts = {}, []
    for path in sorted({*base, *ours, *theirs}):
        was, mine, other = base.get(path), ours.get(path), theirs.get(path)
        if mine == other or other == was:
            value = mine
        elif mine == was:
            value = other
        else:
            conflicts.append(path)
            continue
        if value is not None:
            result[path] = value
    return result, conflicts


def changes(old: Files, new: Files) -> dict[str, str]:
    """Path: added, removed or changed."""
    found = {}
    for path in {*old, *new}:
        if path not in old:
            found[path] = "added"
        elif path not in new:
            found[path] = "removed"
        elif old[path] != new[path]:
            found[path] = "changed"
    return found
