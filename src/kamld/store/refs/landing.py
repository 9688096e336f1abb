"""Landing a commit on a branch that others move too: nothing is refused, nothing is lost.

If the branch still is where the commit began, it moves. If others were faster, changes to different
paths are merged; where both changed one path differently, the commit is kept as a branch of its own
and said so. What is inside files is none of the store's business: tables
that both changed are joined above it, by kamld.changes.
"""

import re
from dataclasses import dataclass
from typing import Literal

from kamld import ids
from kamld.errors import Conflict, NotFound
from kamld.records.history import Commit, Dataset, Move
from kamld.store import trees
from kamld.store.commits import merge_base, read_commit
from kamld.store.objects import Objects
from kamld.store.refs.moves import Refs
from kamld.store.trees import Change, Entry, Tree


@dataclass(frozen=True, slots=True)
class Landed:
    how: Literal["moved", "merged", "kept"]
    branch: str  # where the commit can be found now
    head: str  # that branch's commit
    move: Move
    conflicts: tuple[bytes, ...] = ()  # paths that both sides changed, when `kept`


@dataclass(frozen=True, slots=True)
class Step:
    """What to do next with a commit: nothing, for the branch has it; move the branch to it; merge
    it first; or keep it apart."""

    how: Literal["nothing", "move", "merge", "keep"]
    entries: trees.Entries | None = None
    conflicts: tuple[bytes, ...] = ()


def plan(objects: Objects, head: str | None, commit_id: str, commit: Commit) -> Step:
    """Pure: how `commit` can get onto a branch whose head is `head`."""
    if head is None or head in commit.parents:
        return Step("move")
    base = merge_base(objects, commit_id, head)
    if base in (commit_id, head):
        return Step("nothing" if base == commit_id else "move")
    base_tree = Tree(objects, bytes.fromhex(read_commit(objects, base).tree)) if base else None
    theirs_tree = Tree(objects, bytes.fromhex(read_commit(objects, head).tree))
    ours = trees.diff(base_tree, Tree(objects, bytes.fromhex(commit.tree)))
    theirs = trees.diff(base_tree, theirs_tree)
    conflicts = clashes(ours, theirs)
    if conflicts:
        return Step("keep", conflicts=conflicts)
    return Step("merge", entries=apply(theirs_tree.entries(), ours))


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
    return re.fullmatch(re.escape(branch) + r"-conflict-[0-9a-f]{12}(-again)*", name) is not None


def move_branch(
    refs: Refs, dataset: Dataset, branch: str, commit_id: str, head: str | None, author: str,
    reason: str,
) -> Move | None:  # fmt: skip
    """The move to a commit that comes after `head`, or None if the branch was moved by somebody else
    meanwhile."""
    try:
        return refs.move(
            dataset, branch, "branch", commit_id, expected=head, author=author, reason=reason,
            forward=head is not None,
        )  # fmt: skip
    except (Conflict, NotFound) as error:
        if error.code in ("ref_moved", "unknown_ref"):
            return None
        raise


def _same(a: Entry | None, b: Entry | None) -> bool:
    return (a.id, a.kind) == (b.id, b.kind) if a and b else a is b


def _parents(path: bytes) -> list[bytes]:
    parts = path.split(b"/")
    return [b"/".join(parts[:n]) for n in range(1, len(parts))]
