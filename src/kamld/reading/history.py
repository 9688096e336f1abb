"""Which commits changed a path: from the pages that differ between each and the one before it."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

from kamld.records.globs import Glob
from kamld.records.history import Commit
from kamld.store import Change, Repository, Tree
from kamld.store.trees import diff

_LOOKED_AT = 500  # commits, for when something was removed


@dataclass(frozen=True, slots=True)
class Step:
    """A commit, and what it changed from its first parent there. `tree_gone`: its files are not kept any
    more, as of a checkpoint whose time was over, so nobody can tell. `before_gone`: those of the one before
    are not; then `changes` are all that is there."""

    commit_id: str
    commit: Commit
    changes: list[Change]
    tree_gone: bool = False
    before_gone: bool = False


def steps(repository: Repository, start: str, path: bytes, glob: Glob | None) -> Iterator[Step]:
    """The commits from `start` back that changed the path, or files of the pattern, newest first.

    A merge that took the path as one of its sides had it is none: the commits of that side are.
    """
    top = os.fsencode(glob.folder) if glob else path
    kept: dict[str, Tree] = {}  # of parents, which come next
    for commit_id, commit in repository.log(start):
        tree = kept.pop(commit.tree, None) or repository.kept_tree(commit)
        if tree is None:
            yield Step(commit_id, commit, [], tree_gone=True)
            continue
        parents = [repository.commit(parent) for parent in commit.parents]
        olders = [kept.get(older.tree) or repository.kept_tree(older) for older in parents]
        kept |= {older.id.hex(): older for older in olders if older}
        found = [diff(older, tree, top) for older in olders] or [diff(None, tree, top)]
        sides = [[c for c in side if glob is None or _is_of(glob, c)] for side in found]
        if all(sides):
            yield Step(commit_id, commit, sides[0], before_gone=bool(olders) and olders[0] is None)


def removed_by(repository: Repository, start: str, path: bytes) -> tuple[str, str] | None:
    """The newest commit before `start` that removed what was at this path, and one that still has it. None:
    nothing was there, as far back as is looked."""
    after: dict[str, str] = {}
    for commit_id, commit in islice(repository.log(start), _LOOKED_AT):
        tree = repository.kept_tree(commit)
        if tree and len(tree.under(path)):
            return after.get(commit_id, commit_id), commit_id
        for parent in commit.parents:
            after.setdefault(parent, commit_id)
    return None


def _is_of(glob: Glob, change: Change) -> bool:
    return glob.matches(os.fsdecode(change.path))
