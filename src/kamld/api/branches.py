"""What a dataset or model does with its branches: merge, decide, protect, take back."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from kamld import ids
from kamld.api.derived import Derived
from kamld.api.folders import Where
from kamld.api.shown import Line, Listing, many, plain
from kamld.api.version import Version
from kamld.api.versions.differences import Change, change_of, counted
from kamld.app.checks import check_room
from kamld.changes import merging, undo
from kamld.changes.outcomes import Open, left, refusal
from kamld.changes.pending import find_pending
from kamld.changes.protecting import protect, unprotect
from kamld.errors import NotFound, UsageError
from kamld.records.history import Dataset as Record
from kamld.records.names import MAIN, parse_revision

Side = Literal["ours", "theirs"]
_SIDES = ("ours", "theirs")
Row = str | int | Sequence[str | int]


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


@dataclass(frozen=True, slots=True, repr=False)
class Merged(Line):
    """`result`: moved (it needed no merge), merged, nothing (all was there), waits (for `conflicts` to be
    decided; nothing has changed), would (a dry run of what would land). `version`: the branch's newest.
    `rows`: how many of the source's were joined in each table that both changed. `gone`: the branch that
    it came from, where that was there to keep a commit apart only, and had its use."""

    result: str
    version: Version
    branch: str
    source: str
    changes: Sequence[Change]
    conflicts: Sequence[MergeConflict]
    rows: Mapping[str, int]
    gone: str | None = None

    def _line(self) -> str:
        source, branch = plain(self.source), f"{plain(self.branch)} of {self.version.name}"
        if self.result == "nothing":
            return f"{branch} has all of {source} already"
        if self.result == "waits":
            count = many(len(self.conflicts), "conflict")
            way = '.resolve(PATH, "ours" or "theirs") decides, .abort() gives it up'
            return f"{count} of {source} and {branch}; nothing has changed: {way}"
        joined = "".join(f", {many(count, 'row')} of {plain(path)}" for path, count in self.rows.items())
        if self.result == "would":
            return f"{source} would go into {branch}, without conflicts: {counted(self.changes)}{joined}"
        gone = f"; {plain(self.gone)} has gone" if self.gone else ""
        return f"{source} is in {branch}, {ids.short(self.version.id)}: {counted(self.changes)}{joined}{gone}"

    def _below(self) -> Sequence[Listing[MergeConflict]]:
        return (Listing(self.conflicts),)


@dataclass(frozen=True, slots=True)
class Protection:
    """What must hold before a protected branch moves: rules, and commands that must succeed. `added` and
    `dropped` are what this call changed."""

    require: tuple[str, ...]
    checks: tuple[str, ...]
    added: tuple[str, ...] = ()
    dropped: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, repr=False)
class Undone(Line):
    """`version`: what the branch, tag or alias names now; None: nothing, for it was made by what was taken
    back. `returned`: branches for commits that were kept apart, which had gone when they were merged.
    `lost_before`: where it was right before is not known any more; `version` is the newest that is.
    `waits`: what a merge into it would bring, which waits, and stays."""

    ref: str
    version: Version | None
    returned: tuple[str, ...] = ()
    lost_before: bool = False
    waits: str | None = None

    def _line(self) -> str:
        back = f"; back too: {plain(', '.join(self.returned))}" if self.returned else ""
        if self.version is None:
            return f"{plain(self.ref)} is gone, which was made by what was taken back{back}"
        lost = "; what it was right before is lost" if self.lost_before else ""
        waits = f"; a merge of {plain(self.waits)} into it waits, and stays" if self.waits else ""
        return (
            f"{plain(self.ref)} is at {self.version._where} again: {self.version._subject}{lost}{back}{waits}"
        )


class Branches(Derived):
    """Of one dataset or model."""

    def merge(
        self, source: str | None = None, into: str | None = None, *, key: str | Sequence[str] = (),
        prefer: Side | None = None, message: str = "", dry_run: bool = False,
    ) -> Merged:  # fmt: skip
        """Bring a branch or any version into a branch, main unless said. Without conflicts it lands; with
        some it waits in the hub until each is decided. Without `source`: what waits, or with `prefer` its
        end.

        `key`: columns that tell a table's rows apart. `prefer`: whose files and rows are taken where both
        changed them. Raises NotFound (unknown_revision, no_merge), Conflict (check_failed: the
        branch is protected; merge_waiting: another one waits; which_merge), Invalid (unknown_column).
        """
        record, repository = self._its_record(), self._app.repository
        columns = (key,) if isinstance(key, str) else tuple(key)
        if prefer not in (None, *_SIDES):
            raise _no_side("prefer", prefer)
        if source is None:
            pending = find_pending(repository, record, into)
            if columns:
                raise UsageError("usage", "A key needs a source.", f'.merge("{pending.source}", key=…)')
            request = merging.resume(pending, prefer)
            dry_run = dry_run or prefer is None
        else:
            request = merging.asked(repository, record, source, into or MAIN, columns, prefer)
        outcome = merging.merge(
            repository, record, request, author=self._app.author, message=message, dry_run=dry_run,
            room=check_room(self._app),
        )  # fmt: skip
        return self._merged(record, outcome)

    def resolve(
        self, path: str, decision: Side | None = None, *, row: Row | None = None, file: Where | None = None,
        into: str | None = None,
    ) -> Merged:  # fmt: skip
        """Decide about a path of the merge that waits, about all that conflicts in a folder or has a pattern,
        or about one `row` of a table, by its key (several columns: several values): "ours", "theirs", or a
        file to be taken instead. The last decision lands the merge.

        `into`: as in `merge`; not said, it may be the only branch that one waits for. Raises NotFound
        (no_merge, no_conflict, no_such_file), Conflict (merge_changed, check_failed, which_merge),
        UsageError.
        """
        if decision not in (None, *_SIDES):
            raise _no_side("the decision", decision)
        if (decision is None) == (file is None) or (row is not None and file is not None):
            raise UsageError("usage", 'One of "ours", "theirs" and a file decides; of a row a side.')
        record = self._its_record()
        outcome = merging.resolve(
            self._app.repository, record, into, os.fsencode(path.strip("/")),
            self._file(file) if file is not None else decision or "ours", row=_key_of(row),
            author=self._app.author, room=check_room(self._app),
        )  # fmt: skip
        return self._merged(record, outcome)

    def abort(self, into: str | None = None) -> None:
        """Give up the merge that waits; both branches are as they were. Raises NotFound (no_merge), Conflict
        (which_merge)."""
        record, repository = self._its_record(), self._app.repository
        repository.merges.drop(record, find_pending(repository, record, into))

    def protect(
        self, branch: str = MAIN, *, require: Sequence[str] = (), checks: Sequence[str] = ()
    ) -> Protection:
        """Let only merges move the branch, once all rules and commands hold for what would land. What was
        asked for before stays, unless "none" is among the rules, or among the commands.

        Rules: `schema[:PATHS]`, `no-nulls[:COLUMN[:PATHS]]`, `rows:MIN-MAX[:PATHS]`. Commands start in a
        folder with the files. Raises NotFound (unknown_revision), Invalid (bad_rule, not_a_branch).
        """
        done = protect(
            self._app.repository, self._its_record(), branch, author=self._app.author,
            require=_several(require), checks=_several(checks),
        )  # fmt: skip
        return Protection(done.now.require, done.now.checks, done.added, done.dropped)

    def unprotect(self, branch: str = MAIN) -> Protection | None:
        """Lift that; what had to hold, None where it was not protected. Raises NotFound (unknown_revision),
        Invalid (not_a_branch)."""
        was = unprotect(self._app.repository, self._its_record(), branch)
        return Protection(was.require, was.checks) if was else None

    def undo(self, ref: str = MAIN, *, to: str = "") -> Undone:
        """Take back the last move of a branch, tag or alias, or all since it was at the revision `to`; or,
        where it was removed, the removal, also of the dataset itself. It can be undone too.

        Raises NotFound (unknown_name, unknown_revision, collected, lost_log), Conflict (first_version,
        ref_moved, protected_branch, there_already), Invalid (never_there).
        """
        earlier = parse_revision(to) if to else None
        done = undo.undo(self._app.repository, self._name, ref, author=self._app.author, to=earlier)
        version = self._version(done.dataset, self._app.repository, done.commit) if done.commit else None
        waits = done.waits.source if done.waits else None
        return Undone(done.ref, version, done.returned, done.lost, waits)

    # Ways

    def _its_record(self) -> Record:
        return self._check(self._app.repository.names.get(self._name))

    def _file(self, given: Where) -> str:
        place = Path(self._app.folder, given)
        if not place.is_file():
            raise NotFound("no_such_file", f"There is no file {given}.", "Name a file that is there.")
        return str(place.absolute())

    def _merged(self, record: Record, outcome: merging.Outcome) -> Merged:
        if error := refusal(outcome):
            raise error
        return Merged(
            result=outcome.how, version=self._version(record, self._app.repository, outcome.commit),
            branch=outcome.request.branch, source=outcome.request.source,
            changes=Listing(map(change_of, outcome.changes)),
            conflicts=Listing(map(_conflict, left(outcome))),
            rows={os.fsdecode(table.clash.path): table.rows for table in outcome.plan.tables},
            gone=outcome.gone,
        )  # fmt: skip


def _conflict(one: Open) -> MergeConflict:
    rows = tuple(RowConflict(row.key, row.kind, row.base, row.ours, row.theirs) for row in one.rows)
    return MergeConflict(os.fsdecode(one.clash.path), one.clash.why, one.reason, rows, one.row_count)


def _key_of(row: Row | None) -> str:
    """As a person would write it at a prompt."""
    if row is None or isinstance(row, str | int):
        return "" if row is None else str(row)
    return ",".join(map(str, row))


def _several(given: Sequence[str]) -> Sequence[str]:
    """One is as good as a list of one."""
    return (given,) if isinstance(given, str) else given


def _no_side(what: str, said: str | None) -> UsageError:
    return UsageError(
        "usage",
        f'"{said}" is no side: {what} is "ours", which is the branch that is merged into, or "theirs", which'
        " is what comes in.",
        "To take a file of your own: .resolve(PATH, file=FILE).",
    )
