"""Taking back the last move of a branch, tag or alias, or the removal of a dataset.

What takes it back is a move itself, so that it can be taken back too. Nothing is made or lost: a branch
that a commit was kept apart on, and that went with the merge which is taken back, comes back with it.
"""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice

from kamld.changes.bases import changes_since, find_base
from kamld.changes.joining import join
from kamld.changes.refs import merged_into
from kamld.errors import Conflict, Invalid, NotFound
from kamld.records.history import Dataset, Move, Ref, RefKind
from kamld.records.merging import PendingMerge
from kamld.records.names import MAIN, Name, Reference, Revision
from kamld.store import Repository
from kamld.store.commits import reached
from kamld.store.refs.landing import is_conflict_branch
from kamld.store.refs.pending import is_open

_UNDO, _REDO = "undo: ", "redo: "


@dataclass(frozen=True, slots=True)
class Undone:
    """`back` None: the dataset itself was had back, its refs as they were. `returned`, `gone`: branches that
    commits were kept apart on, and that came back or went with it. `lost`: what was right before is not known
    any more, and `commit` is the newest that is. `waits`: a merge into the branch, which stays. `asks_again`:
    a merge was taken back that somebody may have had to decide in, and those decisions are in it alone."""

    dataset: Dataset
    ref: str
    kind: RefKind
    back: Move | None  # the move that was taken back; the last of them
    commit: str | None  # where the ref is now; None: nowhere, for that move had made it
    returned: tuple[str, ...] = ()
    gone: tuple[str, ...] = ()
    lost: bool = False
    waits: PendingMerge | None = None
    asks_again: bool = False


def undo(repository: Repository, name: Name, ref: str, *, author: str, to: Revision | None = None) -> Undone:
    """The last move is taken back; with `to`, all since the ref was there. Raises NotFound (unknown_name,
    unknown_revision, collected, lost_log), Conflict (first_version, ref_moved, name_taken, there_already,
    protected_branch), Invalid (never_there)."""
    dataset = repository.names.find(name)
    removed = repository.names.removed_from(name) if dataset is None and ref == MAIN and not to else None
    if removed:
        dataset = repository.names.restore(removed)
        main = repository.refs.find(dataset, MAIN)
        return Undone(dataset, MAIN, "branch", None, main.commit if main else None)
    return _undo_move(repository, dataset or repository.names.get(name), ref, author, to)


def _undo_move(
    repository: Repository, dataset: Dataset, name: str, author: str, wanted: Revision | None
) -> Undone:
    there = repository.refs.find(dataset, name)
    if there is None:
        raise NotFound(
            "unknown_revision",
            f'{dataset.said} never had a branch, tag or alias "{name}".',
            f"kamld branch {dataset.said} shows the branches; kamld tag and kamld alias the others.",
        )
    if there.protection:
        raise Conflict(
            "protected_branch",
            f"{name} of {dataset.said} is protected: only kamld merge moves it, so nothing is taken back.",
            f"Lift that first: kamld branch {dataset.said}@{name} --unprotect",
        )
    last, *before = islice(repository.refs.history(dataset, name), 2)
    to = before[0].commit if before else None
    lost = not wanted and bool(before) and before[0].lost
    if lost:
        to = _before_the_loss(repository, dataset, there)
    if wanted:
        to = _earlier(repository, dataset, there, wanted)
    if to is None and name == MAIN:
        raise Conflict(
            "first_version",
            f"This is the first version of {dataset.said}: there is none before it.",
            f"To remove all of it: kamld rm {dataset.said}",
        )
    asks_again = to is not None and _both_changed_some(repository, last.commit, to)
    with repository.kept(dataset, to):
        returned = _bring_back(repository, dataset, name, last.commit, to, author)  # first: a kill leaves no
        try:  # work without a name
            repository.refs.move(
                dataset, name, there.kind, to, expected=last.commit, after=last, author=author,
                reason=_reason(last.reason),
            )  # fmt: skip
        except (Conflict, NotFound):
            _take_away(repository, dataset, name, last.commit, author)
            raise
    gone = _take_away(repository, dataset, name, to, author)
    pending = repository.merges.find(dataset, name)
    waits = pending if pending and is_open(repository.objects, repository.refs, dataset, pending) else None
    return Undone(dataset, name, there.kind, last, to, returned, gone, lost, waits, asks_again)


def _both_changed_some(repository: Repository, commit_id: str | None, before: str) -> bool:
    """Whether this is a merge into the version before, in which both sides had changed a file."""
    parents = repository.commit(commit_id).parents if commit_id else ()
    if len(parents) != 2 or parents[0] != before:
        return False
    base = find_base(repository, *parents)
    sides = [repository.kept_tree(repository.commit(parent)) for parent in parents]
    mine, other = (changes_since(base, tree) if tree else {} for tree in sides)
    return bool(join(mine, other).clashes)


