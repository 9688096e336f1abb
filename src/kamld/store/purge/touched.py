"""Which content a path has in which versions, and where else in the hub the same content is.

It reads trees, no content. What cannot be read (it was collected, it expired, it is damaged) is passed
over: then the content is not there either, as far as anybody can tell.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import numpy as np

from kamld.errors import Invalid, KamldError, NotFound
from kamld.records.history import Dataset
from kamld.records.kinds import FOLDER
from kamld.records.run import Run
from kamld.store.fsck.histories import Histories, read_histories
from kamld.store.fsck.records import read_records
from kamld.store.refs.expiry import check_kept
from kamld.store.repository import Repository
from kamld.store.trees import EMPTY_ID, Page, Tree, decode_page


@dataclass(frozen=True, slots=True)
class Place:
    """A path of a dataset that has the content, and the versions, newest first, as people call them."""

    dataset: Dataset | None  # None: it has lost its name
    path: bytes
    versions: tuple[str, ...]
    ids: frozenset[bytes]  # the contents that it has in them
    removed: bool = False  # the dataset was


@dataclass(slots=True)
class Touched:
    """Where contents are. `trees`: all that list any of them; `entries`: ids of files among those asked
    for, whoever lists them."""

    places: list[Place] = field(default_factory=list)
    runs: list[str] = field(default_factory=list)  # project/number, that used or made such a version
    endpoints: list[str] = field(default_factory=list)
    trees: set[str] = field(default_factory=set)
    entries: set[bytes] = field(default_factory=set)
    versions: int = 0


def contents(
    repository: Repository, dataset: Dataset, commit_id: str, path: str, *, every_version: bool
) -> dict[bytes, int]:
    """Ids and sizes of what a file, or all files of a folder, have in this version, or had in any version
    of the dataset. Raises NotFound (unknown_path, expired_checkpoint), Invalid (no_content)."""
    raw = path.strip("/").encode("utf-8", "surrogateescape")
    commit = repository.commit(commit_id)
    trees = [commit.tree]
    if every_version:
        histories = _histories(repository, only=frozenset({dataset.id}))
        trees = sorted({version.tree for version in histories.versions.values()})
    found: dict[bytes, int] = {}
    is_there = False
    for tree in trees:
        try:
            entries = Tree(repository.objects, bytes.fromhex(tree)).under(raw)
        except KamldError:
            if every_version:
                continue
            check_kept(repository.objects, commit)
            raise
        is_there = is_there or len(entries) > 0
        rows = entries.rows()
        found |= {row.id: row.size for row in rows if row.kind != FOLDER and row.id != EMPTY_ID}
    if not is_there:
        where = "any version" if every_version else "that version"
        more = "" if every_version else " --every-version looks in all of them."
        raise NotFound(
            "unknown_path",
            f"{dataset.project}/{dataset.name} has no {path} in {where}.",
            f"kamld ls {dataset.said} shows what there is.{more}",
        )
    if not found:
        raise Invalid("no_content", f"{path} is empty: there is nothing to purge.", "kamld rm, or commit.")
    return found


def find(repository: Repository, ids: Iterable[bytes], first: str = "") -> Touched:
    """All places of this content, in every dataset, run and deployment; those of the dataset with the id
    `first` come first."""
    walk = _Walk(repository, frozenset(ids))
    histories = _histories(repository, only=None)
    words = histories.words()
    found, by_place = Touched(), defaultdict[tuple[str, bytes], list[str]](list)
    ids_at = defaultdict[tuple[str, bytes], set[bytes]](set)
    datasets: dict[str, Dataset] = {}
    commits: set[str] = set()
    order = [*words, *(histories.versions.keys() - words.keys())]
    for commit_id in order:
        version = histories.versions.get(commit_id)
        entries = walk.files(version.tree) if version else ()
        if version and entries:
            found.trees.add(version.tree)
            commits.add(commit_id)
            dataset, word = words.get(commit_id) or (None, commit_id[:12])
            for path, identifier in entries:
                by_place[dataset.id if dataset else "", path].append(word)
                ids_at[dataset.id if dataset else "", path].add(identifier)
            if dataset:
                datasets[dataset.id] = dataset
    gone = histories.records.removed
    places = [
        Place(datasets.get(at[0]), at[1], tuple(named), frozenset(ids_at[at]), at[0] in gone)
        for at, named in by_place.items()
    ]
    found.places = sorted(places, key=lambda place: _order(place, first))
    found.versions = len(commits)
    for run in histories.records.runs.values():
        if walk.of_run(run, commits):
            found.runs.append(f"{run.project}/{run.number}")
            found.trees |= {run.code.tree} if run.code else set()
    events = histories.records.events.values()
    found.endpoints = sorted(
        {f"{e.project}/{e.endpoint}" for e in events if any(one.commit in commits for one in e.versions)}
    )
    for lease in repository.leases.all().values():
        for tree in lease.trees:
            walk.files(tree)
    found.runs.sort()
    found.entries = walk.entries
    return found


class _Walk:
    """Pages that several trees share are read once."""

    def __init__(self, repository: Repository, ids: frozenset[bytes]) -> None:
        self._objects, self._ids = repository.objects, ids
        prefixes = b"".join(identifier[:8] for identifier in ids)
        self._prefixes = np.frombuffer(prefixes, "<u8")
        self._pages: dict[bytes, tuple[tuple[bytes, bytes], ...]] = {}
        self._trees: dict[str, tuple[tuple[bytes, bytes], ...]] = {}
        self.entries: set[bytes] = set()

    def files(self, tree: str) -> tuple[tuple[bytes, bytes], ...]:
        """(path, id) of those of a tree that have any of the content."""
        if tree not in self._trees:
            try:
                pages = Tree(self._objects, bytes.fromhex(tree)).pages
            except KamldError:
                pages = []
            self._trees[tree] = tuple(file for page in pages for file in self._page(page))
        return self._trees[tree]

    def of_run(self, run: Run, commits: set[str]) -> bool:
        """Whether a run used or made one of the versions, or has the content among its code or output."""
        parts = [run.stdout, run.stderr, run.points, run.code.git_diff if run.code else None]
        own = {bytes.fromhex(part) for part in parts if part} & self._ids
        self.entries |= own
        has = bool(run.code and self.files(run.code.tree)) or bool(own)
        used = {put.commit for put in run.inputs} | {made.commit for made in run.outputs}
        return has or not commits.isdisjoint(used)

    def _page(self, page: Page) -> tuple[tuple[bytes, bytes], ...]:
        if page.id not in self._pages:
            self._pages[page.id] = tuple(self._read(page.id))
        return self._pages[page.id]

    def _read(self, page: bytes) -> Iterator[tuple[bytes, bytes]]:
        try:
            entries = decode_page(self._objects.read(page))
        except KamldError:
            return
        first = np.ascontiguousarray(entries.ids[:, :8]).view("<u8").reshape(-1)
        for row in np.flatnonzero(np.isin(first, self._prefixes)).tolist():
            identifier = entries.ids[row].tobytes()
            if identifier in self._ids:
                self.entries.add(identifier)
                yield entries.paths[row], identifier


def _histories(repository: Repository, only: frozenset[str] | None) -> Histories:
    def read(identifier: bytes) -> bytes | None:
        try:
            return repository.objects.read(identifier)
        except KamldError:
            return None

    return read_histories(read_records(repository.blobs, only), read)


def _order(place: Place, first: str) -> tuple[bool, str, bytes]:
    dataset = place.dataset
    return (
        not dataset or dataset.id != first,
        f"{dataset.project}/{dataset.name}" if dataset else "",
        place.path,
    )
