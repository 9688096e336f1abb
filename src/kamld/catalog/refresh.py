"""Bringing the catalog up to date with the store: only what is new is derived.

What is in the store stays as it was written, so listings tell what is new: refs by the number of
their last move, endpoints by that of their last event, runs by their ids. Where the store has lost
or replaced something (a hub restored from a copy), everything is derived anew.

A run or event whose record is damaged is left out, said so, and tried again by the next refresh.
"""

from collections.abc import Callable, Iterable, Iterator
from collections.abc import Set as AbstractSet
from itertools import islice
from typing import TypeVar

import msgspec

from kamld.database.answers import Known, Reached
from kamld.database.catalog import CatalogDatabase, Filling
from kamld.errors import NotFound, SystemFault
from kamld.records.deployment import DeploymentEvent
from kamld.records.history import Commit, Dataset, Move, Ref
from kamld.records.names import Name
from kamld.records.run import Run
from kamld.store import Repository

_AT_ONCE = 500  # commits and runs that are in memory at a time

Answer = TypeVar("Answer")
Progress = Callable[[int], None]  # commits, runs and events derived since the last call


class Refreshed(msgspec.Struct, frozen=True, kw_only=True):
    """What one refresh has derived."""

    moves: int = 0
    commits: int = 0
    runs: int = 0
    events: int = 0
    anew: bool = False  # everything, because the store had lost or replaced something
    damaged: tuple[str, ...] = ()  # what was left out because it cannot be read, a sentence each


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """What the store has, as far as listings tell."""

    datasets: dict[str, Dataset]
    refs: dict[str, list[Ref]]  # by dataset id; also those that were removed
    runs: list[str]
    endpoints: dict[Name, int]


def refresh(repository: Repository, database: CatalogDatabase, progress: Progress | None = None) -> Refreshed:
    """Any number of processes may do this at once; each sees all or nothing of another's.

    Raises SystemFault.
    """
    if is_current(database.known(), listing(repository)):
        return Refreshed()
    with database.writing() as filling:
        known, found = filling.known(), listing(repository)  # anew: others wait from here on
        anew = has_diverged(known, found)
        if anew:
            filling.clear()
            known = filling.known()
        done = _Derivation(repository, filling, progress or (lambda _: None)).all(known, found)
        return msgspec.structs.replace(done, anew=anew)


def listing(repository: Repository) -> Found:
    datasets = repository.names.all()
    return Found(
        datasets={dataset.id: dataset for dataset in datasets},
        refs={dataset.id: repository.refs.ever(dataset) for dataset in datasets},
        runs=repository.sealed.run_ids(),
        endpoints=repository.sealed.last_events(),
    )


def is_current(known: Known, found: Found) -> bool:
    marks = {
        (of, ref.name): (ref.last.seq, ref.last.write_id) for of, refs in found.refs.items() for ref in refs
    }
    return (
        known.datasets == found.datasets
        and known.refs == marks
        and known.endpoints == found.endpoints
        and known.runs == frozenset(found.runs)
    )


def has_diverged(known: Known, found: Found) -> bool:
    """Whether the catalog knows something that the store does not, or has otherwise."""
    refs = {(of, ref.name): ref for of, mine in found.refs.items() for ref in mine}
    return (
        any(found.datasets.get(key) != dataset for key, dataset in known.datasets.items())
        or any(key not in refs or _is_replaced(refs[key], *mark) for key, mark in known.refs.items())
        or any(found.endpoints.get(name, 0) < seq for name, seq in known.endpoints.items())
        or not known.runs.issubset(found.runs)
    )


def _is_replaced(ref: Ref | None, seq: int, write_id: str) -> bool:
    """Whether the ref's move `seq` is another one. Moves that were sealed are taken as the same."""
    if ref is None:
        return True
    same = next((move for move in ref.moves if move.seq == seq), None)
    return ref.last.seq < seq or (same is not None and same.write_id != write_id)