def _before_the_loss(repository: Repository, dataset: Dataset, ref: Ref) -> str:
    """The newest of where the ref is known to have been: by its log before the part that was lost or, where
    that comes later, by what its version was made from. Raises NotFound (lost_log)."""
    objects = repository.objects
    log = (move.commit for move in islice(repository.refs.history(dataset, ref.name), 1, None))
    there = (one for one in log if one and one != ref.commit and objects.has(bytes.fromhex(one)))
    known = next(there, None)
    if ref.kind == "branch" and ref.commit:
        for parent in repository.commit(ref.commit).parents[:1]:
            if known is None or _has(repository, parent, known):
                return parent
    if known is None:
        raise NotFound(
            "lost_log",
            f"Nobody knows any more what {ref.name} of {dataset.said} was before: that part of its log was"
            " lost.",
            f"To another version: kamld branch {dataset.said}@REVISION NEW",
        )
    return known


def _bring_back(
    repository: Repository, dataset: Dataset, name: str, head: str | None, to: str | None, author: str
) -> tuple[str, ...]:
    """Branches that were merged into this one and went with that, where it loses their commits now."""
    back: list[str] = []
    for ref in _kept_apart(repository, dataset, name):
        was = next((move.commit for move in repository.refs.history(dataset, ref.name) if move.commit), None)
        if ref.commit or not was or not _has(repository, head, was) or _has(repository, to, was):
            continue
        with suppress(Conflict, NotFound):  # somebody was faster
            repository.refs.move(
                dataset, ref.name, ref.kind, was, expected=None, after=ref.last, author=author,
                reason=_reason(ref.last.reason),
            )  # fmt: skip
            back.append(ref.name)
    return tuple(back)


def _take_away(
    repository: Repository, dataset: Dataset, name: str, head: str | None, author: str
) -> tuple[str, ...]:
    """Those that had been brought back so, and that nobody has moved since: the merge stands again."""
    gone: list[str] = []
    for ref in _kept_apart(repository, dataset, name):
        if not ref.commit or ref.protection or not _has(repository, head, ref.commit):
            continue
        with suppress(Conflict, NotFound):
            repository.refs.move(
                dataset, ref.name, ref.kind, None, expected=ref.commit, after=ref.last, author=author,
                reason=_reason(ref.last.reason),
            )  # fmt: skip
            gone.append(ref.name)
    return tuple(gone)


def _kept_apart(repository: Repository, dataset: Dataset, name: str) -> list[Ref]:
    """Branches for commits that were meant for this one, and that were moved last by its merges, or by what
    took those back."""
    why = merged_into(name)
    return [
        ref for ref in repository.refs.ever(dataset)
        if is_conflict_branch(ref.name, name)
        and ref.last.reason.removeprefix(_UNDO).removeprefix(_REDO) == why
    ]  # fmt: skip


def _has(repository: Repository, head: str | None, commit_id: str) -> bool:
    """Whether a branch at `head` has a commit, which may have been collected."""
    known = head is not None and repository.objects.has(bytes.fromhex(commit_id))
    return known and bool(reached(repository.objects, [head or ""], [commit_id]))


def _earlier(repository: Repository, dataset: Dataset, ref: Ref, wanted: Revision) -> str:
    """A version that the ref named; where a part of its log was lost, any on its line of first parents.
    Raises Conflict, Invalid."""
    label, reference = f"{dataset.said}@{ref.name}", Reference(Name(dataset.project, dataset.name), wanted)
    commit_id = repository.resolve(reference).commit_id
    if commit_id == ref.commit:
        raise Conflict("there_already", f"{label} is at {wanted} already.", "kamld log shows what is before.")
    lost = False
    for move in repository.refs.history(dataset, ref.name):
        if move.commit == commit_id:
            return commit_id
        lost = lost or move.lost
    if lost and ref.commit and ref.kind == "branch" and commit_id in _line(repository, ref.commit):
        return commit_id
    raise Invalid(
        "never_there", f"{label} never was at {wanted}, so there is no way back to it.",
        f"A branch there: kamld branch {dataset.said}@{wanted} NEW"
        if ref.kind == "branch" else f"Set it: kamld {ref.kind} {dataset.said}@{wanted} {ref.name}",
    )  # fmt: skip


def _line(repository: Repository, commit_id: str) -> Iterator[str]:
    """A version and its first parents."""
    found: str | None = commit_id
    while found:
        yield found
        found = next(iter(repository.commit(found).parents), None)


def _reason(of: str) -> str:
    """However often it goes to and fro, one word says which way it went last."""
    if of.startswith(_UNDO):
        return _REDO + of.removeprefix(_UNDO)
    return _UNDO + of.removeprefix(_REDO)
