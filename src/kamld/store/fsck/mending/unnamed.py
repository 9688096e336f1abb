"""Versions that nothing leads to any more get names: where refs or parts of their logs are lost, what those
named may be among them.

To whom a version belongs is said by what came before it, by runs and deployments that used it, by the only
dataset that can have lost it, or by the time at which a dataset was made; else a dataset of its own has it.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from kamld import clock
from kamld.blobs import Blobs
from kamld.errors import Conflict, SystemFault
from kamld.records.encoding import decode
from kamld.records.history import Commit, Dataset
from kamld.records.names import MAIN, Name
from kamld.store.fsck.files import Files, Lost
from kamld.store.fsck.histories import Histories, read_histories
from kamld.store.fsck.look import Look
from kamld.store.fsck.records import RECOVERED, Records
from kamld.store.fsck.report import Step
from kamld.store.refs import Refs
from kamld.store.refs.names import Names

AUTHOR = "kamld fsck --repair"
_OF_NOBODY = "recovered"  # the dataset for what belongs to none
_NEAR_S = 10.0  # between the making of a dataset and of its first version, where that has to tell
_SHOWN = 60  # letters of a message


@dataclass(frozen=True, slots=True)
class _Head:
    """A version that no other one follows, and those before it that nothing leads to either."""

    id: str
    commit: Commit
    line: dict[str, Commit]  # with itself
    before: tuple[str, ...]  # of these, what something leads to


def name_unnamed(
    blobs: Blobs, look: Look, files: Files, records: Records, losers: dict[str, Dataset], *, guess: bool
) -> Iterator[Step]:  # fmt: skip
    """`losers`: datasets that have lost something, by their ids. `guess` False: they may as well have been
    empty ever since, so what speaks for none of them is not named."""
    histories = read_histories(records, look.read)
    owners = _Owners(histories, losers, guess=guess)
    for head in _heads(look, owners.known):
        lost = files.lost_of(head.commit.tree)
        if lost and (lost.files is None or lost.files == lost.total):
            continue  # of what was collected long ago, as it seems: there is nothing of it left
        dataset = owners.of(head) or (_dataset_of_nobody(blobs, losers) if guess else None)
        if dataset is None:
            continue
        branch = _branch(Refs(blobs), dataset, head.id)
        where = f"{dataset.project}/{dataset.name}@{branch}"
        yield Step(where, f"the name for a version that nothing led to: {_told(head, lost)}")


def _heads(look: Look, known: dict[str, Dataset]) -> list[_Head]:
    """The newest first."""
    there: dict[str, Commit] = {}
    for identifier in look.commits():
        data = look.read(identifier) if identifier.hex() not in known else None
        try:
            commit = decode(data, Commit, "it") if data is not None else None
        except SystemFault:
            commit = None  # a file of somebody's that begins as one
        if commit and len(commit.tree) == 64:
            there[identifier.hex()] = commit
    followed = {parent for commit in there.values() for parent in commit.parents}
    heads = [_head(identifier, there) for identifier in there.keys() - followed]
    return sorted(heads, key=lambda head: (head.commit.time, head.id), reverse=True)


def _head(identifier: str, there: dict[str, Commit]) -> _Head:
    line: dict[str, Commit] = {}
    before: list[str] = []
    waiting = [identifier]
    while waiting:
        one = waiting.pop(0)
        if one in there and one not in line:
            line[one] = there[one]
            waiting += there[one].parents
        elif one not in there:
            before.append(one)
    return _Head(identifier, there[identifier], line, tuple(before))


class _Owners:
    """`known`: what refs and their logs lead to, and whose it is."""

    def __init__(self, histories: Histories, losers: dict[str, Dataset], *, guess: bool) -> None:
        records = histories.records
        self.known = {commit: dataset for commit, (dataset, _) in histories.words().items()}
        self._losers, self._guess = losers, guess
        gone = {one.id: one for one in records.datasets if one.id not in records.named}
        self._possible = gone | losers
        named = {(one.project, one.name): one for one in reversed(records.datasets)}  # who lives last
        used: list[tuple[str, str, str]] = []
        for run in records.runs.values():
            used += [(one.commit, one.project, one.name) for one in run.inputs]
            used += [(one.commit, one.project, one.name) for one in run.outputs]
        for event in records.events.values():
            used += [(one.commit, one.project, one.name) for one in event.versions]
        self._used = {commit: named[of] for commit, *of_ in used if (of := (of_[0], of_[1])) in named}
        self._reachable = records.named if guess else losers.keys()

    def of(self, head: _Head) -> Dataset | None:
        said = [self.known.get(commit) or self._used.get(commit) for commit in (*head.before, *head.line)]
        for owner in said:
            if owner and owner.id in self._reachable:
                return owner
        if not self._guess and any(said):
            return None
        if len(self._losers) == 1 and self._guess:
            return next(iter(self._losers.values()))
        first = min(clock.moment(commit.time) for commit in head.line.values())
        near = [
            one for one in self._possible.values()
            if one.created and abs((clock.moment(one.created) - first).total_seconds()) <= _NEAR_S
        ]  # fmt: skip
        return near[0] if len(near) == 1 and near[0].id in self._losers else None


def _dataset_of_nobody(blobs: Blobs, losers: dict[str, Dataset]) -> Dataset:
    project = min((one.project for one in losers.values() if one.project != "?"), default="default")
    name, names, refs = Name(project, _OF_NOBODY), Names(blobs), Refs(blobs)
    try:
        return names.create(name, "dataset", lambda one: refs.find(one, MAIN) is not None)
    except Conflict:  # somebody has made one of that name, which does as well
        return names.get(name)


def _branch(refs: Refs, dataset: Dataset, commit_id: str) -> str:
    name = f"{RECOVERED}{commit_id[:12]}"
    while (there := refs.find(dataset, name)) and there.commit != commit_id and there.commit:
        name += "-again"
    if not (there and there.commit):
        refs.move(
            dataset, name, "branch", commit_id, expected=None, author=AUTHOR,
            reason="recovered: nothing led to it any more",
        )  # fmt: skip
    return name


def _told(head: _Head, lost: Lost | None) -> str:
    message = head.commit.message.split("\n")[0][:_SHOWN]
    said = f"{head.commit.time[:16].replace('T', ' ')} UTC, {head.commit.author}: {message}"
    more = f", with {len(head.line) - 1:,} before it" if len(head.line) > 1 else ""
    return said + more + (f"; {lost.files:,} of its files are lost" if lost else "")
