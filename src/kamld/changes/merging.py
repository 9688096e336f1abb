"""Merging a version into a branch. Without conflicts it lands; with some, nothing has changed, and the
merge waits in the hub until all are decided. It decides; what goes together is in `joining`.

Others may move the branch meanwhile: then all is looked at anew, and what was decided counts as long as
both sides still have at that path what they had.
"""

from collections.abc import Sequence
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Literal

import msgspec

from kamld import clock
from kamld.changes.bases import changes_since, find_base
from kamld.changes.checks import Failure, Room, failures
from kamld.changes.joining import Clash, Side, join, replaced, taken
from kamld.changes.pending import find_pending, into, still_waits
from kamld.changes.refs import find_branch, merged_into
from kamld.changes.rows import Chosen, Drafts, JoinedTable, Unjoined, join_rows, write_rows
from kamld.errors import Conflict, Invalid, NotFound
from kamld.formats.tables import RowConflict
from kamld.records.globs import Glob
from kamld.records.history import Dataset, Protection
from kamld.records.kinds import EXECUTABLE, FILE
from kamld.records.merging import PendingMerge, Resolution
from kamld.records.names import Name, Reference, parse_revision
from kamld.store import Change, Repository, Source, Version, purged
from kamld.store.commits import is_ancestor
from kamld.store.refs.landing import apply, is_conflict_branch, move_branch
from kamld.store.trees import diff
from kamld.store.trees.entries import Entry, renamed

_ONLY = "merged into"  # what nothing but a branch can be


@dataclass(frozen=True, slots=True)
class Request:
    """What is to be merged into what, and how conflicts are to be decided."""

    branch: str
    source: str  # as the person wrote it
    theirs: str  # commit
    key: tuple[str, ...] = ()
    prefer: Side | None = None  # whose files are taken where both changed them
    resolutions: tuple[Resolution, ...] = ()


@dataclass(slots=True)
class Plan:
    """What is to change in our tree; what is left to decide; what was decided."""

    changes: dict[bytes, Entry | None] = field(default_factory=dict)
    left: list[Clash] = field(default_factory=list)
    decided: list[Clash] = field(default_factory=list)
    tables: list[JoinedTable] = field(default_factory=list)
    apart: dict[bytes, Unjoined] = field(default_factory=dict)  # why tables could not be joined by rows
    named: list[RowConflict] = field(default_factory=list)  # rows that were asked for
    lacking: dict[bytes, str] = field(default_factory=dict)  # tables without the columns of the key; theirs
    keyed: bool = False  # whether any table has them
    folders: dict[bytes, tuple[int, int]] = field(default_factory=dict)  # files below clashes, of each side
    moved: dict[bytes, bytes] = field(default_factory=dict)  # where what one side removed is there now


@dataclass(frozen=True, slots=True)
class Outcome:
    """`nothing`: the branch had it already. `moved`: it needed no merge, nor a message. `waits`: `plan.left`
    says for what; after a dry run only if it did before, as `kept` says. `would`: a dry run that would end
    as `merged`. `refused`: the branch is protected, and `failures` says by what; `commit` is what would have
    been. `gone`: the branch that it came from, which had been made to keep a commit apart."""

    how: Literal["nothing", "moved", "merged", "waits", "would", "refused"]
    request: Request
    before: str
    commit: str
    changes: list[Change]
    plan: Plan
    protection: Protection | None = None  # of the branch
    failures: list[Failure] = field(default_factory=list)
    kept: bool = False
    gone: str | None = None
    made: tuple[Resolution, ...] = ()  # what was decided just now


