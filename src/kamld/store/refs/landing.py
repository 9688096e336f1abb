"""Landing a commit on a branch that others move too: nothing is refused, nothing is lost.

If the branch still is where the commit began, it moves. If others were faster, changes to different
paths are merged; where both changed one path differently, or the branch is protected, the commit is kept
as a branch of its own and said so. What is inside files is none of the store's business: tables
that both changed are joined above it, by kamld.changes.

A commit that was made from a version which is the branch's no more, since that was taken back or replaced,
must not bring that one back: only what it changed is carried over, as a commit after the branch's newest.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Literal

from kamld import clock, ids
from kamld.errors import Conflict, NotFound
from kamld.records.history import Commit, Dataset, Move, Protection
from kamld.records.kinds import FOLDER
from kamld.store import trees
from kamld.store.commits import merge_base, reached, read_commit
from kamld.store.objects import Objects
from kamld.store.refs.expiry import check_kept
from kamld.store.refs.moves import Refs
from kamld.store.trees import Tree
from kamld.store.trees.entries import Change, Entries, Entry, entries_of

_KEPT = re.compile(r"-conflict-[0-9a-f]{12}(-again)*$")
_SKEW = timedelta(days=1)  # by which the clocks of two machines may differ


@dataclass(frozen=True, slots=True)
class Landed:
    """`carried`: what the commit changed is in `head`, for what it was made from is the branch's no more."""

    how: Literal["moved", "merged", "carried", "kept"]
    branch: str  # where the commit can be found now
    head: str  # that branch's commit
    move: Move
    conflicts: tuple[bytes, ...] = ()  # paths that both sides changed, when `kept`
    protected: bool = False  # why it was kept: only a merge moves the branch
    gone: "Gone | None" = None  # of the version that it was made from

    @property
    def meant_for(self) -> str:
        """The branch that it was to land on."""
        return meant_for(self.branch) if self.how == "kept" else self.branch


@dataclass(frozen=True, slots=True)
class Step:
    """What to do next with a commit: nothing, for the branch has it; move the branch to it; merge
    it first; carry over what it changed; or keep it apart."""

    how: Literal["nothing", "move", "merge", "carry", "keep"]
    changes: tuple[Change, ...] = ()  # to be made in the head's tree, to merge or carry
    conflicts: tuple[bytes, ...] = ()
    protected: bool = False
    gone: "Gone | None" = None


LANDED: dict[str, Literal["moved", "merged", "carried"]] = {
    "move": "moved", "merge": "merged", "carry": "carried",
}  # fmt: skip


def plan(
    objects: Objects, head: str | None, commit_id: str, commit: Commit, gone: Callable[[str], "Gone | None"]
) -> Step:
    """How `commit` can get onto a branch whose head is `head`. `gone`: why a version that is not among
    those before `head` is the branch's no more, if it was once."""
    if head is None or head in commit.parents:
        return Step("move")
    base = merge_base(objects, commit_id, head)
    if base == commit_id:
        return Step("nothing")
    alone = commit.parents[0] if len(commit.parents) == 1 else None  # else a merge, which says for itself
    why = gone(alone) if alone and alone != base else None
    if base == head and why is None:
        return Step("move")
    base = alone if why else base
    base_tree = _kept_tree(objects, base) if base else None
    ours = trees.diff(base_tree, Tree(objects, bytes.fromhex(commit.tree)))
    theirs = trees.diff(base_tree, Tree(objects, bytes.fromhex(read_commit(objects, head).tree)))
    conflicts = clashes(ours, theirs)
    if conflicts:
        return Step("keep", conflicts=conflicts, gone=why)
    return Step("carry" if why and _is_by_hand(commit) else "merge", changes=tuple(ours), gone=why)


def _is_by_hand(commit: Commit) -> bool:
    """Else its record says where its very files came from, which holds for no others."""
    return not (commit.run or commit.origin or commit.split or commit.imported)


def _kept_tree(objects: Objects, commit_id: str) -> Tree | None:
    """None: a checkpoint that expired; then nobody knows what either side had before."""
    commit = read_commit(objects, commit_id)
    try:
        check_kept(objects, commit)
    except NotFound:
        return None
    return Tree(objects, bytes.fromhex(commit.tree))


