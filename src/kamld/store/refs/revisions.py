"""What a revision means: from `main~1`, `v4`, `champion` or `7f3a91` to one commit."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches

from msgspec.structs import replace

from kamld import clock, ids
from kamld.errors import Invalid, NotFound
from kamld.records.history import Commit, Dataset, RefKind
from kamld.records.names import Revision, check_ref
from kamld.store.commits import is_commit, reached, read_commit
from kamld.store.objects import Objects
from kamld.store.refs.moves import Refs

_PREFIX = re.compile(r"[0-9a-f]{4,64}")
_ID = re.compile(r"[0-9a-f]{7,64}")  # what people shorten ids to; shorter ones are words too often
_VERSION = re.compile(r"v([1-9][0-9]*)")


@dataclass(frozen=True, slots=True)
class Resolved:
    dataset: Dataset
    commit_id: str
    commit: Commit
    branch: str | None  # the branch whose head was asked for by name, if it was


def resolve(objects: Objects, refs: Refs, dataset: Dataset, revision: Revision) -> Resolved:
    """Raises NotFound (unknown_revision) or Invalid (ambiguous_revision)."""
    commit_id, branch = _base(objects, refs, dataset, revision)
    for step in range(revision.steps):
        parents = read_commit(objects, commit_id).parents
        if not parents:
            first = replace(revision, steps=step)
            raise NotFound(
                "unknown_revision",
                f"{dataset.said}@{revision.said} goes back too far: {first.said} is the first version.",
                f"kamld log {dataset.said} shows all.",
            )
        commit_id = parents[0]
    plain = branch if not (revision.steps or revision.time) else None
    return Resolved(dataset, commit_id, read_commit(objects, commit_id), plain)


def reserved_version(dataset: Dataset, word: str) -> int | None:
    """The number, if the word is one that model versions have for themselves."""
    match = _VERSION.fullmatch(word) if dataset.kind == "model" else None
    return int(match[1]) if match else None


def check_new_ref(objects: Objects, refs: Refs, dataset: Dataset, word: str, kind: RefKind) -> None:
    """A word fit to name a branch, tag or alias of the dataset, or that names one. Raises Invalid (bad_name,
    reserved_name)."""
    check_ref(word, kind)
    if reserved_version(dataset, word):
        raise Invalid(
            "reserved_name",
            f'"{word}" is a version number; a model\'s main gives them by itself.',
            "Choose another name.",
        )
    there = refs.find(dataset, word)
    if _reads_as_id(objects, word) and not (there and there.commit):
        raise Invalid(
            "reserved_name",
            f'"{word}" reads as the id of a version, so a {kind} of that name could hide one.',
            f"Choose another name, such as {kind}-{word}.",
        )


def _reads_as_id(objects: Objects, word: str) -> bool:
    """A number may well be a date, so it does only where a version's id begins so."""
    if not _ID.fullmatch(word):
        return False
    return not word.isdecimal() or any(is_commit(objects, i) for i in objects.with_prefix(word))


def _base(objects: Objects, refs: Refs, dataset: Dataset, revision: Revision) -> tuple[str, str | None]:
    word = revision.base
    ref = refs.find(dataset, word)
    if ref and revision.time:
        then = refs.at(dataset, word, revision.time)
        if then is None:
            first = next(iter(ref.moves if not ref.older else list(refs.history(dataset, word))[::-1]))
            raise NotFound(
                "unknown_revision",
                f"{dataset.said}@{word} did not exist at {clock.local(revision.time, seconds=True)}.",
                f"It begins at {clock.local(first.time, seconds=True)}.",
            )
        return then, None
    if ref and ref.commit:
        return ref.commit, word if ref.kind == "branch" else None
    version = reserved_version(dataset, word)
    if version and (commit := refs.versions(dataset, amended=True).get(version)):
        if not objects.has(bytes.fromhex(commit)):
            raise NotFound(
                "collected",
                f"{dataset.said} {word} was amended or taken back, and is not kept any more.",
                f"kamld log {dataset.said} shows those there are.",
            )
        return commit, None
    if _PREFIX.fullmatch(word) and not revision.time:
        return _by_prefix(objects, refs, dataset, word), None
    raise _unknown(refs, dataset, word)


def commits_of(objects: Objects, refs: Refs, dataset: Dataset, candidates: Iterable[str]) -> set[str]:
    """Those of the candidates that any ref of the dataset names or ever named, or that come before."""
    ever, wanted = refs.ever(dataset), set(candidates)
    found = reached(objects, (ref.commit for ref in ever if ref.commit), wanted) if wanted else set()
    if wanted - found:
        moves = (move for ref in ever for move in refs.history(dataset, ref.name))
        named = {one for move in moves for one in (move.commit, move.carries) if one}
        kept = (commit for commit in named if objects.has(bytes.fromhex(commit)))  # others were collected
        found |= reached(objects, kept, wanted - found)
    return found


def _by_prefix(objects: Objects, refs: Refs, dataset: Dataset, prefix: str) -> str:
    commits = [i.hex() for i in objects.with_prefix(prefix) if is_commit(objects, i)]
    found = sorted(commits_of(objects, refs, dataset, commits))
    if len(found) > 1:
        raise Invalid(
            "ambiguous_revision",
            f'"{prefix}" is the beginning of {len(found)} commits: {", ".join(map(ids.short, found))}.',
            "Write more of it.",
        )
    if not found:
        raise NotFound(
            "unknown_revision",
            f'No commit of {dataset.said} begins with "{prefix}".',
            f"kamld log {dataset.said} shows all.",
        )
    return found[0]


def _unknown(refs: Refs, dataset: Dataset, word: str) -> NotFound:
    there = [ref.name for ref in refs.all(dataset)] + [f"v{n}" for n in refs.versions(dataset)]
    near = get_close_matches(word, there, 1, 0.5)
    advice = f'Did you mean "{near[0]}"?' if near else f"There are: {', '.join(there[:8])}." if there else ""
    where = f"{dataset.project}/{dataset.name}"
    return NotFound("unknown_revision", f'No branch, tag or commit "{word}" in {where}.', advice)
