"""Landing a commit on a branch that others move too: nothing is refused, nothing is lost.

If the branch still is where the commit began, it moves. If others were faster, changes to different
paths are merged; where both changed one path differently, or the branch is protected, the commit is kept
as a branch of its own and said so. What is inside files is none of the store's business: tables
that both changed are joined above it, by kamld.changes.
"""

import re
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

from kamld import ids
from kamld.errors import Conflict, NotFound
from kamld.records.history import Commit, Dataset, Move, Protection, Ref
from kamld.store import trees
from kamld.store.commits import merge_base, read_commit
from kamld.store.objects import Objects
from kamld.store.refs.expiry import check_kept
from kamld.store.refs.moves import Refs
from kamld.store.trees import Change, Entry, Tree

_KEPT = re.compile(r"-conflict-[0-9a-f]{12}(-again)*$")


@dataclass(frozen=True, slots=True)
class Landed:
    how: Literal["moved", "merged", "kept"]
    branch: str  # where the commit can be found now
    head: str  # that branch's commit
    move: Move
    conflicts: tuple[bytes, ...] = ()  # paths that both sides changed, when `kept`
    protected: bool = False  # why it was kept: only a merge moves the branch

    @property
    def meant_for(self) -> str:
        """The branch that it was to land on."""
        return _KEPT.sub("", self.branch) if self.how == "kept" else self.branch


@dataclass(frozen=True, slots=True)
class Step:
    """What to do next with a commit: nothing, for the branch has it; move the branch to it; merge
    it first; or keep it apart."""

    how: Literal["nothing", "move", "merge", "keep"]
    changes: tuple[Change, ...] = ()  # to be made in the head's tree, to merge
    conflicts: tuple[bytes, ...] = ()


def plan(
    objects: Objects, head: str | None, commit_id: str, commit: Commit, amended: str | None = None
) -> Step:
    """Pure: how `commit` can get onto a branch whose head is `head`. `amended`: a commit from which both
    began, though it was amended since and so is not among those before `head`."""
    if head is None or head in commit.parents:
        return Step("move")
    base = merge_base(objects, commit_id, head)
    if base in (commit_id, head):
        return Step("nothing" if base == commit_id else "move")
    base = amended or base
    base_tree = _kept_tree(objects, base) if base else None
    ours = trees.diff(base_tree, Tree(objects, bytes.fromhex(commit.tree)))
    theirs = trees.diff(base_tree, Tree(objects, bytes.fromhex(read_commit(objects, head).tree)))
    conflicts = clashes(ours, theirs)
    if conflicts:
        return Step("keep", conflicts=conflicts)
    return Step("merge", changes=tuple(ours))


def _kept_tree(objects: Objects, commit_id: str) -> Tree | None:
    """None: a checkpoint that expired; then nobody knows what either side had before."""
    commit = read_commit(objects, commit_id)
    try:
        check_kept(objects, commit)
    except NotFound:
        return None
    return Tree(objects, bytes.fromhex(commit.tree))


def amended_away(ref: Ref | None, commit: Commit) -> str | None:
    """The commit that this one was made from, if the newest part of the branch's log says that it was
    amended since."""
    replaced = {one.commit for one, then in pairwise(ref.moves) if then.amends} if ref else set()
    return next((parent for parent in commit.parents[:1] if parent in replaced), None)


def clashes(ours: list[Change], theirs: list[Change]) -> tuple[bytes, ...]:
    """Paths that cannot hold both changes: changed differently, or a file where a folder is now."""
    other = {change.path: change.new for change in theirs}
    found = [c.path for c in ours if c.path in other and not _same(c.new, other[c.path])]
    for one, two in ((ours, theirs), (theirs, ours)):
        files = {c.path for c in two if c.new and c.new.kind != trees.FOLDER}
        found += [c.path for c in one if c.new and any(p in files for p in _parents(c.path))]
    return tuple(sorted(set(found)))


def apply(entries: trees.Entries, changes: list[Change]) -> trees.Entries:
    """The entries with the changes made, sorted. An empty folder that got a file is none any more."""
    rows = {row.path: row for row in entries.rows()}
    for change in changes:
        if change.new:
            rows[change.path] = change.new
        else:
            rows.pop(change.path, None)
    if any(row.kind == trees.FOLDER for row in rows.values()):
        filled = {parent for path in rows for parent in _parents(path)}
        rows = {path: row for path, row in rows.items() if path not in filled}
    return trees.entries_of([rows[path] for path in sorted(rows)])


def conflict_branch(branch: str, commit_id: str) -> str:
    return f"{branch}-conflict-{ids.short(commit_id)}"


def is_conflict_branch(name: str, branch: str) -> bool:
    """Whether landing made it, for a commit that was meant for `branch`."""
    return name != branch and _KEPT.sub("", name) == branch


def move_branch(
    refs: Refs, dataset: Dataset, branch: str, commit_id: str, head: str | None, author: str,
    reason: str, passed: Protection | None = None,
) -> Move | None:  # fmt: skip
    """The move to a commit that comes after `head`, or None if the branch was moved by somebody else
    meanwhile, or protected by other rules than those that `passed`."""
    try:
        return refs.move(
            dataset, branch, "branch", commit_id, expected=head, author=author, reason=reason,
            forward=head is not None, passed=passed,
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
