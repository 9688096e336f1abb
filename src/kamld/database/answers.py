"""What these databases are told and answer, as plain data. Does not import SQLAlchemy."""

import msgspec

from kamld.records.history import Commit, Dataset, Kind
from kamld.records.names import Name
from kamld.records.run import Parameter


class Known(msgspec.Struct, frozen=True, kw_only=True):
    """How far the catalog has come: what to compare with the store."""

    datasets: dict[str, Dataset]  # by id
    refs: dict[tuple[str, str], tuple[int, str]]  # (dataset id, name): seq, write_id of last move
    runs: frozenset[str]
    endpoints: dict[Name, int]  # seq of the last event


class Reached(msgspec.Struct, frozen=True, kw_only=True):
    """A commit, with the totals of its tree."""

    id: str
    commit: Commit
    entries: int
    bytes: int


class DatasetSummary(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A line of `kamld ls`. Of `main`; of the branch moved last where there is no `main`."""

    id: str
    project: str
    name: str
    kind: Kind
    created: str
    commits: int  # all that were ever on one of its refs
    versions: int  # a model's numbers; 0 for a dataset
    ref: str | None = None  # None and so on: it has no commit yet
    commit: str | None = None
    time: str | None = None
    author: str | None = None
    message: str | None = None
    entries: int = 0  # files, links and empty folders
    bytes: int = 0


class LiveRun(msgspec.Struct, frozen=True, kw_only=True):
    """A run that has begun and is not sealed. Whether it still runs is not known here."""

    id: str
    project: str
    name: str
    pid: int
    process_started: str  # tells the process from a later one with the same pid; opaque here
    host: str
    started: str
    folder: str  # where the run keeps what it has so far
    command: tuple[str, ...]
    params: dict[str, Parameter] = {}
