"""Commits, checkpoints, amending, branches, tags and undo between collections, in any order: what somebody
can still ask for is there, byte for byte, and what has expired takes no room."""

import random
from datetime import timedelta

from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from kamld.changes.undo import undo
from kamld.errors import KamldError, NotFound
from kamld.records.history import Checkpoint
from kamld.records.names import Name
from kamld.store.fsck import check
from kamld.store.gc import collect
from kamld.store.refs.expiry import Link
from tests.store.hubs import AUTHOR, files_of, fresh, head, put
from tests.store.lines import expired

SIZE = 20_000
BRANCHES = st.sampled_from(["main", "one", "two"])
PICK = st.integers(0, 1000)  # which of those there are, whose number hangs on what was collected
KEEP = st.none() | st.integers(1, 3)


class Checkpoints(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.repository, self.dataset = fresh()
        self.content: dict[str, bytes] = {}
        self.links: dict[str, Link] = {}
        self.gone: set[str] = set()  # expired when somebody collected
        self.tags = 0
        self._make("main", (), None)

    def _make(
        self, branch: str, parents: tuple[str, ...], keep: int | None, replaces: str | None = None
    ) -> None:
        data = random.Random(len(self.content)).randbytes(SIZE)
        about = {} if keep is None else {"checkpoint": Checkpoint(keep_last=keep)}
        with self.repository.writer() as writer:
            version = self.repository.write_version(
                writer, put(writer, {b"f": data}), parents=parents, author=AUTHOR, message="m", **about
            )
        at = head(self.repository, self.dataset, branch) if parents or replaces else None
        self.repository.land_on(
            self.dataset, branch, version, expected=at, author=AUTHOR, amends=replaces is not None
        )
        self.content[version.commit_id] = data
        self.links[version.commit_id] = version.commit_id, parents, keep

    def _heads(self, *, kinds: tuple[str, ...] = ("branch", "tag")) -> dict[str, str]:
        refs = self.repository.refs.all(self.dataset)
        return {ref.name: ref.commit for ref in refs if ref.commit and ref.kind in kinds}

    @rule(branch=BRANCHES, keep=KEEP)
    def commit(self, branch: str, keep: int | None) -> None:
        at = self._heads().get(branch)
        if at:
            self._make(branch, (at,), keep)

    @rule(branch=BRANCHES, keep=st.integers(1, 3), many=st.integers(2, 5))
    def train(self, branch: str, keep: int, many: int) -> None:
        for _ in range(many):
            self.commit(branch, keep)

    @rule(branch=BRANCHES, keep=KEEP)
    def amend(self, branch: str, keep: int | None) -> None:
        at = self._heads().get(branch)
        if at:
            self._make(branch, self.links[at][1], keep, at)

    @rule(branch=st.sampled_from(["one", "two"]), pick=PICK)
    def begin_branch(self, branch: str, pick: int) -> None:
        if branch not in self._heads():
            self._name(branch, "branch", pick)

    @rule(pick=PICK)
    def tag(self, pick: int) -> None:
        self.tags += 1
        self._name(f"t{self.tags}", "tag", pick)

    def _name(self, word: str, kind: str, pick: int) -> None:
        """At any commit that a name leads to; what has expired is refused, if it is gone."""
        known = {i for at in self._heads().values() for i, _ in self.repository.log(at)}
        commit = [one for one in self.content if one in known][pick % len(known)]
        try:
            self.repository.set_ref(self.dataset, word, kind, commit, author=AUTHOR)
        except NotFound as error:
            if error.code != "expired_checkpoint" or commit not in self.gone:
                raise
        else:
            self.gone.discard(commit)  # it was there still, and is whole

    @precondition(lambda self: len(self._heads()) > 1)
    @rule(pick=PICK)
    def remove(self, pick: int) -> None:
        refs = [ref for ref in self.repository.refs.all(self.dataset) if ref.name != "main"]
        ref = refs[pick % len(refs)]
        self.repository.refs.move(
            self.dataset, ref.name, ref.kind, None, expected=ref.commit, author=AUTHOR, reason="removed"
        )

    @rule(branch=BRANCHES)
    def undo(self, branch: str) -> None:
        try:
            done = undo(self.repository, Name("p", "d"), branch, author=AUTHOR)
        except KamldError as error:
            if error.code not in ("first_version", "unknown_revision", "collected", "expired_checkpoint"):
                raise
        else:
            self.gone.discard(done.commit or "")

    @rule()
    def collect(self) -> None:
        known = self._known()
        history = sorted((self.links[one] for one in known), key=lambda one: self._time(one[0]), reverse=True)
        self.gone = (self.gone & known) | expired(history, set(self._heads().values()))
        for _ in range(2):
            collect(self.repository, 30, timedelta(0))
        needed = len(known - self.gone)
        stored = sum(one.size for one in self.repository.blobs.list("packs/"))
        assert stored < 1.34 * needed * SIZE + 3_000 * len(self.content) + SIZE

    def _time(self, commit_id: str) -> str:
        return self.repository.commit(commit_id).time

    def _known(self) -> set[str]:
        """What somebody can ask for: refs, what they were before (but for what was amended, once something
        was done after that), and all that came before."""
        starts: set[str] = set()
        for ref in self.repository.refs.ever(self.dataset):
            moves = list(self.repository.refs.history(self.dataset, ref.name))
            after = None
            for move in moves:
                if move.commit and (after is None or not after.amends or after.seq == moves[0].seq):
                    starts.add(move.commit)
                after = move
        waiting, found = list(starts), set[str]()
        while waiting:
            one = waiting.pop()
            if one not in found:
                found.add(one)
                waiting += self.links[one][1]
        return found

    @invariant()
    def all_that_can_be_asked_for_is_there(self) -> None:
        for commit_id in self._known() - self.gone:
            assert files_of(self.repository, commit_id) == {b"f": self.content[commit_id]}
        for commit_id in self._known() & self.gone:
            try:
                assert files_of(self.repository, commit_id) == {b"f": self.content[commit_id]}
            except NotFound as error:
                if error.code != "expired_checkpoint":
                    raise

    def teardown(self) -> None:
        found = check(self.repository.blobs, threads=1, progress=lambda *_: None)
        assert found.findings == []


Checkpoints.TestCase.settings = settings(
    max_examples=20, stateful_step_count=40, deadline=None, phases=[Phase.explicit, Phase.generate]
)
TestCheckpoints = Checkpoints.TestCase
