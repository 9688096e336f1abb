"""What a commit of a folder is to be: on which branch, after which version, in place of which one.

All that can be refused is refused here, before anything is written.
"""

from dataclasses import dataclass
from pathlib import Path
from shlex import quote
from typing import Any

from kamld import clock, ids
from kamld.errors import Conflict, Invalid, NotFound
from kamld.records.history import Checkpoint, Commit, Dataset
from kamld.records.names import MAIN
from kamld.store import Repository, Tree
from kamld.store.refs.revisions import check_new_ref
from kamld.workspace.binding import Binding
from kamld.workspace.committing.standing import goes_to
from kamld.workspace.settle import base_commit, base_tree


@dataclass(frozen=True, slots=True)
class Wish:
    """What a commit is to be beyond the next one of its folder's branch.

    `branch`: the first of this new branch, where the folder is then. `amend`: in place of the newest.
    `keep_last`: a checkpoint, whose files go once so many newer ones follow.
    """

    branch: str | None = None
    amend: bool = False
    keep_last: int | None = None


PLAIN = Wish()


@dataclass(frozen=True, slots=True)
class Plan:
    """`after`: what the folder's files come from, as far as it is kept. `replaces`: `after` too, where
    that is to be amended."""

    branch: str
    is_new: bool  # the branch is still to be made
    after: str | None
    before: Tree | None = None  # the files of `after`
    commit: Commit | None = None
    replaces: str | None = None
    keep_last: int | None = None
    numbered: bool = True  # a model's version gets a number

    @property
    def parents(self) -> tuple[str, ...]:
        if self.replaces and self.commit:
            return self.commit.parents
        return (self.after,) if self.after else ()

    def changes_nothing(self, tree: bytes, message: str | None) -> bool:
        """Whether the version before is the very one that would be made."""
        if self.commit is None or self.commit.tree != tree.hex():
            return False
        if not self.replaces:
            return True
        same = message is None or message == self.commit.message
        return same and (
            self.keep_last is None or self.commit.checkpoint == Checkpoint(keep_last=self.keep_last)
        )

    def about(self, tree: bytes) -> dict[str, Any]:
        """Further fields of the commit. Raises Conflict (not_by_hand)."""
        found: dict[str, Any] = {}
        if self.replaces and self.commit:
            found = amended(self.commit, tree, self.replaces)
        if self.keep_last is not None:
            found["checkpoint"] = Checkpoint(keep_last=self.keep_last)
        return found


def plan_commit(
    repository: Repository, folder: Path, binding: Binding | None, dataset: Dataset | None, wish: Wish
) -> Plan:
    """Raises Conflict (no_branch, protected_branch, name_taken, not_newest), NotFound (not_bound, collected,
    expired_checkpoint), Invalid (bad_name, reserved_name, first_commit, bad_count)."""
    if wish.keep_last is not None and wish.keep_last < 1:
        raise Invalid("bad_count", f"{wish.keep_last} checkpoints cannot be kept.", "Keep 1 or more.")
    if binding is None or dataset is None:
        _check_first(folder, wish)
        return Plan(MAIN, True, None, keep_last=wish.keep_last)
    goes = goes_to(repository, dataset, binding) if binding.branch else ""
    if wish.branch is not None:
        check_new_branch(repository, dataset, wish.branch)
    elif not goes:
        raise Conflict(
            "no_branch",
            f"{folder} is on no branch, so a commit would have no place.",
            f'Make one with it: kamld commit {quote(str(folder))} -b NEW -m "…"',
        )
    else:
        way = f'Commit to another branch: kamld commit {quote(str(folder))} -b NEW -m "…"'
        repository.check_open(dataset, goes, way)
    branch = wish.branch or goes
    try:
        commit = base_commit(repository, folder, binding)
        before = base_tree(repository, folder, binding, commit)
    except NotFound:
        if not wish.branch:
            raise
        there = repository.objects.has(bytes.fromhex(binding.commit))
        return Plan(branch, True, binding.commit if there else None, keep_last=wish.keep_last)
    if wish.amend:
        _check_newest(repository, folder, dataset, branch, binding.commit)
    replaces = binding.commit if wish.amend else None
    return Plan(branch, bool(wish.branch), binding.commit, before, commit, replaces, wish.keep_last)


def amended(commit: Commit, tree: bytes, commit_id: str) -> dict[str, Any]:
    """What the commit in place of this one keeps of it. Raises Conflict (not_by_hand)."""
    made_by = (
        f"run {commit.run[:12]} made it" if commit.run
        else "its files were chosen by a rule" if commit.split
        else f"its files came from {commit.imported.source}" if commit.imported
        else f"its files came from {commit.origin.project}/{commit.origin.name}" if commit.origin
        else ""
    )  # fmt: skip
    if made_by and commit.tree != tree.hex():
        raise Conflict(
            "not_by_hand",
            f"{ids.short(commit_id)} cannot get other files: {made_by}, and its record says so.",
            "Commit without --amend: the history then tells what you changed.",
        )
    kept = {name: getattr(commit, name) for name in _KEPT}
    return {**kept, "time": clock.after(commit.time)}


_KEPT = [
    name for name in Commit.__struct_fields__ if name not in ("tree", "time", "author", "message", "parents")
]


def check_new_branch(repository: Repository, dataset: Dataset, branch: str) -> None:
    """Raises Invalid (bad_name, reserved_name), Conflict (name_taken)."""
    check_new_ref(repository.objects, repository.refs, dataset, branch, "branch")
    ref = repository.refs.find(dataset, branch)
    if ref and ref.commit:
        raise branch_taken(dataset, branch, ref.kind)


def branch_taken(dataset: Dataset, branch: str, kind: str = "branch") -> Conflict:
    return Conflict(
        "name_taken", f"{dataset.said} has a {kind} {branch} already.",
        "Choose another name; or kamld switch to that one, and commit there.",
    )  # fmt: skip


def not_newest(folder: Path, branch: str, base: str, merged_in: str | None = None) -> Conflict:
    """`merged_in`: the branch's newest, if it is what joined `base` with others' commits."""
    bring = f"kamld switch {quote(str(folder))} {quote(branch)}"
    if merged_in:
        return Conflict(
            "not_newest",
            f"{ids.short(base)}, which {folder} comes from, was merged with what others had committed to"
            f" {branch} meanwhile; the newest is that merge, {ids.short(merged_in)}.",
            f"Commit without --amend. To amend the merge, bring it here first: {bring}",
        )
    return Conflict(
        "not_newest",
        f"{ids.short(base)}, which {folder} comes from, is not the newest of {branch} any more: others"
        " have gone on, or it was taken back.",
        f"Commit without --amend: it is merged. Or bring the newest here first: {bring}",
    )


def _check_first(folder: Path, wish: Wish) -> None:
    if wish.amend:
        raise NotFound(
            "not_bound", f"{folder} has no commit yet that could be amended.", "Leave out --amend."
        )
    if wish.branch is not None:
        raise Invalid(
            "first_commit", f"The first commit of {folder} goes to {MAIN}.",
            f'kamld commit {quote(str(folder))} -m "…";'
            f" then: kamld switch {quote(str(folder))} {wish.branch} -c",
        )  # fmt: skip


def _check_newest(
    repository: Repository, folder: Path, dataset: Dataset, branch: str, commit_id: str
) -> None:  # fmt: skip
    ref = repository.refs.find(dataset, branch)
    head = ref.commit if ref else None
    if head == commit_id:
        return
    joins = head is not None and commit_id in repository.commit(head).parents[1:]
    raise not_newest(folder, branch, commit_id, head if joins else None)
