"""Whatever happens to a hub, a catalog kept up to date equals one that is made from nothing."""

import shutil
from collections.abc import Sequence
from pathlib import Path
from tempfile import mkdtemp
from typing import Any
from urllib.parse import unquote

from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from kamld.blobs import MemoryBlobs
from kamld.catalog.refresh import Refreshed
from kamld.records.history import Dataset, Kind
from kamld.store.refs import moves as ref_moves
from tests.catalog.conftest import AUTHOR, Hub

names = st.sampled_from(["flowers", "digits-net"])
branches = st.sampled_from(["main", "clean"])
refs = st.just("champion")
pick = st.integers(0, 1000)


class HubMachine(RuleBasedStateMachine):
    @initialize()
    def begin(self) -> None:
        self.folder = Path(mkdtemp(prefix="kamld-test-"))
        self.hub = Hub(self.folder, MemoryBlobs())  # in memory to get further in the same time
        self.catalog = self.hub.catalog()
        self.other = self.hub.catalog()  # as another process has it
        self.commits: list[str] = []
        self.seals_soon, ref_moves.MOVES_MAX = ref_moves.MOVES_MAX, 2

    def teardown(self) -> None:
        ref_moves.MOVES_MAX = self.seals_soon
        assert self.catalog.mended == self.other.mended == 0
        self.catalog.close()
        self.other.close()
        shutil.rmtree(self.folder)

    @rule(name=names, branch=branches, content=st.binary(max_size=3))
    def commit(self, name: str, branch: str, content: bytes) -> None:
        kind: Kind = "model" if name == "digits-net" else "dataset"
        dataset = self.hub.dataset(name, kind)
        self.commits.append(self.hub.commit(dataset, {"a": content}, branch=branch))

    @precondition(lambda self: len(self.commits) > 1)
    @rule(name=names, parents=st.lists(pick, min_size=1, max_size=2), branch=branches)
    def commit_beside_others(self, name: str, parents: Sequence[int], branch: str) -> None:
        """From old commits, of other datasets too: it is merged or kept as a branch of its own."""
        dataset = self._dataset(name)
        chosen = dict.fromkeys(self.commits[at % len(self.commits)] for at in parents)
        made = self.hub.write({"b": str(len(self.commits)).encode()}, *chosen)
        self.commits.append(made)
        if dataset:
            self.hub.repository.land(dataset, branch, made, author=AUTHOR)

    @precondition(lambda self: self.commits)
    @rule(name=names, ref=refs, kind=st.sampled_from(["branch", "tag", "alias"]), at=pick)
    def move_a_ref(self, name: str, ref: str, kind: str, at: int) -> None:
        dataset = self._dataset(name)
        found = self.hub.repository.refs.find(dataset, ref) if dataset else None
        if dataset is None or (found and found.commit and found.kind != kind):
            return
        self.hub.repository.refs.move(
            dataset, ref, kind, self.commits[at % len(self.commits)],  # type: ignore[arg-type]
            expected=found.commit if found else None, author=AUTHOR, reason="moved",
        )  # fmt: skip

    @rule(name=names, ref=refs)
    def remove_a_ref(self, name: str, ref: str) -> None:
        dataset = self._dataset(name)
        found = self.hub.repository.refs.find(dataset, ref) if dataset else None
        if dataset and found and found.commit:
            self.hub.repository.refs.move(
                dataset, ref, found.kind, None, expected=found.commit, author=AUTHOR, reason="removed"
            )

    @precondition(lambda self: self.commits)
    @rule(at=pick, param=st.one_of(st.text(max_size=4), st.floats(), st.integers(-9, 9), st.booleans()))
    def seal_a_run(self, at: int, param: str | float | bool) -> None:
        commit_id = self.commits[at % len(self.commits)]
        self.hub.run(
            inputs={"flowers": commit_id}, outputs={"net": commit_id}, params={"p": param},
            metrics={"loss": param} if isinstance(param, float) else {},
        )  # fmt: skip

    @precondition(lambda self: self.commits)
    @rule(at=pick, action=st.sampled_from(["deploy", "stop"]), endpoint=st.sampled_from(["one", "two"]))
    def deploy(self, at: int, action: str, endpoint: str) -> None:
        served = [("v1", self.commits[at % len(self.commits)], 100)] if action == "deploy" else []
        self.hub.deploy(endpoint, *served, action=action)

    @rule()
    def refresh(self) -> None:
        assert not self.catalog.refresh().anew
        assert self.catalog.refresh() == Refreshed()

    @rule()
    def refresh_elsewhere(self) -> None:
        assert not self.other.refresh().anew

    @rule()
    def check(self) -> None:
        kept = self.hub.dump()
        with self.hub.catalog("anew.sqlite") as fresh:
            fresh.rebuild()
        assert self.hub.dump("anew.sqlite") == kept
        self._compare_with_the_store(kept)

    @rule()
    def ask(self) -> None:
        assert len(self.catalog.runs()) == len(self.hub.sealed.run_ids())

    def _compare_with_the_store(self, kept: dict[str, list[tuple[Any, ...]]]) -> None:
        """By plain walks over everything; the columns that come first are the keys."""
        repository, moves, reached = self.hub.repository, set(), set()
        for dataset in repository.names.all():
            for listed in repository.blobs.list(f"refs/{dataset.id}/"):
                ref = unquote(listed.key.rpartition("/")[2])
                for move in repository.refs.history(dataset, ref):
                    moves.add((dataset.id, ref, move.seq, move.commit))
                    if move.commit:
                        reached |= {(dataset.id, commit_id) for commit_id, _ in repository.log(move.commit)}
        assert {(*row[:3], row[6]) for row in kept["moves"]} == moves
        assert set(kept["dataset_commits"]) == reached
        assert {row[0] for row in kept["commits"]} == {commit_id for _, commit_id in reached}
        assert [row[0] for row in kept["runs"]] == sorted(repository.sealed.run_ids())
        events = [e.key for name in repository.sealed.endpoints() for e in repository.sealed.history(name)]
        assert [row[0] for row in kept["deployment_events"]] == sorted(events)

    def _dataset(self, name: str) -> Dataset | None:
        return next((d for d in self.hub.repository.names.all() if d.name == name), None)


TestRefreshEqualsRebuild = HubMachine.TestCase
TestRefreshEqualsRebuild.settings = settings(  # what fails is short enough, so it is not made shorter
    max_examples=25, stateful_step_count=40, deadline=None, phases=[Phase.explicit, Phase.generate]
)
