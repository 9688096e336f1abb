"""A hub as one thing: its names, commits, trees and records, and the few ways they change."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import msgspec

from kamld import clock, ids
from kamld.blobs import Blobs, Changed, Missing
from kamld.errors import Conflict, Invalid, NotFound, SystemFault
from kamld.records.encoding import decode
from kamld.records.history import Commit, Dataset, Kind, Move, Ref, RefKind
from kamld.records.names import MAIN, Name, Reference, check_ref
from kamld.store import packs, trees
from kamld.store.chunking import Chunking
from kamld.store.commits import ancestry, is_ancestor, read_commit, write_commit
from kamld.store.envelope import seal, unseal
from kamld.store.index import Index
from kamld.store.leases import Held, Leases, condemned
from kamld.store.objects import Objects, Writer
from kamld.store.refs import Names, PendingMerges, Refs
from kamld.store.refs.landing import Landed, conflict_branch, move_branch, plan
from kamld.store.refs.revisions import Resolved, commits_of, reserved_version, resolve
from kamld.store.sealed import Sealed
from kamld.store.trees import Entries, Tree

FORMAT = 1
_HUB = "kamld-hub.json"


class _Format(msgspec.Struct):
    format: int


class Hub(msgspec.Struct, frozen=True, kw_only=True):
    """The record that makes a place a hub."""

    format: int
    id: str
    created: str
    chunking: Chunking


@dataclass(frozen=True, slots=True)
class Version:
    """A durable commit that may not be on any branch yet."""

    commit_id: str
    commit: Commit


@dataclass(frozen=True, slots=True)
class Committed:
    commit_id: str
    commit: Commit
    landed: Landed


class Repository:
    """Safe to use from several threads; any number of processes may share a hub."""

    def __init__(self, blobs: Blobs, hub: Hub, threads: int) -> None:
        self.blobs = blobs
        self.hub = hub
        self._threads = threads or min(os.cpu_count() or 1, 8)
        self.index = Index(blobs)
        self.objects = Objects(blobs, self.index)
        self.names = Names(blobs)
        self.refs = Refs(blobs)
        self.merges = PendingMerges(blobs)
        self.sealed = Sealed(blobs)
        self.leases = Leases(blobs)
        self._unlanded: dict[str, Held] = {}  # commits that are durable, and on no branch yet

    # Reading

    def resolve(self, reference: Reference) -> Resolved:
        """Raises NotFound, Invalid."""
        return resolve(self.objects, self.refs, self.names.get(reference.name), reference.revision)

    def commit(self, commit_id: str) -> Commit:
        return read_commit(self.objects, commit_id)

    def tree(self, commit: Commit) -> Tree:
        return Tree(self.objects, bytes.fromhex(commit.tree))

    def log(self, commit_id: str) -> Iterator[tuple[str, Commit]]:
        return ancestry(self.objects, commit_id)

    # Writing

    def writer(self) -> Writer:
        """It holds a lease: what it finds in the hub stays until it is closed."""
        lease = self.leases.begin("writer")  # first, so that whoever condemns anything later sees it
        avoid = condemned(self.blobs)[0].unusable
        closed = partial(self.leases.end, lease)
        return Writer(self.blobs, self.index, self.hub.chunking, self._threads, avoid=avoid, closed=closed)

    def write_version(
        self, writer: Writer, entries: Entries, *,
        parents: tuple[str, ...], author: str, message: str, **about: Any,
    ) -> Version:  # fmt: skip
        """Write tree and commit and make all durable; no ref names it yet.

        `about` are further fields of the Commit (run, origin, split, metadata); its `time`, where that
        is history, which is made later than its parents' where it is not.
        """
        tree = trees.write_tree(writer, entries)
        version = self._write_commit(writer, tree, parents, author, message, **about)
        writer.flush()
        if version.commit_id not in self._unlanded:
            self._unlanded[version.commit_id] = self.leases.begin("landing", (version.commit_id,))
        return version

    def land_version(self, dataset: Dataset, branch: str, version: Version, *, author: str) -> Committed:
        landed = self.land(dataset, branch, version.commit_id, author=author)
        return Committed(version.commit_id, version.commit, landed)

    def _write_commit(
        self,
        writer: Writer,
        tree: bytes,
        parents: tuple[str, ...],
        author: str,
        message: str,
        *,
        time: str = "",
        **about: Any,
    ) -> Version:
        latest = max((self.commit(parent).time for parent in parents), default="")
        time = max(time, clock.just_after(latest)) if time else clock.after(latest) if latest else clock.now()
        commit = Commit(tree=tree.hex(), time=time, author=author, message=message, parents=parents, **about)
        return Version(write_commit(writer, commit), commit)

    def land(self, dataset: Dataset, branch: str, commit_id: str, *, author: str) -> Landed:
        """Get a durable commit onto a branch beside any number of others who do the same.

        Raises SystemFault (missing_object) where what it relied on was deleted while this machine slept.
        """
        lease = self._unlanded.pop(commit_id, None)
        if lease is None:
            return self._land(dataset, branch, commit_id, author)
        try:
            if lease.lost:
                self._check_kept(commit_id)
            return self._land(dataset, branch, commit_id, author)
        finally:
            self.leases.end(lease)

    @contextmanager
    def kept(self, commit_id: str | None) -> Iterator[None]:
        """Meanwhile this commit, which perhaps no ref names, is not collected.

        Raises NotFound (collected) where it was.
        """
        with self.leases.take("ref", (commit_id,) if commit_id else ()):
            if commit_id and not self.objects.has(bytes.fromhex(commit_id)):
                raise NotFound(
                    "collected",
                    f"{ids.short(commit_id)} is not kept any more: nothing led to it, and its time was over.",
                    "The setting keep_days says for how long such versions can be had back.",
                )
            yield

    def _check_kept(self, commit_id: str) -> None:
        """Raises SystemFault (missing_object) unless all of a commit's content is there."""
        self.index.refresh()
        found = [row.id for row in self.tree(self.commit(commit_id)).entries().rows()]
        self.objects.lengths(found)
        self.objects.lengths(self.objects.parts(found))

    def _land(self, dataset: Dataset, branch: str, commit_id: str, author: str) -> Landed:
        commit = self.commit(commit_id)
        reason = f"commit: {commit.message.splitlines()[0][:100]}" if commit.message else "commit"
        how: str = "moved"
        landing = commit_id
        while True:
            ref = self.refs.find(dataset, branch)
            head = ref.commit if ref else None
            step = plan(self.objects, head, commit_id, commit)
            if step.how == "nothing" and ref and head:
                return Landed("moved", branch, head, ref.last)
            if step.how == "keep":
                return self._keep(dataset, branch, commit_id, author, reason, step.conflicts)
            if step.how == "merge" and step.entries is not None and head:
                with self.writer() as writer:
                    tree = trees.write_tree(writer, step.entries)
                    message = f"merge {ids.short(commit_id)} into {branch}"
                    merge = self._write_commit(writer, tree, (head, commit_id), author, message)
                landing, how = merge.commit_id, "merged"
                reason = f"merge: {ids.short(commit_id)}"
            move_made = move_branch(self.refs, dataset, branch, landing, head, author, reason)
            if move_made:
                return Landed("merged" if how == "merged" else "moved", branch, landing, move_made)
            landing, how = commit_id, "moved"

    def _keep(
        self, dataset: Dataset, branch: str, commit_id: str, author: str, reason: str,
        conflicts: tuple[bytes, ...],
    ) -> Landed:  # fmt: skip
        """Keep the commit as a branch of its own; who did that before may have gone on from there."""
        kept = conflict_branch(branch, commit_id)
        while True:
            move = move_branch(self.refs, dataset, kept, commit_id, None, author, reason)
            if move:
                return Landed("kept", kept, commit_id, move, conflicts)
            there = self.refs.find(dataset, kept)
            if there and there.commit:
                if is_ancestor(self.objects, commit_id, there.commit):
                    return Landed("kept", kept, there.commit, there.last, conflicts)
                kept += "-again"  # somebody gave the name to something else

    def set_ref(
        self, dataset: Dataset, name: str, kind: RefKind, commit_id: str, *, author: str, known: bool = False
    ) -> Move:
        """Make a branch or tag, or set an alias, which may be there already.

        `known`: the commit was found by a revision of this dataset, so it need not be looked for among
        all its refs, of which there may be many.

        Raises Invalid (bad_name, reserved_name), Conflict (name_taken, ref_kind), NotFound
        (unknown_revision) for a commit that is none of the dataset's.
        """
        check_ref(name, kind)
        if reserved_version(dataset, name):
            raise Invalid(
                "reserved_name",
                f'"{name}" is a version number; a model\'s main gives them by itself.',
                "Choose another name.",
            )
        if not known and not commits_of(self.objects, self.refs, dataset, [commit_id]):
            raise NotFound(
                "unknown_revision",
                f"{ids.short(commit_id)} is no commit of {dataset.name}.",
                f"kamld log {dataset.name} shows all.",
            )
        ref = self.refs.find(dataset, name)
        present = ref.commit if ref else None
        if ref and present and ref.kind == kind != "alias":
            raise Conflict(
                "name_taken", f"{dataset.name} has a {kind} {name} already.", "Choose another name."
            )
        with self.kept(commit_id):
            return self.refs.move(
                dataset, name, kind, commit_id, expected=present, author=author, reason=kind
            )

    def live_refs(self, dataset: Dataset) -> list[Ref]:
        return self.refs.all(dataset)

    def create(self, name: Name, kind: Kind) -> Dataset:
        """A dataset that has no version yet: a new one, or one that somebody began and did not finish.

        Raises Conflict (name_taken).
        """
        return self.names.create(name, kind, self.is_made)

    def is_made(self, dataset: Dataset) -> bool:
        """Whether anything ever landed on its main; until then its name is still to be had."""
        return self.refs.find(dataset, MAIN) is not None

    def rebuild_index(self) -> tuple[int, tuple[str, ...]]:
        """Make the index anew from the packs themselves: (objects found, keys of damaged packs, which
        are left out)."""
        replaced = self.index.names()
        names = [name for listed in self.blobs.list("packs/") if (name := packs.name_of(listed.key))]
        sound, damaged = [], []
        for name in names:
            try:
                sound.append((name, packs.read_footer(self.blobs.view(packs.key(name)), packs.key(name))))
            except Missing:  # joined with others since it was listed
                continue
            except SystemFault as fault:
                if fault.code != "damaged_pack":
                    raise
                damaged.append(packs.key(name))
        self.index.rebuild(sound, replaced)
        return sum(len(footer.codecs) for _, footer in sound), tuple(damaged)


