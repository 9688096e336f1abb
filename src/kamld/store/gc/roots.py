"""What a collection starts from: all that somebody can still name, or have back.

When in doubt it is a root. Refs are found by what is kept, not by what has a name, so that a name that
is being changed at this moment, or is damaged, costs nothing. What is handed on (a commit from a lease
to a run's record, from there to a ref) is looked for in that order, lest it be missed on its way.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from itertools import pairwise

from kamld import clock
from kamld.records.history import Dataset, Move, Removed
from kamld.store.repository import Repository

_REF = re.compile(r"refs/([0-9a-f]{32})/.+")
_SKEW = timedelta(minutes=5)  # by which the clocks of two machines may differ


@dataclass(frozen=True, slots=True)
class Root:
    """`about` says in words what leads to it. `sure`: it must be there; else it may be gone already.
    `lives`: more than an old move of a ref names it, so that a checkpoint does not expire."""

    kind: str  # commit, tree, object
    id: bytes
    about: str
    sure: bool = True
    lives: bool = True


@dataclass(frozen=True, slots=True)
class Since:
    """What is older counts no longer: moves of refs (`moved`), commits that were amended (`amended`)."""

    moved: str
    amended: str
    deleting: bool = False


def since(keep_days: int, age: timedelta, *, deleting: bool = False) -> Since:
    """`deleting`: what is moved away from now on counts in any case, for it may be handed on from one ref
    to another while we look at both."""
    now = clock.moment(clock.now())
    begun = now - min(age, _SKEW) if deleting else now
    moved, amended = min(now - timedelta(days=keep_days), begun), min(now - age, begun)
    return Since(clock.text(moved), clock.text(amended), deleting)


def find_roots(repository: Repository, after: Since, drafts: Iterable[Root] = ()) -> set[Root]:
    """`drafts`: what is kept for unfinished work of this machine, of which the hub does not know."""
    found = {*drafts, *_of_leases(repository), *_of_merges(repository)}
    found.update(_of_runs(repository))
    found.update(_of_deployments(repository))
    there = forgotten_datasets(repository, after)  # those that were due are marked before anything is deleted
    forgotten = {one.dataset.id for one in there if one.forgotten or not after.deleting}
    found.update(_of_refs(repository, forgotten, after))
    return found


def forgotten_datasets(repository: Repository, after: Since) -> list[Removed]:
    """Those that were removed so long ago that they cannot be had back."""
    return [one for one in repository.names.removed() if one.forgotten or one.time < after.moved]


def _of_refs(repository: Repository, forgotten: set[str], after: Since) -> Iterator[Root]:
    names = {dataset.id: f"{dataset.project}/{dataset.name}" for dataset in repository.names.all()}
    matches = [_REF.fullmatch(listed.key) for listed in repository.blobs.list("refs/")]
    for dataset_id in sorted({match[1] for match in matches if match} - forgotten):
        dataset = Dataset(id=dataset_id, project="", name="", kind="dataset", created="")
        name = names.get(dataset_id, "a removed dataset")
        for ref in repository.refs.ever(dataset):
            if ref.commit:
                yield _commit(ref.commit, f"{ref.kind} {name}@{ref.name}", sure=dataset_id in names)
            if ref.last.carries:
                yield _carried(ref.last, f"{name}@{ref.name}")
            moves = repository.refs.history(dataset, ref.name)
            for later, earlier in pairwise(moves):
                if earlier.commit and _counts(later, ref.last, after):
                    about = f"{name}@{ref.name} named it until {clock.local(later.time)}"
                    yield _commit(earlier.commit, about, lives=False)
                    if earlier.carries:
                        yield _carried(earlier, f"{name}@{ref.name}")


def _carried(move: Move, ref: str) -> Root:
    """A folder's version, as long as what has its changes can still be had back."""
    about = f"a folder's version, whose changes are in {ref}"
    return _commit(move.carries or "", about, lives=False)


def _counts(later: Move, newest: Move, after: Since) -> bool:
    """Whether what a ref named before this move can still be had back."""
    if later.amends:
        return later.seq == newest.seq or later.time >= after.amended
    return later.time >= after.moved


def _of_runs(repository: Repository) -> Iterator[Root]:
    for run_id in repository.sealed.run_ids():
        run = repository.sealed.run(run_id)
        about = f"run {run.project}/{run.number}"
        for commit in [one.commit for one in run.inputs] + [one.commit for one in run.outputs]:
            yield _commit(commit, about)
        if run.code:
            yield Root("tree", bytes.fromhex(run.code.tree), about)
        files = (run.code.git_diff if run.code else None, run.stdout, run.stderr, run.points)
        yield from (Root("object", bytes.fromhex(file), about) for file in files if file)


def _of_deployments(repository: Repository) -> Iterator[Root]:
    for endpoint in repository.sealed.endpoints():
        for event in repository.sealed.history(endpoint):
            for version in event.versions:
                yield _commit(version.commit, f"deployment {endpoint}")


def _of_merges(repository: Repository) -> Iterator[Root]:
    for merge in repository.merges.all():
        about = f"the merge of {merge.source} into {merge.branch} that waits"
        yield from (_commit(commit, about) for commit in (merge.ours, merge.theirs))
        files = (one.file for one in merge.resolutions if one.file)
        yield from (Root("object", bytes.fromhex(file), about) for file in files)


def _of_leases(repository: Repository) -> Iterator[Root]:
    for lease in repository.leases.all().values():
        about = f"a {lease.what} at this moment"
        yield from (_commit(commit, about) for commit in lease.commits)
        for kind, pinned in (("tree", lease.trees), ("object", lease.objects)):
            yield from (Root(kind, bytes.fromhex(one), about, sure=False) for one in pinned)


def _commit(commit_id: str, about: str, *, sure: bool = False, lives: bool = True) -> Root:
    return Root("commit", bytes.fromhex(commit_id), about, sure, lives)