def plan_merge(
    repository: Repository, ours: str, request: Request, *, row: tuple[bytes, str] | None = None,
    drafts: Drafts | None = None,
) -> Plan:  # fmt: skip
    """Nothing is written but drafts, where wanted, of tables whose rows go together. `row`: a path and a
    key, the conflicting rows with which are wanted.

    Raises Invalid (unknown_column) where no table that both changed has the columns of the request's key.
    """
    base = find_base(repository, ours, request.theirs)
    trees = [repository.tree(repository.commit(one)) for one in (ours, request.theirs)]
    mine, other = (changes_since(base, tree) for tree in trees)
    joined = join(mine, other)
    plan = Plan(changes=dict(joined.changes))
    for clash in joined.clashes:
        if len(clash.below) > 1:
            one, two = (sum(row.path != clash.path for row in t.under(clash.path).rows()) for t in trees)
            plan.folders[clash.path] = (one, two)
    decisions = {one.seen: one for one in request.resolutions}
    gone = _purged(repository, joined.clashes)
    for clash in joined.clashes:
        decision = decisions.get(clash.seen)
        if decision and decision.file:
            entry = Entry(clash.path, decision.kind, decision.size, bytes.fromhex(decision.file))
            plan.changes.update(replaced(clash, entry, mine))
            plan.decided.append(clash)
            continue
        side: Side | None = _side(decision.side) if decision else request.prefer
        named = (row[1],) if row and row[0] == clash.path else ()
        chosen = Chosen(_rows_decided(request, clash), side, named)
        lost = clash.purged(gone)
        table = (
            Unjoined(lost) if lost
            else join_rows(repository.objects, clash, request.key, chosen, drafts)
        )  # fmt: skip
        plan.named += chosen.found
        if table.lacking:
            plan.lacking[clash.path] = table.lacking
        elif isinstance(table, JoinedTable) or (table.reason and not lost):
            plan.keyed = True
        if isinstance(table, JoinedTable):
            plan.tables.append(table)
            plan.decided += [clash] if chosen.decided else []
        elif side and not (side == "theirs" and clash.theirs and clash.theirs.id in gone):
            plan.changes.update(taken(clash, side, mine, other))
            plan.decided.append(clash)
        else:
            plan.apart[clash.path] = table
            plan.left.append(clash)
    if any(clash.ours is None or clash.theirs is None for clash in plan.left):
        plan.moved = dict(renamed(mine.values())) | dict(renamed(other.values()))
    if request.key and plan.lacking and not plan.keyed:
        raise _no_such_key(request.key, plan.lacking)
    return plan


def _purged(repository: Repository, clashes: Sequence[Clash]) -> frozenset[bytes]:
    """Which contents that clash are not to be had any more: nobody may decide for those of theirs."""
    sides = (entry for clash in clashes for entry in (clash.base, clash.ours, clash.theirs))
    return repository.objects.purged([entry.id for entry in sides if entry]) if clashes else frozenset()


def _rows_decided(request: Request, clash: Clash) -> dict[str, Side]:
    """Of this table alone: another may have the same rows, and what a row was seen to be says not where."""
    path = _text(clash.path)
    return {one.seen: _side(one.side) for one in request.resolutions if one.row and one.path == path}


def _no_such_key(key: Sequence[str], lacking: dict[bytes, str]) -> Invalid:
    (path, has), *others = sorted(lacking.items())
    more = f" (and {len(others):,} more)" if others else ""
    word = f'a column "{key[0]}"' if len(key) == 1 else f'the columns "{", ".join(key)}"'
    return Invalid(
        "unknown_column", f"No table that both changed has {word}: not {_text(path)}{more}. {has}",
        "Name columns that are there, or leave --key out. Nothing has changed.",
    )  # fmt: skip


def _side(word: str) -> Side:
    return "ours" if word == "ours" else "theirs"


def merge(
    repository: Repository, dataset: Dataset, request: Request, *, author: str, message: str = "",
    dry_run: bool = False, room: Room | None = None,
) -> Outcome:  # fmt: skip
    """`dry_run`: no name moves and nothing waits; into a protected branch, what must hold is looked at all
    the same. Raises NotFound (unknown_revision), Conflict (merge_waiting, merge_changed), Invalid
    (unknown_column)."""
    with closing(Drafts()) as drafts:
        again = partial(_merge, repository, dataset, request, author, message, room, drafts, dry_run=dry_run)
        outcome = again()
        while outcome is None:  # from here on none of this machine overtakes it, however long it takes
            with repository.refs.turn(dataset, request.branch):
                outcome = again()
        return outcome


