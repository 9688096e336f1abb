"""Where the version that a folder comes from stands beside its branch, which says what a commit would do."""

from dataclasses import dataclass
from typing import Literal

from kamld.records.history import Dataset
from kamld.store import Repository
from kamld.store.commits import reached
from kamld.store.refs.landing import gone_from, meant_for
from kamld.workspace.binding import Binding


@dataclass(frozen=True, slots=True)
class Standing:
    """`behind`: others have gone on. `taken back`, `replaced`: the version is the branch's no more.
    `carried`: what was committed here is the branch's, without what was taken back or replaced before.
    `merged`: a branch that a commit was kept apart on has had its use; `branch` is where it was merged.
    `removed`: there is no such branch any more. `lost`: the hub has lost what it was. `branch`: where a
    commit of the folder goes, `head` its newest."""

    how: Literal[
        "newest", "behind", "taken back", "replaced", "carried", "merged", "removed", "lost", "on no branch"
    ]
    head: str | None = None
    protected: bool = False
    branch: str = ""

    @property
    def is_gone(self) -> bool:
        """Whether the folder has what its branch has no more."""
        return self.how in ("taken back", "replaced", "carried")


def standing(repository: Repository, dataset: Dataset, binding: Binding) -> Standing:
    """The folder's version must be kept still."""
    if not binding.branch:
        return Standing("on no branch")
    branch = goes_to(repository, dataset, binding)
    ref = repository.refs.find(dataset, branch)
    if ref is None:  # it was there, for the folder was on it; and a ref's record stays
        return Standing("lost", branch=branch)
    if ref.commit is None:
        return Standing("removed", branch=branch)
    guarded = ref.protection is not None
    if branch != binding.branch:
        return Standing("merged", ref.commit, guarded, branch)
    if ref.commit == binding.commit:
        return Standing("newest", ref.commit, guarded, branch)
    if reached(repository.objects, [ref.commit], [binding.commit]):
        return Standing("behind", ref.commit, guarded, branch)
    gone = gone_from(repository.objects, repository.refs, dataset, branch, binding.commit)
    return Standing(gone.how if gone else "behind", ref.commit, guarded, branch)


def goes_to(repository: Repository, dataset: Dataset, binding: Binding) -> str:
    """The branch that the folder's next commit is for: its own, or, where that was made for a commit that
    was kept apart, and has gone since that was merged, the one which has it now."""
    branch = binding.branch
    ref = repository.refs.find(dataset, branch)
    while ref and ref.commit is None and (meant := meant_for(branch)) != branch:
        branch, ref = meant, repository.refs.find(dataset, meant)
    if branch == binding.branch or not ref or not ref.commit:
        return binding.branch
    objects = repository.objects  # which may have lost the version: it was collected, or never was there
    known = objects.has(bytes.fromhex(binding.commit))
    return branch if known and reached(objects, [ref.commit], [binding.commit]) else binding.branch
