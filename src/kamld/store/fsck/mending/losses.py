"""What is lost for good and no copy has is written down as lost, so that the hub can go on without it. What
it may have named has got names before.
"""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import quote, unquote

from kamld import clock, ids
from kamld.blobs import Blobs, Missing
from kamld.errors import SystemFault
from kamld.records.history import Dataset, Move, Ref, SealedMoves
from kamld.records.names import MAIN
from kamld.store.envelope import seal, unseal
from kamld.store.fsck.mending.restore import put_right
from kamld.store.fsck.mending.unnamed import AUTHOR
from kamld.store.fsck.records import Records
from kamld.store.fsck.report import Step

_REASON = "lost, as kamld fsck --repair has found"


@dataclass(frozen=True, slots=True)
class _Part:
    """A sealed part of a ref's log."""

    key: str
    moves: SealedMoves

    @property
    def last(self) -> int:
        return self.moves.moves[-1].seq


@dataclass(frozen=True, slots=True)
class Lost:
    """`refs`: keys of refs that are gone or damaged. `logs`: those whose log is not whole."""

    refs: tuple[str, ...]
    logs: tuple[tuple[str, Ref], ...]  # with the dataset's id

    @property
    def any(self) -> bool:
        return bool(self.refs or self.logs)

    @property
    def datasets(self) -> set[str]:
        """Ids."""
        return {key.split("/")[1] for key in self.refs} | {dataset_id for dataset_id, _ in self.logs}


def find_lost(blobs: Blobs, records: Records) -> Lost:
    told = {one.key for one in records.findings}
    keys = sorted(key for key in told if key.startswith("refs/") and not key.endswith("/"))
    refs = [key for key in keys if key.split("/")[1] not in records.forgotten]
    broken = {key for key in told if key.startswith("log/")}
    logs = [
        (dataset_id, ref)
        for dataset_id, some in records.refs.items()
        if dataset_id not in records.forgotten
        for ref in some
        if ref.older and broken & set(_chain(blobs, ref))
    ]
    return Lost(tuple(refs), tuple(logs))


def write_down(blobs: Blobs, records: Records, lost: Lost) -> Iterator[Step]:
    parts = _parts(blobs)
    names = {one.id: one for one in records.datasets}
    for dataset_id, ref in lost.logs:
        of = _named(names.get(dataset_id), ref.name)
        for key in _end(blobs, ref, parts[dataset_id, quote(ref.name, safe="")]):
            yield Step(key, f"a part of the log of {of}, written down as lost")
    for key in lost.refs:
        _, dataset_id, word = key.split("/", 2)
        if dataset_id not in records.named:
            continue  # nobody could come to it
        ref = _lost_ref(records, dataset_id, unquote(word), parts[dataset_id, word])
        if put_right(blobs, key, seal(ref)):
            of = _named(names.get(dataset_id), unquote(word))
            yield Step(key, f"what {of} was, written down as lost")


def _end(blobs: Blobs, ref: Ref, parts: list[_Part]) -> Iterator[str]:
    """In the place of each part that is lost, one that says so; it leads on to what there is before."""
    older, following, seen = ref.older, ref.moves[0], set[str]()
    while older and older not in seen:
        seen.add(older)
        part = _read(blobs, older)
        if part is None:
            first = int(older.rpartition("/")[2][:10])
            before = max((one for one in parts if one.last < first), key=lambda one: one.last, default=None)
            part = SealedMoves(
                moves=(_loss(following.seq - 1, following.time),), older=before.key if before else None
            )
            if put_right(blobs, older, seal(part)):
                yield older
        following, older = part.moves[0], part.older


def _lost_ref(records: Records, dataset_id: str, name: str, parts: list[_Part]) -> Ref:
    """As one that was deleted: nothing is named, the log goes on from what there is of it, and no number of
    a model's is given twice."""
    newest = max(parts, key=lambda one: one.last, default=None)
    highest = 0
    if name == MAIN:
        given = [move.version or 0 for one in parts for move in one.moves.moves]
        highest = max([*given, *_deployed(records, dataset_id)], default=0)
    return Ref(
        name=name, kind="branch", moves=(_loss(newest.last + 1 if newest else 1, clock.now()),),
        older=newest.key if newest else None, highest=highest,
    )  # fmt: skip


def _deployed(records: Records, dataset_id: str) -> Iterator[int]:
    """Numbers of this model's versions that deployments speak of."""
    of = {(one.project, one.name) for one in records.datasets if one.id == dataset_id}
    for event in records.events.values():
        for one in event.versions:
            if (one.project, one.name) in of and one.version[:1] == "v" and one.version[1:].isdecimal():
                yield int(one.version[1:])


def _loss(seq: int, time: str) -> Move:
    return Move(seq=seq, time=time, author=AUTHOR, reason=_REASON, write_id=ids.new_id(), lost=True)


def _chain(blobs: Blobs, ref: Ref) -> Iterator[str]:
    """Keys of the parts of a log, to the first that cannot be read."""
    older, seen = ref.older, set[str]()
    while older and older not in seen:
        seen.add(older)
        yield older
        part = _read(blobs, older)
        older = part.older if part else None


def _parts(blobs: Blobs) -> defaultdict[tuple[str, str], list[_Part]]:
    """Those that can be read, by dataset id and quoted ref."""
    found = defaultdict[tuple[str, str], list[_Part]](list)
    for listed in blobs.list("log/"):
        words = listed.key.split("/")
        part = _read(blobs, listed.key) if len(words) == 4 else None
        if part:
            found[words[1], words[2]].append(_Part(listed.key, part))
    return found


def _read(blobs: Blobs, key: str) -> SealedMoves | None:
    try:
        return unseal(blobs.get(key), SealedMoves, key)
    except Missing:
        return None
    except SystemFault as fault:
        if fault.code != "damaged_record":
            raise
        return None


def _named(dataset: Dataset | None, ref: str) -> str:
    return f"{dataset.project}/{dataset.name}@{ref}" if dataset else f'"{ref}" of a removed dataset'
