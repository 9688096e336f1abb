"""What `kamld fsck`, `doctor` and `purge` find and do, as plain typed values."""

from dataclasses import dataclass

from kamld.api.shown import Listing, html, plain, size


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
    of their paths."""

    dataset: str  # with the project
    version: str  # main~2
    commit: str
    files: int | None
    total: int | None
    paths: tuple[str, ...]

    def _shown(self) -> dict[str, str]:
        count = "all" if self.files is None else f"{self.files:,} of {self.total:,}"
        return {"dataset": self.dataset, "version": self.version, "lost": count}


@dataclass(frozen=True, slots=True)
class Soundness:
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

    def _repr_html_(self) -> str:
        facts = {"sound": "yes" if self.sound else "no", "objects": f"{self.objects:,}"}
        return html(facts | {"bytes": size(self.bytes), "versions": f"{self.versions:,}"})


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
        return {"dataset": self.dataset, "path": self.path, "versions": f"{len(self.versions):,}"}


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


@dataclass(frozen=True, slots=True)
class Purge:
    """What a purge removed, or would remove (`done` False). `shared`: parts of it that other files have
    too, and that stay. `in_use`: copies on this machine that could not be removed; `Hub.finish_purges` does
    it later. `mounts`: folders at which a version is shown that had it, and shows it for some seconds."""

    done: bool
    contents: int
    bytes: int
    shared: int
    places: Listing[PurgedFrom]
    runs: tuple[str, ...]
    endpoints: tuple[str, ...]
    in_use: tuple[str, ...]
    mounts: tuple[str, ...]
