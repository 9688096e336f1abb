"""A hub as one thing: its names, commits, trees and records, and the few ways they change."""

import os
from collections.abc import Collection, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any
from weakref import WeakKeyDictionary

from kamld import clock, ids
from kamld.blobs import Blobs
from kamld.errors import Conflict, KamldError, NotFound
from kamld.records.history import Commit, Dataset, Kind, Move, Ref, RefKind
from kamld.records.names import MAIN, Name, Reference
from kamld.store import trees
from kamld.store.commits import ancestry, apart, is_ancestor, read_commit, write_commit
from kamld.store.hub import Hub, read_hub
from kamld.store.index import Index
from kamld.store.index.rebuild import rebuild
from kamld.store.keeping import Relying, awake, none_collected, rely, secure, take_back_unless_whole
from kamld.store.leases import Held, Leases, condemned
from kamld.store.objects import Objects, Writer
from kamld.store.objects.holes import guard
from kamld.store.refs import Names, PendingMerges, Refs
from kamld.store.refs.expiry import check_kept
from kamld.store.refs.landing import LANDED, Landed, Step, conflict_branch, gone_from, move_branch, plan
from kamld.store.refs.moves import protected
from kamld.store.refs.revisions import Resolved, check_new_ref, commits_of, resolve
from kamld.store.repaging import write_changed
from kamld.store.sealed import Sealed
from kamld.store.trees import Tree
from kamld.store.trees.entries import Entries


