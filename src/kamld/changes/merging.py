"""Merging a version into a branch. Without conflicts it lands; with some, nothing has changed, and the
merge waits in the hub until all are decided. It decides; what goes together is in `joining`.

Others may move the branch meanwhile: then all is looked at anew, and what was decided counts as long as
both sides still have at that path what they had.
"""

from collections.abc import Sequence
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Literal

import msgspec

from kamld import clock
from kamld.changes.bases import changes_since, find_base
from kamld.changes.checks import Failure, Room, failures
from kamld.changes.joining import Clash, Side, join, replaced, taken
from kamld.changes.rows import Chosen, Drafts, JoinedTable, Unjoined, join_rows, write_rows
from kamld.errors import Conflict, Invalid, NotFound
from kamld.formats.tables import RowConflict
from kamld.records.globs import Glob
from kamld.records.history import Dataset, Protection
from kamld.records.merging import PendingMerge, Resolution
from kamld.records.names import Name, Reference, parse_revision
from kamld.store import Change, Repository, Source, Version
from kamld.store.commits import is_ancestor
from kamld.store.refs.landing import apply, is_conflict_branch, move_branch
from kamld.store.trees import EXECUTABLE, FILE, Entry, diff


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


@dataclass(frozen=True, slots=True)
class Outcome:
    """`nothing`: the branch had it already. `moved`: it needed no merge. `waits`: `plan.left` says for
    what. `would`: a dry run that would end as `merged`. `refused`: the branch is protected, and
    `failures` says by what; `commit` is what would have been."""

    how: Literal["nothing", "moved", "merged", "waits", "would", "refused"]
    request: Request
    before: str
    commit: str
    changes: list[Change]
    plan: Plan
    protection: Protection | None = None  # of the branch
    failures: list[Failure] = field(default_factory=list)


def plan_merge(
    repository: Repository, ours: str, request: Request, *, row: tuple[bytes, str] | None = None,
    drafts: Drafts | None = None,
) -> Plan:  # fmt: skip
    """Nothing is written but drafts, where wanted, of tables whose rows go together. `row`: a path and a
    key, the conflicting rows with which are wanted."""
    base = find_base(repository, ours, request.theirs)
    mine = changes_since(base, repository.tree(repository.commit(ours)))
    other = changes_since(base, repository.tree(repository.commit(request.theirs)))
    joined = join(mine, other)
    plan = Plan(changes=dict(joined.changes))
    decisions = {one.seen: one for one in request.resolutions}
    by_row = {one.seen: _side(one.side) for one in request.resolutions if one.row}
    for clash in joined.clashes:
        decision = decisions.get(clash.seen)
        if decision and decision.file:
            entry = Entry(clash.path, decision.kind, decision.size, bytes.fromhex(decision.file))
            plan.changes.update(replaced(clash, entry, mine))
            plan.decided.append(clash)
            continue
        side: Side | None = _side(decision.side) if decision else request.prefer
        chosen = Chosen(by_row, side, (row[1],) if row and row[0] == clash.path else ())
        table = join_rows(repository.objects, clash, request.key, chosen, drafts)
        plan.named += chosen.found
        if isinstance(table, JoinedTable):
            plan.tables.append(table)
            plan.decided += [clash] if chosen.decided else []
        elif side:
            plan.changes.update(taken(clash, side, mine, other))
            plan.decided.append(clash)
        else:
            plan.apart[clash.path] = table
            plan.left.append(clash)
    return plan


def _side(word: str) -> Side:
    return "ours" if word == "ours" else "theirs"


def merge(
    repository: Repository, dataset: Dataset, request: Request, *, author: str, message: str = "",
    dry_run: bool = False, room: Room | None = None,
) -> Outcome:  # fmt: skip
    """Raises NotFound (unknown_ref), Conflict (merge_waiting, merge_changed)."""
    with closing(Drafts()) as drafts:
        again = partial(
            _merge, repository, dataset, request, author, message, room, None if dry_run else drafts
        )
        outcome = again()
        while outcome is None:  # from here on none of this machine overtakes it, however long it takes
            with repository.refs.turn(dataset, request.branch):
                outcome = again()
        return outcome


def _merge(
    repository: Repository, dataset: Dataset, request: Request, author: str, message: str, room: Room | None,
    drafts: Drafts | None,
) -> Outcome | None:  # fmt: skip
    """None: somebody was faster, and all is to be looked at anew."""
    dry_run = drafts is None
    ours, protection = _head(repository, dataset, request.branch)
    pending = repository.merges.find(dataset, request.branch)
    if pending and pending.theirs != request.theirs and not dry_run:
        if not is_ancestor(repository.objects, pending.theirs, ours):
            raise _waiting(dataset, pending)
        repository.merges.drop(dataset, pending)  # it has landed, and its end was cut off
        pending = None
    if is_ancestor(repository.objects, request.theirs, ours):
        if pending and not dry_run:
            repository.merges.drop(dataset, pending)
        return Outcome("nothing", request, ours, ours, [], Plan())
    ahead = is_ancestor(repository.objects, ours, request.theirs)
    plan = Plan() if ahead else plan_merge(repository, ours, request, drafts=drafts)
    if plan.left and not dry_run:
        _keep(repository, dataset, pending, request, ours, author)
    if plan.left:
        return Outcome("waits", request, ours, ours, [], plan)
    if dry_run:
        return Outcome("would", request, ours, ours, [], plan, protection)
    made = None if ahead else _write(repository, ours, request, plan, author, message)
    target = made.commit_id if made else request.theirs  # `made` holds a lease for as long as it lives
    reason = f"merge: {request.source}"
    with repository.kept(dataset, target):
        failed = failures(repository, protection, ours, target, room) if protection else []
        if failed:
            return Outcome("refused", request, ours, target, [], plan, protection, failed)
        moved = move_branch(
            repository.refs, dataset, request.branch, target, ours, author, reason, protection
        )
    if moved is None:
        return None
    if pending:
        repository.merges.drop(dataset, pending)
    _tidy(repository, dataset, request, author)
    was, now = (repository.tree(repository.commit(one)) for one in (ours, target))
    how: Literal["moved", "merged"] = "moved" if ahead else "merged"
    return Outcome(how, request, ours, target, diff(was, now), plan, protection)


