"""What `kamld fsck`, `doctor` and `purge` find and do, as plain typed values."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from kamld.api.shown import Line, Listing, many, plain, size


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing in the hub that is not as it should be; `code` is stable."""

    code: str
    key: str
    what: str

    def _shown(self) -> dict[str, str]:
        return {"where": self.key, "what": self.what}


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that a repair put right."""

    key: str
    what: str

    def _shown(self) -> dict[str, str]:
        return {"where": self.key, "what": self.what}


@dataclass(frozen=True, slots=True)
class Lost:
    """A version with files that cannot be had: how many of how many (None: nobody knows), and the first
    of their paths. `removed`: of a dataset that was removed; its name may be another's now."""

    dataset: str  # with the project
    version: str  # main~2
    commit: str
    files: int | None
    total: int | None
    paths: tuple[str, ...]
    removed: bool = False

    def _shown(self) -> dict[str, str]:
        count = "all files" if self.files is None else f"{self.files:,} of {self.total:,} files"
        return {"dataset": self.dataset + " (removed)" * self.removed, "version": self.version, "lost": count}


@dataclass(frozen=True, slots=True, repr=False)
class Soundness(Line):
    """What a check found; of a repair what is so afterwards, and its `steps`."""

    sound: bool
    findings: Listing[Finding]
    lost: Listing[Lost]
    steps: Listing[Step]
    notes: tuple[str, ...]  # odd, and no damage
    objects: int
    bytes: int
    versions: int
    left: int  # files that were left elsewhere, and looked at there
    left_lost: int  # of these, not there as they were
    purged: int  # contents that were purged, which is no damage

    def _line(self) -> str:
        state = "sound" if self.sound else "not sound"
        notes = f"; {many(len(self.notes), 'note')}" if self.notes else ""
        seen = f"{many(self.versions, 'version')}, {many(self.objects, 'object')}, {size(self.bytes)}"
        return f"{state}: {seen}{notes}"

    def _below(self) -> Sequence[Listing[Any]]:
        return (self.steps, self.findings, self.lost)


@dataclass(frozen=True, slots=True)
class Examined:
    """One thing that `doctor` looked at. `state` is ok, note or todo; `todo` says what to do."""

    name: str
    state: str
    what: str
    todo: str

    def _shown(self) -> dict[str, str]:
        return {"": self.state, "name": self.name, "what": self.what, "to do": self.todo}


@dataclass(frozen=True, slots=True)
class PurgedFrom:
    """Where purged content was: a path of a dataset, in these versions."""

    dataset: str  # with the project
    path: str
    versions: tuple[str, ...]

    def _shown(self) -> dict[str, str]:
        return {"dataset": self.dataset, "path": self.path, "versions": many(len(self.versions), "version")}


@dataclass(frozen=True, slots=True)
class Hole:
    """Content that was purged: who did it, when and why, and which files it was (at most 100 of them, as
    project/name:path). `done` False: a purge that was stopped, which `Hub.finish_purges` ends."""

    id: str
    size: int
    time: str
    author: str
    reason: str
    files: tuple[str, ...]
    done: bool

    def _shown(self) -> dict[str, str]:
        what = plain(self.files[0]) if self.files else self.id[:12]
        return {
            "time": self.time[:10],
            "author": plain(self.author),
            "file": what,
            "reason": plain(self.reason),
        }


@dataclass(frozen=True, slots=True, repr=False)
class Purge(Line):
    """What a purge removed, or would remove (`done` False). `shared`: parts of it that other files have
    too, and that stay. `in_use`: copies on this machine that could not be removed; `Hub.finish_purges` does
    it later. `mounts`: folders at which a version is shown that had it, and shows it for some seconds.
    `written`: copies of one's own that were written to a mount, and stay in it. `elsewhere`: where an import
    left it, and where it stays."""

    done: bool
    contents: int
    bytes: int
    shared: int
    places: Listing[PurgedFrom]
    runs: tuple[str, ...]
    endpoints: tuple[str, ...]
    in_use: tuple[str, ...]
    mounts: tuple[str, ...]
    written: tuple[str, ...] = ()
    elsewhere: tuple[str, ...] = ()

    def _line(self) -> str:
        did = "removed" if self.done else "would be removed"
        stays = f"; {size(self.shared)} of it stays, which other files have too" if self.shared else ""
        return f"{many(self.contents, 'content')}, {size(self.bytes)}, {did}{stays}{_left(self)}"

    def _below(self) -> Sequence[Listing[PurgedFrom]]:
        return (self.places,)


@dataclass(frozen=True, slots=True, repr=False)
class Finished(Line):
    """What the end of stopped purges removed: `holes` are of the contents; the others as of `Purge`."""

    holes: Listing[Hole]
    bytes: int
    shared: int
    in_use: tuple[str, ...]
    mounts: tuple[str, ...]
    written: tuple[str, ...] = ()
    elsewhere: tuple[str, ...] = ()

    def _line(self) -> str:
        if not self.holes:
            return f"nothing was to be ended{_left(self)}"
        return f"{many(len(self.holes), 'content')}, {size(self.bytes)}, removed{_left(self)}"

    def _below(self) -> Sequence[Listing[Hole]]:
        return (self.holes,)


def _left(of: Purge | Finished) -> str:
    there = (*of.in_use, *of.elsewhere)
    still = f"; still there: {plain(', '.join(there))}" if there else ""
    still += f"; mounted at {plain(', '.join(of.mounts))}" if of.mounts else ""
    return still + (f"; written to a mount: {plain(', '.join(of.written))}" if of.written else "")