def _merge(
    repository: Repository, dataset: Dataset, request: Request, author: str, message: str, room: Room | None,
    drafts: Drafts, *, dry_run: bool,
) -> Outcome | None:  # fmt: skip
    """None: somebody was faster, and all is to be looked at anew."""
    ref = find_branch(repository, dataset, request.branch, _ONLY)
    ours, protection = ref.commit or "", ref.protection
    pending = repository.merges.find(dataset, request.branch)
    if pending and pending.theirs != request.theirs and not dry_run:
        if not is_ancestor(repository.objects, pending.theirs, ours):
            raise still_waits(dataset, pending)
        repository.merges.drop(dataset, pending)  # it has landed, and its end was cut off
        pending = None
    if is_ancestor(repository.objects, request.theirs, ours):
        if pending and not dry_run:
            repository.merges.drop(dataset, pending)
        return Outcome("nothing", request, ours, ours, [], Plan())
    message = message or (pending.message if pending and pending.theirs == request.theirs else "")
    ahead = not message and is_ancestor(repository.objects, ours, request.theirs)  # words need a commit
    writes = protection is not None or not dry_run  # checks need what would land; gc takes it away again
    plan = Plan() if ahead else plan_merge(repository, ours, request, drafts=drafts if writes else None)
    if plan.left and not dry_run:
        _keep(repository, dataset, pending, request, ours, author, message)
    if plan.left:
        kept = not dry_run or (pending is not None and pending.theirs == request.theirs)
        return Outcome("waits", request, ours, ours, [], plan, kept=kept)
    if not writes:
        return Outcome("would", request, ours, ours, [], plan)
    made = None if ahead else _write(repository, ours, request, plan, author, message)
    target = made.commit_id if made else request.theirs  # `made` holds a lease for as long as it lives
    reason = f"merge: {request.source}"
    with repository.kept(dataset, target):
        failed = failures(repository, protection, ours, target, room) if protection else []
        if failed:
            return Outcome("refused", request, ours, target, [], plan, protection, failed)
        if dry_run:
            return Outcome("would", request, ours, ours, [], plan, protection)
        moved = move_branch(
            repository.refs, dataset, request.branch, target, ours, author, reason, protection
        )
    if moved is None:
        return None
    if pending:
        repository.merges.drop(dataset, pending)
    gone = _tidy(repository, dataset, request, author)
    was, now = (repository.tree(repository.commit(one)) for one in (ours, target))
    how: Literal["moved", "merged"] = "moved" if ahead else "merged"
    return Outcome(how, request, ours, target, diff(was, now), plan, protection, gone=gone)


def asked(
    repository: Repository, dataset: Dataset, source: str, branch: str, key: tuple[str, ...] = (),
    prefer: Side | None = None,
) -> Request:  # fmt: skip
    """What a person asks for: `source` is a revision, perhaps with the dataset's name before it. Goes on
    with the merge that waits, if it is that one. Raises NotFound, Invalid."""
    word = source.removeprefix(f"{dataset.project}/").removeprefix(dataset.name).removeprefix("@")
    word = word if "@" in source else source
    reference = Reference(Name(dataset.project, dataset.name), parse_revision(word))
    theirs = repository.resolve(reference).commit_id
    pending = repository.merges.find(dataset, branch)
    same = pending if pending and pending.theirs == theirs else None
    return Request(
        branch, word, theirs, key or (same.key if same else ()), prefer, same.resolutions if same else ()
    )  # fmt: skip


def resume(pending: PendingMerge, prefer: Side | None = None) -> Request:
    return Request(
        pending.branch, pending.source, pending.theirs, pending.key, prefer, pending.resolutions
    )  # fmt: skip


def resolve(
    repository: Repository, dataset: Dataset, branch: str | None, path: bytes, decision: Side | str, *,
    author: str, row: str = "", room: Room | None = None,
) -> Outcome:  # fmt: skip
    """Decide about a path, about all that is in a folder or has a pattern, or about the row of the table
    there that has this key: "ours", "theirs", or (a path only) the name of a file to be taken instead, in
    full. The last decision lands the merge.

    A side for a table whose rows go together is about the rows that conflict. `branch` as in `find_pending`.
    Raises NotFound (no_merge, no_conflict, unknown_revision), Conflict (merge_changed, which_merge), Invalid
    (ambiguous_row), and Conflict (purged_content) for theirs where that was purged.
    """
    pending = find_pending(repository, dataset, branch)
    ours = find_branch(repository, dataset, pending.branch, _ONLY).commit or ""
    if is_ancestor(repository.objects, pending.theirs, ours):  # it has landed, and its end was cut off
        return merge(repository, dataset, resume(pending), author=author, room=room)
    plan = plan_merge(repository, ours, resume(pending), row=(path, row) if row else None)
    clashes, rows = (*plan.left, *plan.decided), plan.named
    exact = [one for one in clashes if one.path == path]
    found = exact if exact or row or decision not in ("ours", "theirs") else _matching(clashes, path)
    if not found or (row and not rows):
        raise _no_conflict(dataset, pending, path, row)
    if len(rows) > 1:
        raise Invalid(
            "ambiguous_row", f'{len(rows)} rows that conflict have the key "{row}".', "Decide the file whole."
        )
    if decision == "theirs" and not rows:
        _check_there(repository, dataset, pending, found)
    with ExitStack() as written:  # until the merge leads to it, what is written is kept by its writer
        if rows:
            made = [Resolution(path=_text(path), seen=rows[0].seen, row=rows[0].key, side=decision)]
        else:
            made = [_resolution(repository, written, clash, decision) for clash in found]
        again = {(one.path, one.row) for one in made}
        texts, valid = {_text(one.path) for one in clashes}, {one.seen for one in clashes}
        kept = [
            one for one in pending.resolutions
            if (one.path, one.row) not in again
            and (one.seen in valid or (one.row and one.path in texts))
        ]  # fmt: skip
        after = msgspec.structs.replace(pending, resolutions=(*kept, *made), ours=ours)
        repository.merges.keep(dataset, pending, after)
    outcome = merge(repository, dataset, resume(after), author=author, room=room)
    return replace(outcome, made=tuple(made))