def asked(
    repository: Repository, dataset: Dataset, source: str, branch: str, key: tuple[str, ...] = (),
    prefer: Side | None = None,
) -> Request:  # fmt: skip
    """What a person asks for: `source` is a revision, perhaps with the dataset's name before it. Goes on
    with the merge that waits, if it is that one. Raises NotFound, Invalid."""
    word = source.removeprefix(dataset.name).removeprefix("@") if "@" in source else source
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


def find_pending(repository: Repository, dataset: Dataset, branch: str) -> PendingMerge:
    """Raises NotFound (no_merge)."""
    pending = repository.merges.find(dataset, branch)
    if pending is None:
        raise NotFound(
            "no_merge",
            f"No merge into {branch} of {dataset.name} waits for anybody.",
            f"Begin one: kamld merge {dataset.name} FROM --into {branch}",
        )
    return pending


def resolve(
    repository: Repository, dataset: Dataset, branch: str, path: bytes, decision: Side | str, *,
    author: str, row: str = "", room: Room | None = None,
) -> Outcome:  # fmt: skip
    """Decide about a path, about all that is in a folder or has a pattern, or about the row of the table
    there that has this key: "ours", "theirs", or (a path only) the name of a file to be taken instead, in
    full. The last decision lands the merge.

    A side for a table whose rows go together is about the rows that conflict. Raises NotFound (no_merge,
    no_conflict, unknown_ref), Conflict (merge_changed), Invalid (ambiguous_row).
    """
    pending = find_pending(repository, dataset, branch)
    ours, _ = _head(repository, dataset, branch)
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
    return merge(repository, dataset, resume(after), author=author, room=room)


def _matching(clashes: Sequence[Clash], path: bytes) -> list[Clash]:
    """Those in a folder, or with paths of a pattern."""
    glob = Glob(path.decode("utf-8", "surrogateescape"))
    return [one for one in clashes if glob.matches(one.path.decode("utf-8", "surrogateescape"))]


def _no_conflict(dataset: Dataset, pending: PendingMerge, path: bytes, row: str) -> NotFound:
    what = f'row "{row}" of "{_text(path)}"' if row else f'"{_text(path)}"'
    into = "" if pending.branch == "main" else f" --into {pending.branch}"
    return NotFound(
        "no_conflict",
        f"There is no conflict about {what} in the merge of {pending.source} into {pending.branch}.",
        f"kamld merge {dataset.name}{into} shows what there is to decide.",
    )


def _resolution(repository: Repository, written: ExitStack, clash: Clash, decision: Side | str) -> Resolution:
    path = _text(clash.path)
    if decision in ("ours", "theirs"):
        return Resolution(path=path, seen=clash.seen, side=decision)
    writer = written.enter_context(repository.writer())
    (file,) = writer.put_files([Source(decision, 0)])
    writer.flush()
    writer.check_awake()
    kind = EXECUTABLE if file.state.st_mode & 0o100 else FILE
    return Resolution(path=path, seen=clash.seen, file=file.id.hex(), size=file.state.st_size, kind=kind)


def _text(path: bytes) -> str:
    return path.decode("utf-8", "backslashreplace")


def _head(repository: Repository, dataset: Dataset, branch: str) -> tuple[str, Protection | None]:
    ref = repository.refs.find(dataset, branch)
    if ref is None or ref.commit is None:
        raise NotFound(
            "unknown_ref",
            f'{dataset.name} has no branch "{branch}".',
            f"kamld branch {dataset.name} shows those there are.",
        )
    if ref.kind != "branch":
        raise Invalid("not_a_branch", f"{branch} is a {ref.kind}; only a branch can be merged into.")
    return ref.commit, ref.protection


def _keep(
    repository: Repository, dataset: Dataset, pending: PendingMerge | None, request: Request, ours: str,
    author: str,
) -> None:  # fmt: skip
    wanted = PendingMerge(
        dataset=dataset.id, branch=request.branch, source=request.source, theirs=request.theirs, ours=ours,
        author=pending.author if pending else author, time=pending.time if pending else clock.now(),
        key=request.key, resolutions=request.resolutions or (pending.resolutions if pending else ()),
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


def _tidy(repository: Repository, dataset: Dataset, request: Request, author: str) -> None:
    """A branch that a commit was kept apart on has had its use once it is merged, unless somebody went on
    there meanwhile, or protected it."""
    ref = repository.refs.find(dataset, request.source)
    if ref and ref.commit == request.theirs and is_conflict_branch(request.source, request.branch):
        with suppress(Conflict, NotFound):
            repository.refs.move(
                dataset, ref.name, ref.kind, None, expected=ref.commit, after=ref.last, author=author,
                reason=f"merged into {request.branch}",
            )  # fmt: skip


def _waiting(dataset: Dataset, pending: PendingMerge) -> Conflict:
    into = "" if pending.branch == "main" else f" --into {pending.branch}"
    return Conflict(
        "merge_waiting",
        f"A merge of {pending.source} into {pending.branch} of {dataset.name} waits for decisions.",
        f"See it: kamld merge {dataset.name}{into}; give it up: kamld merge {dataset.name}{into} --abort",
    )
