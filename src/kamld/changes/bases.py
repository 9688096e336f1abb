"""What two sides of a merge began with: the tree of their common ancestor.

Histories that were merged into each other crosswise have several. Then what these agree on counts,
and what they themselves merge to; a path that even they disagree about equals nothing, so that
nobody's change to it is taken for none.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from kamld.store import Change, Repository, Tree
from kamld.store.commits import merge_bases
from kamld.store.trees import diff
from kamld.store.trees.entries import Entry

_DEPTH = 8  # crosses below crosses that are looked into
_UNCLEAR = 255  # the kind of an entry that equals none

Changes = dict[bytes, Change]


@dataclass(frozen=True, slots=True)
class Base:
    """A tree, and the paths at which the base is otherwise: (what the tree has there, what counts)."""

    commits: tuple[str, ...]  # newest first; none where the histories never met
    tree: Tree | None
    other: dict[bytes, tuple[Entry | None, Entry | None]] = field(default_factory=dict)


def find_base(repository: Repository, ours: str, theirs: str) -> Base:
    return _joined(repository, merge_bases(repository.objects, ours, theirs), _DEPTH)


def changes_since(base: Base, tree: Tree) -> Changes:
    """What the side with this tree did."""
    found = {change.path: change for change in diff(base.tree, tree)}
    for path, (in_tree, counts) in base.other.items():
        now = found[path].new if path in found else in_tree
        if same(now, counts):
            found.pop(path, None)
        else:
            found[path] = Change(path, counts, now)
    return found


def same(one: Entry | None, two: Entry | None) -> bool:
    return (one.id, one.kind) == (two.id, two.kind) if one and two else one is two


def is_unclear(entry: Entry | None) -> bool:
    return entry is not None and entry.kind == _UNCLEAR


def _joined(repository: Repository, commits: Sequence[str], depth: int) -> Base:
    if not commits:
        return Base((), None)
    first = commits[0]
    kept = {one: repository.kept_tree(repository.commit(one)) for one in commits}
    base = Base(tuple(commits), kept[first])
    for commit_id in commits[1:]:
        tree = kept[commit_id]
        if tree is None or base.tree is None:  # a checkpoint that expired: nobody knows what was in it
            return Base(tuple(commits), None)
        before = Base((), None)
        if depth:
            before = _joined(repository, merge_bases(repository.objects, first, commit_id), depth - 1)
        ours, theirs = _since(before, base), changes_since(before, tree)
        for path, change in theirs.items():
            mine = ours.get(path)
            in_tree = base.other[path][0] if path in base.other else mine.new if mine else change.old
            if mine is None:
                base.other[path] = (in_tree, change.new)
            elif not same(mine.new, change.new):
                base.other[path] = (in_tree, Entry(path, _UNCLEAR, 0, bytes(32)))
    return base


def _since(before: Base, base: Base) -> Changes:
    """What the base, as it is so far, differs in from the one before."""
    assert base.tree is not None
    found = changes_since(before, base.tree)
    for path, (_, counts) in base.other.items():
        old = found[path].old if path in found else base.other[path][0]
        found[path] = Change(path, old, counts)
    return found
