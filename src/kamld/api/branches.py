"""What a dataset or model does with its branches: merge, decide, protect, take back."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from kamld.api.derived import Derived
from kamld.api.folders import Where
from kamld.api.shown import Listing, plain
from kamld.api.version import Change, Version, change_of
from kamld.app.checks import check_room
from kamld.changes import merging, undo
from kamld.changes.checks import Failure
from kamld.changes.joining import Clash
from kamld.changes.protecting import protect, unprotect
from kamld.errors import Conflict, NotFound, UsageError
from kamld.records.history import Dataset as Record
from kamld.records.names import MAIN

Side = Literal["ours", "theirs"]


@dataclass(frozen=True, slots=True)
class RowConflict:
    """A row that both sides changed differently: the cells that conflict; None where a side lacks the row."""

    key: tuple[str, ...]
    kind: str  # changed, added, deleted by ours, deleted by theirs
    base: Mapping[str, str | None] | None
    ours: Mapping[str, str | None] | None
    theirs: Mapping[str, str | None] | None


@dataclass(frozen=True, slots=True)
class MergeConflict:
    """A path to be decided. `rows` (at most 1,000 of `row_count`) are those of a table that conflict; the
    others of it go together. `reason`: why a table could not be joined."""

    path: str
    why: str
    reason: str
    rows: Sequence[RowConflict]
    row_count: int

    def _shown(self) -> dict[str, str]:
        return {"path": plain(self.path), "why": self.why, "reason": plain(self.reason)}


@dataclass(frozen=True, slots=True)
class Merged:
    """`result`: moved (it needed no merge), merged, nothing (all was there), waits (for `conflicts` to be
    decided; nothing has changed), would (a dry run of what would land). `version`: the branch's newest.
    `rows`: how many of the source's were joined in each table that both changed."""

    result: str
    version: Version
    branch: str
    source: str
    changes: Sequence[Change]
    conflicts: Sequence[MergeConflict]
    rows: Mapping[str, int]

    def _shown(self) -> dict[str, str]:
        return {"result": self.result, "source": plain(self.source), "branch": plain(self.branch)}


@dataclass(frozen=True, slots=True)
class Undone:
    """`version`: what the branch, tag or alias names now; None: nothing, for it was made by what was taken
    back."""

    ref: str
    version: Version | None