def open_hub(blobs: Blobs, threads: int = 0) -> Repository:
    """The hub in this place; an empty place becomes one.

    Raises SystemFault (newer_hub), Invalid (not_a_hub) where there is something else.
    """
    try:
        data = blobs.get(_HUB)
    except Missing:
        data = _make_hub(blobs)
    made_as = decode(data.partition(b"\n")[0], _Format, _HUB).format  # a newer hub may differ in all else
    if made_as > FORMAT:
        raise SystemFault(
            "newer_hub",
            f"The hub in {blobs.location} has format {made_as}; this kamld reads up to {FORMAT}.",
            "Install a newer kamld.",
        )
    return Repository(blobs, unseal(data, Hub, _HUB), threads)


def _make_hub(blobs: Blobs) -> bytes:
    """The record of the hub, ours or that of somebody else who made it at the same moment."""
    something = next(iter(blobs.list("")), None)
    if something:
        try:
            return blobs.get(_HUB)
        except Missing:
            raise Invalid(
                "not_a_hub",
                f"{blobs.location} is not a hub, and not empty: it has {something.key}.",
                "Name a hub or an empty folder: KAMLD_HUB, or hub in kamld.toml.",
            ) from None
    fresh = seal(Hub(format=FORMAT, id=ids.new_id(), created=clock.now(), chunking=Chunking()))
    try:
        blobs.swap(_HUB, None, fresh)
    except Changed as now:
        return now.value or b""
    return fresh
