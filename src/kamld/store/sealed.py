"""Sealed records: runs that have ended and deployment events. Written once, never changed."""

from typing import TypeVar

import msgspec

from kamld import ids
from kamld.blobs import Blobs, Changed, Missing
from kamld.errors import Conflict, NotFound
from kamld.records.deployment import DeploymentEvent
from kamld.records.encoding import decode, encode
from kamld.records.names import Name
from kamld.records.run import Run

Record = TypeVar("Record", bound=msgspec.Struct)


class Sealed:
    def __init__(self, blobs: Blobs) -> None:
        self._blobs = blobs

    def claim_number(self, project: str, run_id: str) -> int:
        """The next number of the project, which is this run's from here on."""
        number = max(self.numbers(project), default=0) + 1
        while True:
            try:
                self._blobs.swap(_number_key(project, number), None, run_id.encode())
                return number
            except Changed as now:
                if now.value == run_id.encode():  # it had landed; only the reply was lost
                    return number
                number += 1

    def seal_run(self, run: Run) -> None:
        """Keep the record of a run that has ended; durable when it returns."""
        batch = self._blobs.batch()
        batch.put(_run_key(run.id), [encode(run)])
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
        return [int(listed.key.rsplit("/", 1)[1]) for listed in self._blobs.list(f"run-numbers/{project}/")]

    def run_ids(self) -> list[str]:
        """Ids of all sealed runs, oldest first."""
        return [listed.key[len("runs/") : -len(".json")] for listed in self._blobs.list("runs/")]

    def add_event(self, event: DeploymentEvent) -> DeploymentEvent:
        """Append to an endpoint's history; gives the event with the key that the hub accepted.

        Raises Conflict (endpoint_changed) if its `seq` is taken: somebody else changed the endpoint.
        """
        while True:
            event = msgspec.structs.replace(event, key=ids.new_event_key())
            try:
                self._blobs.swap(f"events/{event.key}.json", None, encode(event))
                break
            except Changed as now:
                if now.value == encode(event):  # it had landed; only the reply was lost
                    break
        try:
            self._blobs.swap(_event_key(event), None, event.key.encode())
        except Changed as now:
            if now.value == event.key.encode():
                return event
            self._blobs.delete(f"events/{event.key}.json")
            raise Conflict(
                "endpoint_changed",
                f"{event.endpoint} was changed by somebody else.",
                "Look, then try again.",
            ) from None
        return event

    def event(self, key: str) -> DeploymentEvent:
        """Raises NotFound (unknown_event)."""
        where = f"events/{key}.json"
        return self._get(
            where, DeploymentEvent, "unknown_event", f"No deployment event {key} in this hub.", ""
        )

    def history(self, endpoint: Name, after: int = 0) -> list[DeploymentEvent]:
        """The endpoint's events with a larger `seq` than `after`, oldest first; none if it never was."""
        listed = self._blobs.list(f"deployments/{endpoint}/")
        keys = [one.key for one in listed if int(one.key.rsplit("/", 1)[1]) > after]
        return [self.event(self._blobs.get(key).decode()) for key in keys]

    def last_events(self) -> dict[Name, int]:
        """`seq` of the last event of every endpoint that ever was."""
        found: dict[Name, int] = {}
        for listed in self._blobs.list("deployments/"):  # sorted, so the last one stays
            _, project, endpoint, seq = listed.key.split("/")
            found[Name(project, endpoint)] = int(seq)
        return found

    def endpoints(self) -> list[Name]:
        """Every endpoint that ever was."""
        return sorted(self.last_events())

    def _get(self, key: str, kind: type[Record], code: str, message: str, hint: str) -> Record:
        try:
            return decode(self._blobs.get(key), kind, key)
        except Missing:
            raise NotFound(code, message, hint) from None


def _run_key(run_id: str) -> str:
    return f"runs/{run_id}.json"


def _number_key(project: str, number: int) -> str:
    return f"run-numbers/{project}/{number:08d}"


def _event_key(event: DeploymentEvent) -> str:
    return f"deployments/{event.project}/{event.endpoint}/{event.seq:08d}"