class Branches(Derived):
    """Of one dataset or model."""

    def merge(
        self, source: str | None = None, into: str = MAIN, *, key: str | Sequence[str] = (),
        prefer: Side | None = None, message: str = "", dry_run: bool = False,
    ) -> Merged:  # fmt: skip
        """Bring a branch or any version into a branch. Without conflicts it lands; with some it waits in the
        hub until each is decided. Without `source`: what waits, or with `prefer` its end.

        `key`: columns that tell a table's rows apart. `prefer`: whose files and rows are taken where both
        changed them. Raises NotFound (unknown_ref, unknown_revision, no_merge), Conflict (check_failed: the
        branch is protected; merge_waiting: another one waits), Invalid.
        """
        record, repository = self._its_record(), self._app.repository
        if source is None:
            request = merging.resume(merging.find_pending(repository, record, into), prefer)
            dry_run = dry_run or prefer is None
        else:
            columns = (key,) if isinstance(key, str) else tuple(key)
            request = merging.asked(repository, record, source, into, columns, prefer)
        outcome = merging.merge(
            repository, record, request, author=self._app.author, message=message, dry_run=dry_run,
            room=check_room(self._app),
        )  # fmt: skip
        return self._merged(record, outcome)

    def resolve(
        self, path: str, decision: Side | None = None, *, row: str = "", file: Where | None = None,
        into: str = MAIN,
    ) -> Merged:  # fmt: skip
        """Decide about a path of the merge that waits, about all that conflicts in a folder or has a pattern,
        or about one `row` of a table: "ours", "theirs", or a file to be taken instead. The last decision
        lands the merge.

        Raises NotFound (no_merge, no_conflict, no_such_file), Conflict (merge_changed, check_failed).
        """
        if (decision is None) == (file is None) or (row and file is not None):
            raise UsageError("usage", 'One of "ours", "theirs" and a file decides; of a row a side.')
        record = self._its_record()
        outcome = merging.resolve(
            self._app.repository, record, into, os.fsencode(path.strip("/")),
            self._file(file) if file is not None else decision or "ours", row=row,
            author=self._app.author, room=check_room(self._app),
        )  # fmt: skip
        return self._merged(record, outcome)

    def abort(self, into: str = MAIN) -> None:
        """Give up the merge that waits; both branches are as they were. Raises NotFound (no_merge)."""
        record, repository = self._its_record(), self._app.repository
        repository.merges.drop(record, merging.find_pending(repository, record, into))

    def protect(self, branch: str = MAIN, *, require: Sequence[str] = (), checks: Sequence[str] = ()) -> None:
        """Let only merges move the branch, once all rules and commands hold for what would land.

        Rules: `schema[:PATHS]`, `no-nulls[:COLUMN[:PATHS]]`, `rows:MIN-MAX[:PATHS]`. Commands start in a
        folder with the files. Raises NotFound (unknown_ref), Invalid (bad_rule, not_a_branch).
        """
        record, author = self._its_record(), self._app.author
        protect(self._app.repository, record, branch, author=author, require=require, checks=checks)

    def unprotect(self, branch: str = MAIN) -> bool:
        """Lift that; whether it was protected. Raises NotFound (unknown_ref), Invalid (not_a_branch)."""
        return unprotect(self._app.repository, self._its_record(), branch)

    def undo(self, ref: str = MAIN) -> Undone:
        """Take back the last move of a branch, tag or alias; or, where it was removed, the removal, also of
        the dataset itself. It can be undone too.

        Raises NotFound (unknown_name, unknown_revision, collected), Conflict (first_version, ref_moved,
        protected_branch).
        """
        done = undo.undo(self._app.repository, self._name, ref, author=self._app.author)
        version = self._version(done.dataset, self._app.repository, done.commit) if done.commit else None
        return Undone(done.ref, version)

    # Ways

    def _its_record(self) -> Record:
        return self._check(self._app.repository.names.get(self._name))

    def _file(self, given: Where) -> str:
        place = Path(self._app.folder, given)
        if not place.is_file():
            raise NotFound("no_such_file", f"There is no file {given}.", "Name a file that is there.")
        return str(place.absolute())

    def _merged(self, record: Record, outcome: merging.Outcome) -> Merged:
        if outcome.how == "refused":
            raise Conflict(
                "check_failed",
                f"{outcome.request.branch} is protected, and nothing has moved."
                f" {'; '.join(map(_said, outcome.failures))}.",
                f"Mend {outcome.request.source}, then merge it again.",
            )
        return Merged(
            result=outcome.how, version=self._version(record, self._app.repository, outcome.commit),
            branch=outcome.request.branch, source=outcome.request.source,
            changes=Listing(map(change_of, outcome.changes)),
            conflicts=Listing(_conflict(outcome, clash) for clash in outcome.plan.left),
            rows={os.fsdecode(table.clash.path): table.rows for table in outcome.plan.tables},
        )  # fmt: skip


def _said(failure: Failure) -> str:
    where = f"{os.fsdecode(failure.path)}: " if failure.path is not None else ""
    return f"{failure.check}: {where}{failure.detail}"


def _conflict(outcome: merging.Outcome, clash: Clash) -> MergeConflict:
    apart = outcome.plan.apart.get(clash.path)
    found = apart.merged if apart else None
    rows = (
        [RowConflict(row.key, row.kind, row.base, row.ours, row.theirs) for row in found.conflicts]
        if found
        else []
    )
    return MergeConflict(
        os.fsdecode(clash.path), clash.why, apart.reason if apart else "", tuple(rows),
        found.conflict_count if found else 0,
    )  # fmt: skip
