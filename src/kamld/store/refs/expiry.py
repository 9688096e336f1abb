"""Which checkpoints have had their time: enough newer ones follow on the same line, and nothing names them.

A line is a version and the first parents before it. It begins where no other version goes on: also
beside a branch, for others' commits that were faster are merged. What only old moves still name counts
where nothing that lives does, so that no line lasts because it was moved away. A name keeps the version
that it names, not those before it.

Pure: whoever collects, checks or reads asks here. The commit of an expired checkpoint stays; its files go.
"""

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass

from kamld.errors import NotFound
from kamld.records.history import Commit
from kamld.store.objects import Objects
from kamld.store.trees import Tree

Link = tuple[str, tuple[str, ...], int | None]  # a commit, its parents, keep_last if it is a checkpoint


@dataclass(frozen=True, slots=True)
class Standing:
    """A checkpoint: whether its files are needed no more, and whether they may be gone all the same: it
    had expired before newer ones were amended or taken back, and perhaps collected themselves."""

    commit_id: str
    expired: bool
    may_be_gone: bool


def standings(history: Iterable[Link], named: Collection[str]) -> Iterator[Standing]:
    """Of every checkpoint in `history`, which has each commit before its parents, as `ancestry` gives it.

    `named`: what live refs, runs, deployments, waiting merges and leases name; old moves of refs do not.
    """
    least: dict[str, tuple[bool, int]] = {}  # newer checkpoints on the shortest line; those that live first
    living = set(named)
    for commit_id, parents, keep_last in history:
        lives = commit_id in living
        dead, newer = least.pop(commit_id, (not lives, 0))
        if dead == lives:  # what goes on from here lives no more
            newer = 0
        if keep_last is not None:
            free = commit_id not in named
            yield Standing(commit_id, free and newer >= keep_last, free)
        if lives:
            living.update(parents)
        count = keep_last is not None
        for parent in parents[:1]:
            own = (not lives, newer + count)
            least[parent] = min(least.get(parent, own), own)


def check_kept(objects: Objects, commit: Commit) -> None:
    """Raises NotFound (expired_checkpoint) where a checkpoint's files, or some of them, are gone."""
    if commit.checkpoint is None or _is_whole(objects, bytes.fromhex(commit.tree)):
        return
    subject = commit.message.split("\n")[0][:100]
    keep_last = commit.checkpoint.keep_last
    raise NotFound(
        "expired_checkpoint",
        f'The checkpoint "{subject}" expired; the last {keep_last} {"is" if keep_last == 1 else "are"} kept.',
        "kamld log shows which are there. A tag keeps one for good: kamld tag NAME WORD",
    )


def _is_whole(objects: Objects, tree: bytes) -> bool:
    if not objects.has(tree):
        return False
    content = Tree(objects, tree)
    if not all(objects.held([page.id for page in content.pages])):
        return False
    files = [row.id for row in content.entries().rows()]
    purged = objects.purged(files)  # which are no loss that expiry could explain
    files = [file for file in files if file not in purged]
    rest = [file for file, held in zip(files, objects.held(files), strict=True) if not held]
    return all(objects.has(file) for file in rest) and all(objects.held(objects.parts(files)))
