"""Refs against a plain model: moves, conflicts, removal, time travel, sealing, versions of a model."""

from dataclasses import dataclass, field
from typing import Any, Literal

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from kamld import clock
from kamld.blobs import MemoryBlobs
from kamld.errors import Conflict, NotFound
from kamld.records.history import Dataset, Move, RefKind
from kamld.records.names import Name
from kamld.store.refs import Names, Refs
from kamld.store.refs.moves import MOVES_MAX

NAMES = ("main", "größer", "champion", "a%2Fb")
COMMITS = [f"{n:02x}" * 32 for n in range(5)]
KINDS: tuple[RefKind, ...] = ("branch", "tag", "alias")


@dataclass
class Model:
    """One ref: its kind and all its moves, the oldest first."""

    kind: str = ""
    moves: list[Move] = field(default_factory=list)

    @property
    def commit(self) -> str | None:
        return self.moves[-1].commit if self.moves else None

    @property
    def versions(self) -> dict[int, str]:
        return {m.version: m.commit for m in self.moves if m.version and m.commit}


names = st.sampled_from(NAMES)


class RefsAgainstModel(RuleBasedStateMachine):
    @initialize(kind=st.sampled_from(["dataset", "model"]))
    def make(self, kind: Literal["dataset", "model"]) -> None:
        self.blobs = MemoryBlobs()
        self.dataset: Dataset = Names(self.blobs).create(Name("p", "d"), kind, bool)
        self.other: Dataset = Names(self.blobs).create(Name("p", "other"), kind, bool)
        self.refs = Refs(self.blobs)
        self.models = {name: Model() for name in NAMES}

    def _move(self, name: str, kind: RefKind, commit: str | None, expected: str | None) -> Move:
        return self.refs.move(self.dataset, name, kind, commit, expected=expected, author="a", reason="r")

    @rule(name=names, kind=st.sampled_from(KINDS), commit=st.sampled_from([None, *COMMITS]))
    def move(self, name: str, kind: RefKind, commit: str | None) -> None:
        model = self.models[name]
        if model.commit and model.kind != kind:
            with pytest.raises(Conflict) as conflict:
                self._move(name, kind, commit, model.commit)
            assert conflict.value.code == "ref_kind"
            return
        move = self._move(name, kind, commit, model.commit)
        assert (move.seq, move.commit) == (len(model.moves) + 1, commit)
        if name == "main" and self.dataset.kind == "model" and commit:
            known = {c: v for v, c in model.versions.items()}
            assert move.version == known.get(commit, len(known) + 1)
        else:
            assert move.version is None
        model.kind = kind
        model.moves.append(move)

    @rule(name=names, commit=st.sampled_from(COMMITS), stale=st.sampled_from([None, *COMMITS]))
    def conflicting_move(self, name: str, commit: str, stale: str | None) -> None:
        model = self.models[name]
        if model.commit == stale:
            return
        with pytest.raises((Conflict, NotFound)) as refused:
            self._move(name, "branch", commit, stale)
        assert refused.value.code == ("ref_moved" if model.commit else "unknown_ref")

    @rule(name=names, times=st.integers(1, 70))
    def many_moves(self, name: str, times: int) -> None:
        model = self.models[name]
        kind: Any = model.kind or "branch"
        for number in range(times):
            model.moves.append(self._move(name, kind, COMMITS[number % 2], model.commit))
        model.kind = kind

    @rule(name=names, at=st.integers(0, 300))
    def time_travel(self, name: str, at: int) -> None:
        moves = self.models[name].moves
        if not moves:
            assert self.refs.at(self.dataset, name, clock.now()) is None
            return
        time = moves[at % len(moves)].time
        then = [move for move in moves if move.time <= time]
        assert self.refs.at(self.dataset, name, time) == then[-1].commit
        assert self.refs.at(self.dataset, name, "2000-01-01T00:00:00.000000Z") is None
        assert self.refs.at(self.dataset, name, clock.now()) == moves[-1].commit

    @invariant()
    def as_the_model(self) -> None:
        live = {name: model for name, model in self.models.items() if model.commit}
        assert [ref.name for ref in self.refs.all(self.dataset)] == sorted(live)
        ever = [name for name, model in self.models.items() if model.moves]
        assert [ref.name for ref in self.refs.ever(self.dataset)] == sorted(ever)
        for name, model in self.models.items():
            ref = self.refs.find(self.dataset, name)
            assert (ref.commit if ref else None) == model.commit
            assert ref is None or len(ref.moves) <= MOVES_MAX
            assert list(self.refs.history(self.dataset, name)) == model.moves[::-1]
        main = self.models["main"].versions if self.dataset.kind == "model" else {}
        assert self.refs.versions(self.dataset) == main
        assert sorted(main) == list(range(1, len(main) + 1))  # none is ever used twice
        assert self.refs.all(self.other) == []


RefsAgainstModel.TestCase.settings = settings(max_examples=20, stateful_step_count=15, deadline=None)
TestRefs = RefsAgainstModel.TestCase


def test_a_full_log_is_sealed() -> None:
    blobs = MemoryBlobs()
    dataset, refs = Names(blobs).create(Name("p", "d"), "dataset", bool), Refs(blobs)
    for number in range(3 * MOVES_MAX + 1):
        before = COMMITS[(number - 1) % 5] if number else None
        refs.move(dataset, "main", "branch", COMMITS[number % 5], expected=before, author="a", reason="r")
    sealed = [listed.key for listed in blobs.list("log/")]
    assert [key.rsplit("/", 1)[1][:10] for key in sealed] == ["0000000001", "0000000065", "0000000129"]
    assert [move.seq for move in refs.history(dataset, "main")] == list(range(3 * MOVES_MAX + 1, 0, -1))
    assert blobs.get(f"refs/{dataset.id}/main").count(b"write_id") == 1
