"""Merging a version into a branch. Without conflicts it lands; with some, nothing has changed, and the
merge waits in the hub until all are decided. It decides; what goes together is in `joining`.

Others may move the branch meanwhile: then all is looked at anew, and what was decided counts as long as
both sides still have at that path what they had.
"""

from dataclasses import dataclass, field
from typing import Literal

import msgspec

from kamld import clock
from kamld.changes.bases import changes_since, find_base
from kamld.changes.joining import Clash, Side, join, replaced, taken
from kamld.changes.rows import JoinedTable, join_rows, write_rows
from kamld.errors import Conflict, Invalid, NotFound
from kamld.records.history import Dataset
from kamld.records.merging import PendingMerge, Resolution
from kamld.store import Change, Repository, Source
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
    reasons: dict[bytes, str] = field(default_factory=dict)  # why a table could not be joined by rows


@dataclass(frozen=True, slots=True)
class Outcome:
    """`nothing`: the branch had it already. `moved`: it needed no merge. `waits`: `plan.left` says for
    what. `would`: a dry run that would end as `merged`."""

    how: Literal["nothing", "moved", "merged", "waits", "would"]
    request: Request
    before: str
    commit: str
    changes: list[Change]
    plan: Plan


def plan_merge(repository: Repository, ours: str, request: Request) -> Plan:
    """Pure: nothing is written."""
    base = find_base(repository, ours, request.theirs)
    mine = changes_since(base, repository.tree(repository.commit(ours)))
    other = changes_since(base, repository.tree(repository.commit(request.theirs)))
    joined = join(mine, other)
    plan = Plan(changes=dict(joined.changes))
    decisions = {one.seen: one for one in request.resolutions}
    for clash in joined.clashes:
        decision = decisions.get(clash.seen)
        if decision and decision.file:
            entry = Entry(clash.path, decision.kind, decision.size, bytes.fromhex(decision.file))
            plan.changes.update(replaced(clash, entry, mine))
        elif decision:
            plan.changes.update(taken(clash, "ours" if decision.side == "ours" else "theirs", mine, other))
        else:
            table = join_rows(repository.objects, clash, request.key)
            if isinstance(table, JoinedTable):
                plan.tables.append(table)
                continue
            if table:
                plan.reasons[clash.path] = table
            if request.prefer is None:
                plan.left.append(clash)
                continue
            plan.changes.update(taken(clash, request.prefer, mine, other))
        plan.decided.append(clash)
    return plan


def merge(
    repository: Repository, dataset: Dataset, request: Request, *, author: str, message: str = "",
    dry_run: bool = False,
) -> Outcome:  # fmt: skip
    """Raises NotFound (unknown_ref), Conflict (merge_waiting, merge_changed)."""
    while True:
        ours = _head(repository, dataset, request.branch)
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
        plan = Plan() if ahead else plan_merge(repository, ours, request)
        if plan.left and not dry_run:
            _keep(repository, dataset, pending, request, ours, author)
        if plan.left:
            return Outcome("waits", request, ours, ours, [], plan)
        if dry_run:
            return Outcome("would", request, ours, ours, [], plan)
        target = request.theirs if ahead else _write(repository, ours, request, plan, author, message)
        reason = f"merge: {request.source}"
        with repository.kept(target):
            moved = move_branch(repository.refs, dataset, request.branch, target, ours, author, reason)
        if moved:
            if pending:
                repository.merges.drop(dataset, pending)
            _tidy(repository, dataset, request, author)
            trees = [repository.tree(repository.commit(one)) for one in (ours, target)]
            how: Literal["moved", "merged"] = "moved" if ahead else "merged"
            return Outcome(how, request, ours, target, diff(*trees), plan)


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
    author: str,
) -> Outcome:  # fmt: skip
    """Decide about a path: "ours", "theirs", or the name of a file to be taken instead, in full. The last
    decision lands the merge. Raises NotFound (no_merge, no_conflict, unknown_ref), Conflict (merge_changed).
    """
    pending = find_pending(repository, dataset, branch)
    ours = _head(repository, dataset, branch)
    plan = plan_merge(repository, ours, resume(pending))
    clash = next((one for one in (*plan.left, *plan.decided) if one.path == path), None)
    if clash is None:
        shown = path.decode("utf-8", "backslashreplace")
        raise NotFound(
            "no_conflict",
            f'There is no conflict about "{shown}" in the merge of {pending.source} into {branch}.',
            f"kamld merge {dataset.name} --into {branch} shows what there is to decide.",
        )
    made = _resolution(repository, clash, decision)
    valid = {one.seen for one in (*plan.left, *plan.decided)} - {clash.seen}
    kept = tuple(one for one in pending.resolutions if one.seen in valid)
    after = msgspec.structs.replace(pending, resolutions=(*kept, made), ours=ours)
    repository.merges.keep(dataset, pending, after)
    return merge(repository, dataset, resume(after), author=author)


def _resolution(repository: Repository, clash: Clash, decision: Side | str) -> Resolution:
    path = clash.path.decode("utf-8", "backslashreplace")
    if decision in ("ours", "theirs"):
        return Resolution(path=path, seen=clash.seen, side=decision)
    with repository.writer() as writer:
        (written,) = writer.put_files([Source(decision, 0)])
    kind = EXECUTABLE if written.state.st_mode & 0o100 else FILE
    return Resolution(
        path=path, seen=clash.seen, file=written.id.hex(), size=written.state.st_size, kind=kind
    )


def _head(repository: Repository, dataset: Dataset, branch: str) -> str:
    ref = repository.refs.find(dataset, branch)
    if ref is None or ref.commit is None:
        raise NotFound(
            "unknown_ref",
            f'{dataset.name} has no branch "{branch}".',
            f"kamld branch {dataset.name} shows those there are.",
        )
    if ref.kind != "branch":
        raise Invalid("not_a_branch", f"{branch} is a {ref.kind}; only a branch can be merged into.")
    return ref.commit


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


def _write(repository: Repository, ours: str, request: Request, plan: Plan, author: str, message: str) -> str:
    """The merge as a durable commit that no ref names yet."""
    with repository.writer() as writer:
        made: dict[bytes, Entry | None] = dict(plan.changes)
        for table in plan.tables:
            made[table.clash.path] = write_rows(repository.objects, writer, table, request.key)
        entries = apply(repository.tree(repository.commit(ours)).entries(), _as_changes(made))
        version = repository.write_version(
            writer, entries, parents=(ours, request.theirs), author=author,
            message=message or f"merge {request.source} into {request.branch}",
        )  # fmt: skip
    return version.commit_id


def _as_changes(made: dict[bytes, Entry | None]) -> list[Change]:
    return [Change(path, None, entry) for path, entry in made.items()]


def _tidy(repository: Repository, dataset: Dataset, request: Request, author: str) -> None:
    """A branch that a commit was kept apart on has had its use once it is merged."""
    ref = repository.refs.find(dataset, request.source)
    if ref and ref.commit == request.theirs and is_conflict_branch(request.source, request.branch):
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
