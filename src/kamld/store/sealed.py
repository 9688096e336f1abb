"""Sealed records: runs that have ended and deployment events. Written once, never changed.

Which number is the next is told by a hint beside the numbers: a swapped record that is moved after
its number is taken. So it may be behind, when somebody was killed in between, and whoever reads it
goes on from there until a number is free; it is never ahead.
"""

import re
from contextlib import suppress
from typing import TypeVar

import msgspec

from kamld import ids
from kamld.blobs import Blobs, Changed, Missing
from kamld.errors import Conflict, NotFound, SystemFault
from kamld.records.deployment import DeploymentEvent
from kamld.records.hints import Last
from kamld.records.names import Name
from kamld.records.run import Run
from kamld.store.envelope import seal, unseal

Record = TypeVar("Record", bound=msgspec.Struct)

_RUN = re.compile(r"runs/[0-9a-f]{2}/([0-9a-f]{32})\.json")
_NUMBER = re.compile(r"run-numbers/[^/]+/([0-9]{8,})")
_ENDPOINT = re.compile(r"endpoints/([A-Za-z0-9_][A-Za-z0-9_.-]*)/([A-Za-z0-9_][A-Za-z0-9_.-]*)\.json")


class Sealed:
    def __init__(self, blobs: Blobs) -> None:
        self._blobs = blobs

    def claim_number(self, project: str, run_id: str) -> int:
        """The next number of the project, which is this run's from here on."""
        number = self._last(_numbers_key(project)) + 1
        while True:
            try:
                self._blobs.swap(_number_key(project, number), None, run_id.encode())
                break
            except Changed as now:
                if now.value == run_id.encode():  # it had landed; only the reply was lost
                    break
                number += 1
        self._advance(_numbers_key(project), number)
        return number

    def seal_run(self, run: Run) -> None:
        """Keep the record of a run that has ended; durable when it returns."""
        batch = self._blobs.batch()
        batch.put(_run_key(run.id), [seal(run)])
        batch.flush()

    def run(self, run_id: str) -> Run:
        """Raises NotFound (unknown_run)."""
        return self._get(_run_key(run_id), Run, "unknown_run", f"No run {run_id}.", "kamld runs shows all.")

    def run_by_number(self, project: str, number: int) -> Run:
        """Raises NotFound (unknown_run)."""
        try:
            return self.run(self._blobs.get(_number_key(project, number)).decode())
        except Missing:
            message = f"No run {number} in project {project}."
            raise NotFound("unknown_run", message, "kamld runs shows all.") from None

    def numbers(self, project: str) -> list[int]:
        found = (_NUMBER.fullmatch(listed.key) for listed in self._blobs.list(f"run-numbers/{project}/"))
        return [int(match[1]) for match in found if match]

    def run_ids(self) -> list[str]:
        """Ids of all sealed runs, oldest first."""
        found = (_RUN.fullmatch(listed.key) for listed in self._blobs.list("runs/"))
        return sorted(match[1] for match in found if match)

    def add_event(self, event: DeploymentEvent) -> DeploymentEvent:
        """Append to an endpoint's history; gives the event with the key that the hub accepted.

        Raises Conflict (endpoint_changed) if its `seq` is taken: somebody else changed the endpoint.
        """
        while True:
            event = msgspec.structs.replace(event, key=ids.new_event_key())
            try:
                self._blobs.swap(f"events/{event.key}.json", None, seal(event))
                break
            except Changed as now:
                if now.value == seal(event):  # it had landed; only the reply was lost
                    break
        endpoint = Name(event.project, event.endpoint)
        with suppress(Changed):  # before its first event: from here on the endpoint is listed
            self._blobs.swap(_endpoint_key(endpoint), None, seal(Last(last=0)))
        try:
            self._blobs.swap(_event_key(endpoint, event.seq), None, event.key.encode())
        except Changed as now:
            if now.value != event.key.encode():
                self._blobs.delete(f"events/{event.key}.json")
                raise Conflict(
                    "endpoint_changed",
                    f"{event.endpoint} was changed by somebody else.",
                    "Look, then try again.",
                ) from None
        self._advance(_endpoint_key(endpoint), event.seq)
        return event

    def event(self, key: str) -> DeploymentEvent:
        """Raises NotFound (unknown_event)."""
        where = f"events/{key}.json"
        return self._get(
            where, DeploymentEvent, "unknown_event", f"No deployment event {key} in this hub.", ""
        )

    def history(self, endpoint: Name, after: int = 0) -> list[DeploymentEvent]:
        """The endpoint's events with a larger `seq` than `after`, oldest first; none if it never was."""
        found: list[DeploymentEvent] = []
        while key := self._event_at(endpoint, after + len(found) + 1):
            found.append(self.event(key))
        return found

    def last_events(self) -> dict[Name, int]:
        """`seq` of the last event of every endpoint that ever was."""
        found: dict[Name, int] = {}
        for listed in self._blobs.list("endpoints/"):
            match = _ENDPOINT.fullmatch(listed.key)
            if match:
                name = Name(match[1], match[2])
                last = self._last(listed.key)
                while self._event_at(name, last + 1):
                    last += 1
                if last:
                    found[name] = last
        return found

    def endpoints(self) -> list[Name]:
        """Every endpoint that ever was."""
        return sorted(self.last_events())

    def _event_at(self, endpoint: Name, seq: int) -> str | None:
        try:
            return self._blobs.get(_event_key(endpoint, seq)).decode()
        except Missing:
            return None

    def _last(self, key: str) -> int:
        """What the hint says; 0 where it says nothing, for then all numbers are gone through."""
        try:
            return unseal(self._blobs.get(key), Last, key).last
        except Missing:
            return 0
        except SystemFault as fault:
            if fault.code != "damaged_record":
                raise
            return 0

    def _advance(self, key: str, number: int) -> None:
        """Move the hint. Its number is taken by now, so nothing that goes wrong here is an error."""
        with suppress(Changed, SystemFault):  # Changed: by somebody else, whose number may do as well
            try:
                present = self._blobs.get(key)
            except Missing:
                present = None
            if present is None or self._last(key) < number:
                self._blobs.swap(key, present, seal(Last(last=number)))

    def _get(self, key: str, kind: type[Record], code: str, message: str, hint: str) -> Record:
        try:
            return unseal(self._blobs.get(key), kind, key)
        except Missing:
            raise NotFound(code, message, hint) from None


def _run_key(run_id: str) -> str:
    return f"runs/{run_id[-2:]}/{run_id}.json"  # its last digits are random, the first are the time


def _numbers_key(project: str) -> str:
    return f"run-numbers/{project}/last.json"


def _number_key(project: str, number: int) -> str:
    return f"run-numbers/{project}/{number:08d}"


def _endpoint_key(endpoint: Name) -> str:
    return f"endpoints/{endpoint}.json"


def _event_key(endpoint: Name, seq: int) -> str:
    return f"deployments/{endpoint}/{seq:08d}"
