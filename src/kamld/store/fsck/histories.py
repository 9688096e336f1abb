"""The versions that names and records lead to: which there are, what they are called, which cannot be
read. A commit that only old moves name may have been collected, which is no damage.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from kamld.errors import SystemFault
from kamld.records.encoding import decode
from kamld.records.history import Commit, Dataset, Move, Ref
from kamld.records.names import MAIN
from kamld.store.fsck.records import Records
from kamld.store.refs.expiry import standings

Read = Callable[[bytes], bytes | None]  # an object's bytes; None: they are not to be had


@dataclass(frozen=True, slots=True)
class Version:
    tree: str
    parents: tuple[str, ...]
    needed: bool  # something that lives leads to it, not only old moves
    run: str | None
    time: str
    keep_last: int | None  # of a checkpoint


@dataclass(slots=True)
class Histories:
    records: Records
    versions: dict[str, Version] = field(default_factory=dict)
    lost: dict[str, bool] = field(default_factory=dict)  # commits not to be had; whether needed
    named: set[str] = field(default_factory=set)  # by what lives, not only by old moves

    def words(self) -> dict[str, tuple[Dataset, str]]:
        """What each version is called: `photos@main~2`, or by its id where no branch leads to it."""
        found: dict[str, tuple[Dataset, str]] = {}
        for dataset in self.records.datasets:
            refs = sorted(self.records.refs.get(dataset.id, ()), key=lambda r: (r.name != MAIN, r.name))
            own = _own_names(refs)
            for ref in refs:
                self._name_line(found, dataset, ref, own)
            moves = self.records.moves.get(dataset.id, ())
            for identifier in self._before(_named(moves)):
                found.setdefault(identifier, (dataset, identifier[:12]))
        return found

    def forgotten(self) -> set[str]:
        """Checkpoints whose files may be gone, for they have expired."""
        order = sorted(self.versions.items(), key=lambda one: one[1].time, reverse=True)
        links = ((commit_id, version.parents, version.keep_last) for commit_id, version in order)
        return {one.commit_id for one in standings(links, self.named) if one.expired or one.may_be_gone}

    def _before(self, starts: Iterable[str]) -> Iterator[str]:
        waiting, seen = list(starts), set[str]()
        while waiting:
            identifier = waiting.pop()
            if identifier not in seen:
                seen.add(identifier)
                yield identifier
                version = self.versions.get(identifier)
                waiting.extend(version.parents if version else ())

    def _name_line(
        self, found: dict[str, tuple[Dataset, str]], dataset: Dataset, ref: Ref, own: dict[str, str]
    ) -> None:
        at, steps = ref.commit, 0
        while at:
            word = own.get(at) or ref.name + (f"~{steps}" if steps else "")
            found.setdefault(at, (dataset, word))
            version = self.versions.get(at)
            at, steps = (version.parents[0] if version and version.parents else None), steps + 1


def _own_names(refs: Iterable[Ref]) -> dict[str, str]:
    """What names a version itself, which people know it by rather than by counting back: its main first, then
    tags, which stay, then the others."""
    order = sorted(refs, key=lambda ref: (ref.name != MAIN, ref.kind != "tag", ref.name))
    names: dict[str, str] = {}
    for ref in order:
        if ref.commit:
            names.setdefault(ref.commit, ref.name)
    return names


def read_histories(records: Records, read: Read, read_old: Read | None = None) -> Histories:
    """`read_old`: for what only old moves lead to. Raises SystemFault only where the machine refuses."""
    found = Histories(records)
    needed = {ref.commit for refs in records.refs.values() for ref in refs if ref.commit}
    for run in records.runs.values():
        needed |= {put.commit for put in run.inputs} | {made.commit for made in run.outputs}
    needed |= {served.commit for event in records.events.values() for served in event.versions}
    needed |= {commit for merge in records.merges for commit in (merge.ours, merge.theirs)}
    found.named = needed
    _walk(found, read, needed, needed=True)
    old = {one for moves in records.moves.values() for one in _named(moves)}
    _walk(found, read_old or read, old, needed=False)
    return found


def _named(moves: Iterable[Move]) -> set[str]:
    return {one for move in moves for one in (move.commit, move.carries) if one}


def _walk(found: Histories, read: Read, starts: set[str], *, needed: bool) -> None:
    waiting = sorted(starts)
    while waiting:
        identifier = waiting.pop()
        if identifier in found.versions or identifier in found.lost:
            continue
        commit = _commit(read, identifier)
        if commit is None:
            found.lost[identifier] = needed
            continue
        found.versions[identifier] = Version(
            commit.tree, commit.parents, needed, commit.run, commit.time,
            commit.checkpoint.keep_last if commit.checkpoint else None,
        )  # fmt: skip
        waiting.extend(commit.parents)


def _commit(read: Read, identifier: str) -> Commit | None:
    try:
        data = read(bytes.fromhex(identifier))
        return decode(data, Commit, identifier) if data is not None else None
    except ValueError:
        return None
    except SystemFault as fault:
        if fault.code != "damaged_record":
            raise
        return None
