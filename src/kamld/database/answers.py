"""What these databases are told and answer, as plain data. Does not import SQLAlchemy."""

import msgspec

from kamld.records.history import Commit, Dataset
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
