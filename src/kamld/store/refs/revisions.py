"""What a revision means: from `main~1`, `v4`, `champion` or `7f3a91` to one commit."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches

from kamld import ids
from kamld.errors import Invalid, NotFound
from kamld.records.history import Commit, Dataset
from kamld.records.names import Revision
from kamld.store.commits import is_commit, reached, read_commit
from kamld.store.objects import Objects
from kamld.store.refs.moves import Refs

_PREFIX = re.compile(r"[0-9a-f]{4,64}")
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
            raise NotFound(
                "unknown_revision",
                f"{dataset.name}@{revision} goes back too far: the first commit is {step} before.",
                f"kamld log {dataset.name} shows all.",
            )
        commit_id = parents[0]
    plain = branch if not (revision.steps or revision.time) else None
    return Resolved(dataset, commit_id, read_commit(objects, commit_id), plain)


def reserved_version(dataset: Dataset, word: str) -> int | None:
    """The number, if the word is one that model versions have for themselves."""
    match = _VERSION.fullmatch(word) if dataset.kind == "model" else None
    return int(match[1]) if match else None


def _base(objects: Objects, refs: Refs, dataset: Dataset, revision: Revision) -> tuple[str, str | None]:
    word = revision.base
    ref = refs.find(dataset, word)
    if ref and revision.time:
        then = refs.at(dataset, word, revision.time)
        if then is None:
            first = next(iter(ref.moves if not ref.older else list(refs.history(dataset, word))[::-1]))
            raise NotFound(
                "unknown_revision",
                f"{dataset.name}@{word} did not exist at {revision.time}.",
                f"It begins at {first.time}.",
            )
        return then, None
    if ref and ref.commit:
        return ref.commit, word if ref.kind == "branch" else None
    version = reserved_version(dataset, word)
    if version and (commit := refs.versions(dataset, amended=True).get(version)):
        if not objects.has(bytes.fromhex(commit)):
            raise NotFound(
                "collected",
                f"{dataset.name} {word} was amended or taken back, and is not kept any more.",
                f"kamld log {dataset.name} shows those there are.",
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
        named = {move.commit for ref in ever for move in refs.history(dataset, ref.name) if move.commit}
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
            f'No commit of {dataset.name} begins with "{prefix}".',
            f"kamld log {dataset.name} shows all.",
        )
    return found[0]


def _unknown(refs: Refs, dataset: Dataset, word: str) -> NotFound:
    there = [ref.name for ref in refs.all(dataset)] + [f"v{n}" for n in refs.versions(dataset)]
    near = get_close_matches(word, there, 1, 0.5)
    advice = f'Did you mean "{near[0]}"?' if near else f"There are: {', '.join(there[:8])}." if there else ""
    where = f"{dataset.project}/{dataset.name}"
    return NotFound("unknown_revision", f'No branch, tag or commit "{word}" in {where}.', advice)
