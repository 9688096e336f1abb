"""Getting a folder's commit, which is durable, onto its branch, and binding the folder to it.

Killed in the middle, the folder's next command goes on: see `settle`.
"""

from dataclasses import dataclass
from pathlib import Path

import msgspec

from kamld import ids
from kamld.errors import Conflict, NotFound, SystemFault
from kamld.records.history import Dataset, Kind
from kamld.records.names import Name
from kamld.store import Committed, Repository, Version
from kamld.workspace.binding import Binding, write_binding
from kamld.workspace.committing.naming import name_taken
from kamld.workspace.committing.plan import Plan, branch_taken, not_newest
from kamld.workspace.settle import announced, finish


@dataclass(frozen=True, slots=True)
class Into:
    """Where a folder's commit goes. `of`: the dataset, or the name of the one that is to be made."""

    repository: Repository
    folder: Path
    binding: Binding | None
    of: Dataset | Name | None
    kind: Kind
    author: str

    def land(self, plan: Plan, version: Version) -> tuple[Dataset, Committed]:
        """Raises Conflict (name_taken, not_newest, protected_branch), SystemFault."""
        assert self.of is not None
        repository, folder = self.repository, self.folder
        dataset = repository.create(self.of, self.kind) if isinstance(self.of, Name) else self.of
        here = Binding(
            hub=repository.blobs.location, dataset=dataset.id, project=dataset.project, name=dataset.name,
            branch=plan.branch, commit=version.commit_id, hub_id=repository.hub.id,
        )  # fmt: skip
        with announced(folder, here):
            committed = self._move(plan, dataset, version)
            try:
                finish(folder, here, committed.landed.branch)
            except SystemFault as fault:
                raise _not_bound(folder, version, fault) from fault
        return dataset, committed

    def make_branch(self, plan: Plan) -> None:
        """At the version that the folder comes from, for nothing has changed since. Raises Conflict
        (name_taken)."""
        assert self.binding is not None
        assert isinstance(self.of, Dataset)
        at = self.binding.commit
        self.repository.set_ref(self.of, plan.branch, "branch", at, author=self.author, known=True)
        write_binding(self.folder, msgspec.structs.replace(self.binding, branch=plan.branch))

    def _move(self, plan: Plan, dataset: Dataset, version: Version) -> Committed:
        repository = self.repository
        if not (plan.is_new or plan.replaces):
            return repository.land_version(dataset, plan.branch, version, author=self.author)
        try:
            return repository.land_on(
                dataset, plan.branch, version, expected=plan.replaces, author=self.author,
                amends=plan.replaces is not None, numbered=plan.numbered,
            )  # fmt: skip
        except (Conflict, NotFound) as error:
            if error.code not in ("ref_moved", "unknown_ref"):
                raise
            raise self._too_late(plan, dataset) from None

    def _too_late(self, plan: Plan, dataset: Dataset) -> Conflict:
        """Somebody else was faster, and theirs has nothing to do with this commit."""
        if isinstance(self.of, Name):
            return name_taken(self.of, self.folder)
        if plan.replaces:
            return not_newest(self.folder, plan.branch, plan.replaces)
        return branch_taken(dataset, plan.branch)


def _not_bound(folder: Path, version: Version, fault: SystemFault) -> SystemFault:
    why = {"no_space": "its disk is full.", "no_permission": "no permission to write there."}
    return SystemFault(
        fault.code,
        f"Committed as {ids.short(version.commit_id)}, but {folder} could not be bound to that:"
        f" {why.get(fault.code, fault.message)}",
        "Mend that; the next kamld commit or kamld status of the folder then finishes it.",
    )