@dataclass(frozen=True, slots=True)
class Gone:
    """Why a version that was a branch's once is so no more."""

    how: Literal["taken back", "replaced", "carried"]


def gone_from(objects: Objects, refs: Refs, dataset: Dataset, branch: str, commit_id: str) -> Gone | None:
    """None: it never was the branch's. The caller knows that it is not among those before its head."""
    later: Move | None = None
    named: list[str] = []
    oldest = clock.text(clock.moment(read_commit(objects, commit_id).time) - _SKEW)
    head: str | None = None
    for move in refs.history(dataset, branch):
        head = head or move.commit
        if move.carries == commit_id and _is_before(objects, move.commit, head):
            return Gone("carried")
        if commit_id in (move.commit, move.carries):
            return Gone("replaced" if later and later.amends else "taken back")
        if move.time < oldest:  # nothing that it could be part of was there yet
            break
        named += [move.commit] if move.commit else []
        later = move
    kept = [one for one in named if objects.has(bytes.fromhex(one))]  # others were collected
    return Gone("taken back") if kept and reached(objects, kept, [commit_id]) else None


def _is_before(objects: Objects, commit_id: str | None, head: str | None) -> bool:
    """Whether a branch that is at `head` still has this commit, which may have been collected."""
    if not commit_id or not head or not objects.has(bytes.fromhex(commit_id)):
        return False
    return bool(reached(objects, [head], [commit_id]))


def clashes(ours: list[Change], theirs: list[Change]) -> tuple[bytes, ...]:
    """Paths that cannot hold both changes: changed differently, or a file where a folder is now."""
    other = {change.path: change.new for change in theirs}
    found = [c.path for c in ours if c.path in other and not _same(c.new, other[c.path])]
    for one, two in ((ours, theirs), (theirs, ours)):
        files = {c.path for c in two if c.new and c.new.kind != FOLDER}
        found += [c.path for c in one if c.new and any(p in files for p in _parents(c.path))]
    return tuple(sorted(set(found)))


def apply(entries: Entries, changes: list[Change]) -> Entries:
    """The entries with the changes made, sorted. An empty folder that got a file is none any more."""
    rows = {row.path: row for row in entries.rows()}
    for change in changes:
        if change.new:
            rows[change.path] = change.new
        else:
            rows.pop(change.path, None)
    if any(row.kind == FOLDER for row in rows.values()):
        filled = {parent for path in rows for parent in _parents(path)}
        rows = {path: row for path, row in rows.items() if path not in filled}
    return entries_of([rows[path] for path in sorted(rows)])


def conflict_branch(branch: str, commit_id: str) -> str:
    return f"{branch}-conflict-{ids.short(commit_id)}"


def is_conflict_branch(name: str, branch: str) -> bool:
    """Whether landing made it, for a commit that was meant for `branch`."""
    return name != branch and meant_for(name) == branch


def meant_for(name: str) -> str:
    """The branch whose commit this one was made for, where landing kept it apart; else this one."""
    return _KEPT.sub("", name)


def move_branch(
    refs: Refs, dataset: Dataset, branch: str, commit_id: str, head: str | None, author: str,
    reason: str, passed: Protection | None = None, carries: str | None = None,
) -> Move | None:  # fmt: skip
    """The move to a commit that comes after `head`, or None if the branch was moved by somebody else
    meanwhile, or protected by other rules than those that `passed`."""
    try:
        return refs.move(
            dataset, branch, "branch", commit_id, expected=head, author=author, reason=reason,
            forward=head is not None, passed=passed, carries=carries,
        )  # fmt: skip
    except (Conflict, NotFound) as error:
        if error.code in ("ref_moved", "unknown_ref", "protected_branch"):
            return None
        raise


def _same(a: Entry | None, b: Entry | None) -> bool:
    return (a.id, a.kind) == (b.id, b.kind) if a and b else a is b


def _parents(path: bytes) -> list[bytes]:
    parts = path.split(b"/")
    return [b"/".join(parts[:n]) for n in range(1, len(parts))]