def _check_there(
    repository: Repository, dataset: Dataset, pending: PendingMerge, clashes: Sequence[Clash]
) -> None:
    """Raises Conflict (purged_content): what was purged would only be a hole in the version to be."""
    gone = _purged(repository, clashes)
    for clash in clashes:
        if clash.theirs and clash.theirs.id in gone and (hole := repository.objects.hole(clash.theirs.id)):
            path = _text(clash.path)
            raise Conflict(
                "purged_content",
                f"What {pending.source} has at {path} is not to be had: {purged(hole).message}"
                " Nothing was decided.",
                "Decide for ours, or for a file of your own;"
                f" kamld merge {dataset.said}{into(pending.branch)} shows what there is to decide.",
            )


def _matching(clashes: Sequence[Clash], path: bytes) -> list[Clash]:
    """Those in a folder, or with paths of a pattern."""
    glob = Glob(path.decode("utf-8", "surrogateescape"))
    return [one for one in clashes if glob.matches(one.path.decode("utf-8", "surrogateescape"))]


def _no_conflict(dataset: Dataset, pending: PendingMerge, path: bytes, row: str) -> NotFound:
    what = f'row "{row}" of "{_text(path)}"' if row else f'"{_text(path)}"'
    return NotFound(
        "no_conflict",
        f"There is no conflict about {what} in the merge of {pending.source} into {pending.branch}.",
        f"kamld merge {dataset.said}{into(pending.branch)} shows what there is to decide.",
    )


def _resolution(repository: Repository, written: ExitStack, clash: Clash, decision: Side | str) -> Resolution:
    path = _text(clash.path)
    if decision in ("ours", "theirs"):
        return Resolution(path=path, seen=clash.seen, side=decision)
    writer = written.enter_context(repository.writer())
    (file,) = writer.put_files([Source(decision, 0)])
    writer.flush()
    writer.check_awake()
    kind = EXECUTABLE if file.state.mode & 0o100 else FILE
    return Resolution(path=path, seen=clash.seen, file=file.id.hex(), size=file.state.size, kind=kind)


def _text(path: bytes) -> str:
    return path.decode("utf-8", "backslashreplace")


def _keep(
    repository: Repository, dataset: Dataset, pending: PendingMerge | None, request: Request, ours: str,
    author: str, message: str,
) -> None:  # fmt: skip
    wanted = PendingMerge(
        dataset=dataset.id, branch=request.branch, source=request.source, theirs=request.theirs, ours=ours,
        author=pending.author if pending else author, time=pending.time if pending else clock.now(),
        key=request.key, resolutions=request.resolutions or (pending.resolutions if pending else ()),
        message=message,
    )  # fmt: skip
    if wanted != pending:
        repository.merges.keep(dataset, pending, wanted)


def _write(
    repository: Repository, ours: str, request: Request, plan: Plan, author: str, message: str
) -> Version:
    """The merge as a durable commit that no ref names yet."""
    with repository.writer() as writer:
        made: dict[bytes, Entry | None] = dict(plan.changes)
        for table in plan.tables:
            made[table.clash.path] = write_rows(writer, table)
        entries = apply(repository.tree(repository.commit(ours)).entries(), _as_changes(made))
        return repository.write_version(
            writer, entries, parents=(ours, request.theirs), author=author,
            message=message or f"merge {request.source} into {request.branch}",
        )  # fmt: skip


def _as_changes(made: dict[bytes, Entry | None]) -> list[Change]:
    return [Change(path, None, entry) for path, entry in made.items()]


def _tidy(repository: Repository, dataset: Dataset, request: Request, author: str) -> str | None:
    """A branch that a commit was kept apart on has had its use once it is merged, unless somebody went on
    there meanwhile, or protected it. Undo of the merge brings it back."""
    ref = repository.refs.find(dataset, request.source)
    if ref and ref.commit == request.theirs and is_conflict_branch(request.source, request.branch):
        with suppress(Conflict, NotFound):
            repository.refs.move(
                dataset, ref.name, ref.kind, None, expected=ref.commit, after=ref.last, author=author,
                reason=merged_into(request.branch),
            )  # fmt: skip
            return ref.name
    return None
