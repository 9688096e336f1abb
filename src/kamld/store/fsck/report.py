"""What a check found, as plain data."""

from dataclasses import dataclass, field

import msgspec

SHOWN = 10  # paths of a version, and versions of a dataset, that are named; the rest is counted


class Finding(msgspec.Struct, frozen=True, order=True):
    """One thing that is not as it should be; `code` is stable."""

    code: str
    key: str  # what it is about: a key in the hub, a dataset, a run
    what: str


class Step(msgspec.Struct, frozen=True):
    """One thing that was put right: what it is about, and what was done."""

    key: str
    what: str


class Affected(msgspec.Struct, frozen=True, kw_only=True):
    """A version with files that cannot be had. `files` None: not even which ones is known. `unlisted`: of
    these, those whose list is lost; None: the whole of it is."""

    dataset: str  # project/name
    version: str  # main~2
    commit: str
    files: int | None
    total: int | None
    paths: tuple[bytes, ...] = ()
    unlisted: int | None = 0
    removed: bool = False  # the dataset was, and its name may be another's


@dataclass(slots=True)
class Report:
    findings: list[Finding] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)  # odd, but no damage
    affected: list[Affected] = field(default_factory=list)  # at most `SHOWN` of each dataset
    versions_affected: int = 0
    packs: int = 0
    objects: int = 0
    bytes: int = 0
    versions: int = 0  # that something leads to
    left: int = 0  # files that were left where they are
    left_lost: int = 0  # of them, those that are not what they were, or not to be had
    purged: int = 0  # contents of files that were purged, which is no damage
    mend: bool = False  # an index made anew is all it takes

    @property
    def sound(self) -> bool:
        return not self.findings
