"""All records that are kept under keys of their own: read, their hashes checked, and held against each
other, for each of them is named by another. What a commit or a tree says is none of this module's.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TypeVar
from urllib.parse import quote, unquote

import msgspec

from kamld.blobs import Blobs, Missing
from kamld.errors import SystemFault
from kamld.records.deployment import DeploymentEvent
from kamld.records.hints import Last
from kamld.records.history import Condemned, Dataset, Move, Named, Ref, Removed, SealedMoves, SeenRefs
from kamld.records.holes import Hole, Purging
from kamld.records.merging import PendingMerge
from kamld.records.names import MAIN
from kamld.records.run import Run
from kamld.store.envelope import unseal
from kamld.store.fsck.report import Finding
from kamld.store.leases import CONDEMNED
from kamld.store.objects.holes import PREFIX as HOLES
from kamld.store.objects.holes import PURGING
from kamld.store.refs.seen import SEEN

Record = TypeVar("Record", bound=msgspec.Struct)
_LOOK = "kamld fsck --repair looks for it."
RECOVERED = "recovered-"  # how branches begin that a repair has made
_NUMBERED = re.compile(r"(?:run-numbers|deployments)/(?P<of>.+)/(?P<number>[0-9]{8,})")


@dataclass(slots=True)
class Records:
    datasets: list[Dataset] = field(default_factory=list)  # those that live first
    named: frozenset[str] = frozenset()  # ids of datasets that have a name, or can be had back
    removed: frozenset[str] = frozenset()  # of datasets that have no name any more
    forgotten: frozenset[str] = frozenset()  # that cannot be had back any more: collections delete their refs
    refs: dict[str, list[Ref]] = field(default_factory=dict)  # of each dataset's id
    moves: dict[str, list[Move]] = field(default_factory=dict)  # all that their refs ever made
    runs: dict[str, Run] = field(default_factory=dict)
    events: dict[str, DeploymentEvent] = field(default_factory=dict)
    merges: list[PendingMerge] = field(default_factory=list)
    losses: set[str] = field(default_factory=set)  # keys of records that say that something was lost
    without_main: list[Dataset] = field(default_factory=list)  # that have a name
    collected: bool = False  # a collection has noted which refs there were
    findings: list[Finding] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def read_records(blobs: Blobs, only: frozenset[str] | None) -> Records:
    """`only`: of the datasets with these ids; None: all there are, with runs and deployments."""
    return _Reading(blobs, only).found


class _Reading:
    def __init__(self, blobs: Blobs, only: frozenset[str] | None) -> None:
        self._blobs, self._only = blobs, only
        self.found = Records()
        self._read_names()
        self._read_refs()
        if only is None:
            self._read_logs()
            self._read_runs()
            self._read_events()
            self._one(CONDEMNED, Condemned)
            self._look_for_seen_refs()
            self._read_holes()
            self.found.merges = [merge for _, merge in self._all("merges/", PendingMerge)]

    def _read_names(self) -> None:
        live: dict[str, Dataset] = {}
        gone: dict[str, Dataset] = {}
        for _, named in self._all("names/", Named):
            (gone if named.gone else live).setdefault(named.id, named.dataset)
        records = [one for _, one in self._all("removed/", Removed)]
        removed = {one.dataset.id: one.dataset for one in records}
        self.found.forgotten = frozenset(one.dataset.id for one in records if one.forgotten)
        self.found.named = frozenset(live.keys() | removed.keys()) - self.found.forgotten
        there = gone | removed | live
        self.found.removed = frozenset(there.keys() - live.keys())
        if self._only is not None:
            there = {key: value for key, value in there.items() if key in self._only}
        self.found.datasets = sorted(
            there.values(), key=lambda one: (one.id not in live, one.project, one.name)
        )

    def _read_refs(self) -> None:
        known = {one.id for one in self.found.datasets}
        for key, ref in self._all("refs/", Ref):
            dataset_id, _, word = key.removeprefix("refs/").partition("/")
            if self._only is not None and dataset_id not in self._only:
                continue
            if quote(ref.name, safe="") != word:
                self._tell("damaged_record", key, f'it is the record of another ref, "{ref.name}"')
            self.found.refs.setdefault(dataset_id, []).append(ref)
            self.found.moves.setdefault(dataset_id, []).extend(self._moves(dataset_id, ref))
            if ref.last.lost:
                self.found.losses.add(key)
                self._note_loss(dataset_id, ref, "what it was is lost")
        for dataset_id in sorted(self.found.refs.keys() - self.found.named - self.found.forgotten):
            refs = ", ".join(sorted(ref.name for ref in self.found.refs[dataset_id])[:5])
            self._tell(
                "lost_name", f"refs/{dataset_id}/", f"a dataset or model has lost its name; it has {refs}"
            )
            if dataset_id not in known:
                lost = Dataset(id=dataset_id, project="?", name=dataset_id[:12], kind="dataset", created="")
                self.found.datasets.append(lost)

        for one in self.found.datasets:
            refs_there = self.found.refs.get(one.id, ())
            if one.id in self.found.named and not any(ref.name == MAIN for ref in refs_there):
                has = f"other refs and no {MAIN}" if refs_there else "no version"
                found = next((ref.name for ref in refs_there if ref.name.startswith(RECOVERED)), None)
                command = f"kamld branch {one.said}@{found} {MAIN}"
                advice = f"{command} makes that one its {MAIN}." if found else _LOOK
                self.found.notes.append(f"{one.project}/{one.name} has {has}: none yet, or lost. {advice}")
                self.found.without_main.append(one)

    def _look_for_seen_refs(self) -> None:
        """Those that a collection saw, and that cannot have been deleted since."""
        seen, present = self._one(SEEN, SeenRefs), {listed.key for listed in self._blobs.list("refs/")}
        self.found.collected = seen is not None
        names = {one.id: f"{one.project}/{one.name}" for one in self.found.datasets}
        for key in sorted(set(seen.refs) - present) if seen else ():
            dataset_id, _, word = key.removeprefix("refs/").partition("/")
            of = names.get(dataset_id, "a removed dataset")
            self._tell("lost_ref", key, f'the branch, tag or alias "{unquote(word)}" of {of} is not there')

    def _moves(self, dataset_id: str, ref: Ref) -> Iterator[Move]:
        yield from reversed(ref.moves)
        older, seen = ref.older, set[str]()
        while older and older not in seen:
            seen.add(older)
            part = self._one(older, SealedMoves)
            if part is None:
                if not self._told(older):
                    self._tell("lost_record", older, f"a part of the log of {ref.name} is not there")
                return
            yield from reversed(part.moves)
            if part.moves[0].lost:
                self.found.losses.add(older)
                self._note_loss(dataset_id, ref, "a part of its log is lost")
            older = part.older

    def _note_loss(self, dataset_id: str, ref: Ref, what: str) -> None:
        of = [f"{one.project}/{one.name}" for one in self.found.datasets if one.id == dataset_id]
        self.found.notes.append(f"{''.join(of)}@{ref.name}: {what}, as a repair has written down.")

    def _read_logs(self) -> None:
        """A log without its ref: the ref was there."""
        there = {(key, quote(ref.name, safe="")) for key, refs in self.found.refs.items() for ref in refs}
        logs = {tuple(n.key.split("/")[1:3]) for n in self._blobs.list("log/")} - there
        for dataset_id, word in sorted(logs):
            key = f"refs/{dataset_id}/{word}"
            if dataset_id not in self.found.forgotten and not self._told(key):
                self._tell("lost_record", key, f'the ref "{unquote(word)}" is not there, but its log is')

    def _read_runs(self) -> None:
        self.found.runs = {run.id: run for _, run in self._all("runs/", Run)}
        numbers = self._numbers("run-numbers/")
        for run in self.found.runs.values():
            if numbers.get(run.project, {}).get(run.number) != run.id:
                what = f"number {run.number} of {run.project} does not lead to its run, {run.id[:12]}"
                self._tell("lost_record", f"run-numbers/{run.project}/{run.number:08d}", what)
        for project, given in sorted(numbers.items()):
            hint = self._hint(f"run-numbers/{project}/last.json", given)
            self._tell_gaps("run-numbers", project, given, hint)
            open_ = [number for number, run_id in given.items() if run_id not in self.found.runs]
            if open_:
                shown = ", ".join(map(str, sorted(open_)[:5])) + (", …" if len(open_) > 5 else "")
                self.found.notes.append(
                    f"{project} has no record of the runs {shown}: they go on, or never ended."
                )

    def _read_events(self) -> None:
        events = dict(self._all("events/", DeploymentEvent))
        self.found.events = {
            key.removeprefix("events/").removesuffix(".json"): e for key, e in events.items()
        }
        listed = {
            n.key.removeprefix("endpoints/").removesuffix(".json") for n in self._blobs.list("endpoints/")
        }
        numbers = self._numbers("deployments/")
        for endpoint in sorted(numbers.keys() | listed):
            given = numbers.get(endpoint, {})
            key = f"endpoints/{endpoint}.json"
            if endpoint not in listed:
                self._tell("lost_record", key, f"the endpoint {endpoint} is not listed any more")
            self._tell_gaps("deployments", endpoint, given, self._hint(key, given))
            for number, event_key in given.items():
                event = self.found.events.get(event_key)
                is_it = event and (f"{event.project}/{event.endpoint}", event.seq) == (endpoint, number)
                if not is_it and not self._told(f"events/{event_key}.json"):
                    what = f"event {number} of the endpoint {endpoint} is not there"
                    self._tell("lost_record", f"deployments/{endpoint}/{number:08d}", what)

    def _read_holes(self) -> None:
        for listed in self._blobs.list(HOLES):
            if listed.key != PURGING:
                self._one(listed.key, Hole)
            elif (purging := self._one(PURGING, Purging)) and purging.ids:
                self.found.notes.append("A purge goes on, or was stopped: kamld purge --finish ends it.")

    def _hint(self, key: str, given: dict[int, str]) -> int:
        last = self._one(key, Last)
        return last.last if last else max(given, default=0)

    def _tell_gaps(self, prefix: str, of: str, given: dict[int, str], last: int) -> None:
        for number in sorted(set(range(1, max([last, *given]) + 1)) - given.keys())[:10]:
            self._tell("lost_record", f"{prefix}/{of}/{number:08d}", f"number {number} of {of} is not there")

    def _numbers(self, prefix: str) -> dict[str, dict[int, str]]:
        found: dict[str, dict[int, str]] = {}
        for listed in self._blobs.list(prefix):
            match = _NUMBERED.fullmatch(listed.key)
            if match:
                try:
                    data = self._blobs.get(listed.key)
                except Missing:
                    continue
                found.setdefault(match["of"], {})[int(match["number"])] = data.decode("ascii", "replace")
        return found

    def _all(self, prefix: str, kind: type[Record]) -> Iterator[tuple[str, Record]]:
        """Every sound record under these keys."""
        for listed in self._blobs.list(prefix):
            record = self._one(listed.key, kind)
            if record is not None:
                yield listed.key, record

    def _one(self, key: str, kind: type[Record]) -> Record | None:
        try:
            return unseal(self._blobs.get(key), kind, key)
        except Missing:
            return None
        except SystemFault as fault:
            if fault.code != "damaged_record":
                raise
            self._tell(fault.code, key, "a record is damaged: it is not what was written")
            return None

    def _told(self, key: str) -> bool:
        return any(finding.key == key for finding in self.found.findings)

    def _tell(self, code: str, key: str, what: str) -> None:
        self.found.findings.append(Finding(code, key, what))