@dataclass(frozen=True, slots=True)
class Version:
    """A durable commit that may not be on any branch yet."""

    commit_id: str
    commit: Commit
    lease: Held | None = field(default=None, compare=False, repr=False)  # until it lands, or is forgotten


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
        self._relying = Relying()
        self.refs = Refs(blobs, self._relying.check)
        self.merges = PendingMerges(blobs)
        self.sealed = Sealed(blobs)
        self.leases = Leases(blobs)
        self._writing: WeakKeyDictionary[Writer, Held] = WeakKeyDictionary()

    # Reading

    def resolve(self, reference: Reference) -> Resolved:
        """Raises NotFound, Invalid."""
        return resolve(self.objects, self.refs, self.names.get(reference.name), reference.revision)

    def commit(self, commit_id: str) -> Commit:
        return read_commit(self.objects, commit_id)

    def tree(self, commit: Commit) -> Tree:
        """Raises NotFound (expired_checkpoint)."""
        check_kept(self.objects, commit)
        return Tree(self.objects, bytes.fromhex(commit.tree))

    def kept_tree(self, commit: Commit) -> Tree | None:
        """None: it was a checkpoint, and expired."""
        try:
            return self.tree(commit)
        except NotFound as error:
            if error.code != "expired_checkpoint":
                raise
            return None

    def log(self, commit_id: str) -> Iterator[tuple[str, Commit]]:
        return ancestry(self.objects, commit_id)

    # Writing

    def writer(self) -> Writer:
        """It holds a lease: what it finds in the hub stays until it is closed, and what is written with it
        has landed or is forgotten."""
        lease = self.leases.begin("writer")  # first, so that whoever condemns anything later sees it
        try:
            avoid = condemned(self.blobs)[0].unusable
            closed = partial(self._end_writing, lease)
            writer = Writer(
                self.blobs, self.index, self.hub.chunking, self._threads,
                avoid=avoid, closed=closed, chunks=self._chunks, guard=guard(self.blobs, self._chunks),
                late=lambda: lease.lost,
            )  # fmt: skip
        except BaseException:
            self.leases.end(lease)
            raise
        self._writing[writer] = lease
        return writer

    def _end_writing(self, lease: Held, landed: str = "") -> None:
        """The writer was closed, or one of its versions has landed or was given up."""
        lease.waiting.discard(landed)
        if not lease.waiting:
            self.leases.end(lease)

    def _chunks(self, identifier: bytes) -> list[tuple[bytes, int]]:
        try:
            return self.objects.chunks(identifier)
        except KamldError:  # they would only have saved time
            return []

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
        rely(self.objects, writer, entries, tree, self._parents(parents))
        writer.flush()
        lease = self._writing.get(writer)
        if lease:
            lease.waiting.add(version.commit_id)
        return Version(version.commit_id, version.commit, lease)

    def land_version(self, dataset: Dataset, branch: str, version: Version, *, author: str) -> Committed:
        """Raises NotFound (collected) where what it relied on was deleted while this machine slept."""

        def land() -> Landed:
            with self._all_there(dataset, version):
                landed = self._land(dataset, branch, version.commit_id, author)
                self._check_awake(dataset, version.lease, landed.head)
                return landed

        with self._landing(version):
            return Committed(version.commit_id, version.commit, awake(land))

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
        latest = max((parent.time for parent in self._parents(parents)), default="")
        time = max(time, clock.just_after(latest)) if time else clock.after(latest) if latest else clock.now()
        commit = Commit(tree=tree.hex(), time=time, author=author, message=message, parents=parents, **about)
        return Version(write_commit(writer, commit), commit)

    def _parents(self, commit_ids: Sequence[str]) -> list[Commit]:
        """Raises NotFound (collected)."""
        with none_collected(commit_ids):
            return [self.commit(commit_id) for commit_id in commit_ids]

    def land(self, dataset: Dataset, branch: str, commit_id: str, *, author: str) -> Landed:
        """Get a durable commit, which something keeps already, onto a branch beside any number of others
        who do the same."""
        return self._land(dataset, branch, commit_id, author)

    def land_on(
        self, dataset: Dataset, branch: str, version: Version, *, expected: str | None, author: str,
        amends: bool = False, numbered: bool = True,
    ) -> Committed:  # fmt: skip
        """Move a branch to a version from just where it is expected to be (None: nowhere yet).

        `amends`: the version replaces the expected one. `numbered`: on a model's main it gets a number.
        Raises Conflict (ref_moved, ref_kind, protected_branch), NotFound (unknown_ref, collected).
        """
        subject = version.commit.message.split("\n")[0][:100]
        word = "amend" if amends else "commit"

        def land() -> Move:
            with self._all_there(dataset, version):
                self._keep_parents(dataset, expected, version.commit)
                move = self.refs.move(
                    dataset, branch, "branch", version.commit_id, expected=expected, author=author,
                    reason=f"{word}: {subject}" if subject else word, forward=expected is not None,
                    amends=amends, numbered=numbered,
                )  # fmt: skip
                self._check_awake(dataset, version.lease, version.commit_id)
                return move

        with self._landing(version):
            landed = Landed("moved", branch, version.commit_id, awake(land))
        return Committed(version.commit_id, version.commit, landed)

    @contextmanager
    def _all_there(self, dataset: Dataset, version: Version) -> Iterator[None]:
        """While a version lands, what it relies on is kept. Raises NotFound (collected) where it was not."""
        slept = version.lease and version.lease.lost
        with self.kept(dataset, version.commit_id) if slept else self._relying.on(version.lease):
            yield

    @contextmanager
    def _landing(self, version: Version) -> Iterator[None]:
        try:
            yield
        finally:
            if version.lease:
                self._end_writing(version.lease, version.commit_id)

    @contextmanager
    def kept(self, dataset: Dataset, commit_id: str | None) -> Iterator[None]:
        """Meanwhile this commit, which perhaps no ref names, is not collected.

        Raises NotFound (collected, expired_checkpoint) where it was.
        """
        with self.writer() as writer:
            if commit_id:
                self._secure(writer, dataset, [commit_id])
                check_kept(self.objects, self._parents([commit_id])[0])
                writer.flush()
            lease = self._writing.get(writer)
            with self._relying.on(lease):
                yield
            if commit_id:
                self._check_awake(dataset, lease, commit_id)

    def _check_awake(self, dataset: Dataset, lease: Held | None, commit_id: str) -> None:
        """Where this machine slept until its lease had run out, and named a commit then, perhaps too late."""
        if lease and lease.lost:
            with self.writer() as writer:
                take_back_unless_whole(self.objects, Refs(self.blobs), writer, dataset, commit_id)

    def _secure(self, writer: Writer, dataset: Dataset, commit_ids: Collection[str]) -> None:
        live = self.names.bound(dataset.id, Name(dataset.project, dataset.name))  # else it may be forgotten
        heads = {ref.commit for ref in self.refs.all(dataset) if ref.commit} if live else set[str]()
        secure(self.objects, writer, commit_ids, heads)

    def check_open(self, dataset: Dataset, branch: str, way: str = "") -> None:
        """Raises Conflict (protected_branch) where a commit could only be kept apart; `way`: how to make it
        one of another branch, NEW."""
        ref = self.refs.find(dataset, branch)
        if ref and ref.protection:
            raise protected(dataset, branch, way)

    def _land(self, dataset: Dataset, branch: str, commit_id: str, author: str) -> Landed:
        with self.refs.turn(dataset, branch):
            return self._land_alone(dataset, branch, commit_id, author)

    def _land_alone(self, dataset: Dataset, branch: str, commit_id: str, author: str) -> Landed:
        commit = self.commit(commit_id)
        reason = f"commit: {commit.message.splitlines()[0][:100]}" if commit.message else "commit"
        while True:
            ref = self.refs.find(dataset, branch)
            head = ref.commit if ref else None
            if ref and ref.protection and not (head and is_ancestor(self.objects, commit_id, head)):
                return self._keep(dataset, branch, commit_id, author, reason, Step("keep", protected=True))
            self._keep_parents(dataset, head, commit)
            gone = partial(gone_from, self.objects, self.refs, dataset, branch)
            step = plan(self.objects, head, commit_id, commit, gone)
            if step.how == "nothing" and ref and head:
                return Landed("moved", branch, head, ref.last)
            if step.how == "keep":
                return self._keep(dataset, branch, commit_id, author, reason, step)
            landing = commit_id
            with ExitStack() as until_it_landed:
                if head and step.how in ("merge", "carry"):
                    writer = until_it_landed.enter_context(self.writer())
                    version = Version(commit_id, commit)
                    landing = self._write_joined(writer, branch, head, version, step, author)
                    lease = self._writing[writer]  # which is lost where the machine slept
                    guard = self.kept(dataset, landing) if lease.lost else self._relying.on(lease)
                    until_it_landed.enter_context(guard)
                made = move_branch(
                    self.refs, dataset, branch, landing, head, author,
                    f"merge: {ids.short(commit_id)}" if step.how == "merge" else reason,
                    carries=commit_id if step.how == "carry" else None,
                )  # fmt: skip
            if made:
                return Landed(LANDED[step.how], branch, landing, made, gone=step.gone)

    def _write_joined(
        self, writer: Writer, branch: str, head: str, version: Version, step: Step, author: str
    ) -> str:
        """A commit after `head` that has what the version changed."""
        changes = {change.path: change.new for change in step.changes}
        tree = write_changed(writer, self.tree(self.commit(head)), changes)
        commit = version.commit
        if step.how == "carry":
            made = self._write_commit(
                writer, tree, (head,), commit.author, commit.message, time=commit.time,
                checkpoint=commit.checkpoint, metadata=commit.metadata,
            )  # fmt: skip
        else:
            message = f"merge {ids.short(version.commit_id)} into {branch}"
            made = self._write_commit(writer, tree, (head, version.commit_id), author, message)
        writer.flush()
        return made.commit_id

    def _keep_parents(self, dataset: Dataset, head: str | None, commit: Commit) -> None:
        """Where the branch is not at its parents any more, they may be garbage by now."""
        others = [parent for parent in commit.parents if parent != head]
        with none_collected(others):
            unknown = any(True for _ in apart(self.objects, others, [head] if head else []))
        if unknown:
            with self.writer() as writer:
                self._secure(writer, dataset, others)

    def _keep(
        self, dataset: Dataset, branch: str, commit_id: str, author: str, reason: str, step: Step
    ) -> Landed:  # fmt: skip
        """Keep the commit as a branch of its own; who did that before may have gone on from there."""
        kept = conflict_branch(branch, commit_id)
        while True:
            move = move_branch(self.refs, dataset, kept, commit_id, None, author, reason)
            if move:
                return Landed("kept", kept, commit_id, move, step.conflicts, step.protected, step.gone)
            there = self.refs.find(dataset, kept)
            if there and there.commit:
                if is_ancestor(self.objects, commit_id, there.commit):
                    return Landed(
                        "kept", kept, there.commit, there.last, step.conflicts, step.protected, step.gone
                    )
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
        check_new_ref(self.objects, self.refs, dataset, name, kind)
        if not known and not commits_of(self.objects, self.refs, dataset, [commit_id]):
            raise NotFound(
                "unknown_revision",
                f"{ids.short(commit_id)} is no commit of {dataset.said}.",
                f"kamld log {dataset.said} shows all.",
            )
        ref = self.refs.find(dataset, name)
        present = ref.commit if ref else None
        if ref and present and ref.kind == kind != "alias":
            raise Conflict(
                "name_taken", f"{dataset.said} has a {kind} {name} already.", "Choose another name."
            )
        with self.kept(dataset, commit_id):
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
        return rebuild(self.blobs, self.index)


def open_hub(blobs: Blobs, threads: int = 0, *, make: bool = True) -> Repository:
    """The hub in this place; with `make`, an empty place becomes one.

    Raises SystemFault (newer_hub, hub_record_lost), Invalid (not_a_hub) where there is something else,
    NotFound (no_hub).
    """
    return Repository(blobs, read_hub(blobs, make=make), threads)