class _Derivation:
    def __init__(self, repository: Repository, filling: Filling, progress: Progress) -> None:
        self._repository = repository
        self._filling = filling
        self._progress = progress
        self._damaged: list[str] = []

    def all(self, known: Known, found: Found) -> Refreshed:
        new = [dataset for key, dataset in found.datasets.items() if key not in known.datasets]
        self._filling.add_datasets(new)
        moves = commits = 0
        for dataset in found.datasets.values():
            newer = [(ref, self._newer_moves(dataset, ref, known)) for ref in found.refs[dataset.id]]
            moved = [(ref, made) for ref, made in newer if made]
            self._filling.add_moves(dataset.id, moved)
            made = [move for _, some in moved for move in some]
            moves += len(made)
            named = {ref.commit for ref in found.refs[dataset.id]}
            commits += self._add_commits(dataset, made, named) if made else 0
        runs = sum(self._add_run(run_id) for run_id in found.runs if run_id not in known.runs)
        events = sum(
            self._add_events(name, known.endpoints.get(name, 0), seq) for name, seq in found.endpoints.items()
        )
        damaged = tuple(self._damaged)
        return Refreshed(moves=moves, commits=commits, runs=runs, events=events, damaged=damaged)

    def _newer_moves(self, dataset: Dataset, ref: Ref, known: Known) -> list[Move]:
        seq, _ = known.refs.get((dataset.id, ref.name), (0, ""))
        if seq == ref.last.seq:
            return []
        newer: list[Move] = []
        for move in self._repository.refs.history(dataset, ref.name):
            if move.seq <= seq:
                break
            if move.seq <= ref.last.seq:  # later ones are the next refresh's
                newer.append(move)
        return newer

    def _add_commits(self, dataset: Dataset, moves: Iterable[Move], named: AbstractSet[str | None]) -> int:
        """`named`: commits that refs name now, which must be there; others may have been collected."""
        ever = {move.commit: None for move in moves if move.commit}  # in the order of the moves
        heads = [commit for commit in ever if commit in named or self._is_kept(commit)]
        reached = self._newly_reached(heads, self._filling.commits_of(dataset.id))
        added = 0
        while some := dict(islice(reached, _AT_ONCE)):
            new = self._filling.unknown_commits(list(some))
            totals = [self._with_totals(commit_id, some[commit_id]) for commit_id in new]
            self._filling.add_commits(dataset.id, list(some), totals)
            self._progress(len(new))
            added += len(new)
        return added

    def _is_kept(self, commit_id: str) -> bool:
        return self._repository.objects.has(bytes.fromhex(commit_id))

    def _newly_reached(self, heads: list[str], known: set[str]) -> Iterator[tuple[str, Commit]]:
        waiting = list(heads)
        while waiting:
            commit_id = waiting.pop()
            if commit_id not in known:
                known.add(commit_id)
                commit = self._repository.commit(commit_id)
                yield commit_id, commit
                waiting.extend(commit.parents)

    def _with_totals(self, commit_id: str, commit: Commit) -> Reached:
        tree = self._repository.kept_tree(commit)  # None: a checkpoint's, which expired
        entries, size = (tree.count, tree.size) if tree else (0, 0)
        return Reached(id=commit_id, commit=commit, entries=entries, bytes=size)

    def _add_run(self, run_id: str) -> int:
        run = self._readable(lambda: self._run(run_id))
        if run is None:
            return 0
        self._filling.add_run(run)
        self._progress(1)
        return 1

    def _add_events(self, endpoint: Name, known: int, last: int) -> int:
        """All or none of an endpoint's new events, so that its last one tells how far we are."""
        if known == last:
            return 0
        events = self._readable(lambda: self._events(endpoint, known)) or []
        mine = [event for event in events if event.seq <= last]
        for event in mine:
            self._filling.add_event(event)
        self._progress(len(mine))
        return len(mine)

    def _run(self, run_id: str) -> Run:
        run = self._repository.sealed.run(run_id)
        if run.id != run_id:
            raise SystemFault("damaged_record", f"The record of run {run_id} is that of run {run.id}.")
        return run

    def _events(self, endpoint: Name, known: int) -> list[DeploymentEvent]:
        events = self._repository.sealed.history(endpoint, after=known)
        for event in events:
            if Name(event.project, event.endpoint) != endpoint:
                said = f"Event {event.key} of {endpoint} is one of {event.project}/{event.endpoint}."
                raise SystemFault("damaged_record", said)
        return events

    def _readable(self, read: Callable[[], Answer]) -> Answer | None:
        """What was read; None where one record is lost or damaged, which is no reason to answer nothing."""
        try:
            return read()
        except NotFound as error:
            self._damaged.append(error.message)
        except SystemFault as error:
            if error.code != "damaged_record":
                raise
            self._damaged.append(error.message)
        return None
