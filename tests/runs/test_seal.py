"""Sealing that is interrupted: what is kept then, and what the next start makes of it."""

import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest

from kamld.blobs import FolderBlobs
from kamld.errors import SystemFault
from kamld.records.history import Dataset, Kind
from kamld.records.names import Name
from kamld.runs import draft
from kamld.runs.unfinished import close_unfinished
from kamld.store import Tree, open_hub
from kamld.store.gc import collect
from tests.runs.stage import ROOT, Stage, Told, staged
from tests.workspace.killed import STATUS

WRITE = 'echo "$KAMLD_RUN_ID" > "$KAMLD_OUTPUT_NET/model"; echo done'


def broken(*_: object, **__: object) -> None:
    raise SystemFault("io_error", "The cable is out.")


def broken_run(stage: Stage) -> None:
    with pytest.raises(SystemFault) as caught:
        stage.run("sh", "-c", WRITE, outputs=["model:net"])
    [left] = stage.left()
    assert str(stage.state / "runs" / left) in caught.value.message
    assert "next kamld run then finishes" in caught.value.hint
    assert [live.id for live in stage.live.runs()] == [left]


@pytest.mark.parametrize("step", ["claim_number", "seal_run"])
def test_a_run_that_could_not_be_sealed_is_sealed_later(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(stage.repository.sealed, step, broken)
        broken_run(stage)
    assert stage.repository.sealed.run_ids() == []
    assert stage.repository.names.all() == []
    told = Told()
    assert stage.run("true", told=told).run.number == 2
    [closed] = told.closed_runs
    assert closed.run
    assert (closed.run.state, closed.run.number) == ("succeeded", 1)
    assert stage.files("net@v1") == {"model": f"{closed.run.id}\n".encode()}
    assert stage.text(closed.run.stdout) == b"done\n"
    assert closed.run.environment
    assert closed.run.environment.python
    assert stage.left() == []


def test_a_sealed_run_whose_outputs_did_not_land_lands_them_later(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(stage.repository, "land", broken)
        broken_run(stage)
    [run_id] = stage.repository.sealed.run_ids()
    net = stage.repository.names.find(Name("default", "net"))
    assert net
    assert stage.repository.refs.find(net, "main") is None
    [closed] = close_unfinished(stage.repository, stage.executor, stage.live, stage.state)
    assert closed.run
    assert closed.run.id == run_id
    assert stage.files("net@v1") == {"model": f"{run_id}\n".encode()}
    assert close_unfinished(stage.repository, stage.executor, stage.live, stage.state) == []


def test_a_run_that_cannot_be_closed_yet_stops_nobody(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(stage.repository.sealed, "claim_number", broken)
        broken_run(stage)
        [closed] = close_unfinished(stage.repository, stage.executor, stage.live, stage.state)
        assert closed.run is None
        assert closed.error
        assert closed.error.code == "io_error"
    [closed] = close_unfinished(stage.repository, stage.executor, stage.live, stage.state)
    assert closed.run


def test_an_output_that_was_changed_meanwhile_is_not_taken_for_the_runs(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(stage.repository.sealed, "claim_number", broken)
        with pytest.raises(SystemFault):
            stage.run("sh", "-c", "echo x > out/model", outputs=["model:net:out"])
    (stage.folder / "out" / "model").write_text("by hand")
    [closed] = close_unfinished(stage.repository, stage.executor, stage.live, stage.state)
    assert closed.run
    assert closed.run.state == "failed"
    assert "was changed after the run had ended" in closed.run.error
    assert stage.repository.names.all() == []


def test_a_name_that_became_something_else_meanwhile(stage: Stage) -> None:
    class Meddling(Told):
        def wrote(self, stream: object, data: bytes) -> None:
            stage.commit("net", {"rows.csv": "1"})

    made = stage.run("sh", "-c", WRITE, outputs=["model:net"], told=Meddling())
    assert (made.run.state, made.code) == ("failed", "other_kind")
    assert set(stage.files("net")) == {"rows.csv"}


def test_folders_that_are_half_made_or_half_removed(stage: Stage) -> None:
    runs = stage.state / draft.RUNS
    for name in (".new-a", ".gone-b/job"):
        (runs / name).mkdir(parents=True)
    (runs / "0123").mkdir()  # not one of ours: it has no lock
    (runs / "4567").mkdir()
    (runs / "4567" / "lock").touch()  # stopped before it knew what to run
    assert close_unfinished(stage.repository, stage.executor, stage.live, stage.state) == []
    assert sorted(path.name for path in runs.iterdir()) == [".new-a", "0123"]


def test_an_end_fits_its_file(tmp_path: Path) -> None:
    folder = draft.new_folder(tmp_path, "a")
    draft.write_in_place(folder.path / "end.json", b"", 4096)
    assert folder.end() is None
    end = draft.End(ended="now", state="failed", code="x", error="é" * 5000)
    folder.write_end(end)
    assert folder.end() == draft.End(ended="now", state="failed", code="x", error="é" * 800)
    assert (folder.path / "end.json").stat().st_size == 4096
    folder.close()


@pytest.mark.parametrize(
    "when",
    [
        "before:kamld.store.sealed:Sealed.seal_run",
        "after:kamld.store.sealed:Sealed.seal_run",
        "before:kamld.store.repository:Repository.create",
        "after:kamld.store.repository:Repository.create",
        "after:kamld.store.repository:Repository.land",
    ],
)
def test_killed_at_every_gap_of_a_first_output(tmp_path: Path, when: str) -> None:
    hub, work = tmp_path / "hub", tmp_path / "work"
    words = ["--die", when, str(hub), str(work), "-o", "model:net", "--", "sh", "-c", WRITE]
    program = [sys.executable, "-m", "tests.runs.stage", *words]
    assert subprocess.run(program, cwd=ROOT, capture_output=True, check=False).returncode == STATUS
    with staged(hub, work) as stage:
        told = Told()
        assert stage.run("true", told=told).run.number == 2
        [closed] = told.closed_runs
        assert closed.run
        assert (closed.run.state, closed.run.number) == ("succeeded", 1)
        assert stage.files("net@v1") == {"model": f"{closed.run.id}\n".encode()}
        assert stage.left() == []
        again = stage.run("sh", "-c", WRITE, outputs=["model:net"])
        assert [landing.version for landing in again.landings] == [2]


def test_a_name_that_nothing_landed_under_is_free_for_another_kind(stage: Stage) -> None:
    stage.repository.create(Name("default", "net"), "dataset")
    made = stage.run("sh", "-c", WRITE, outputs=["model:net"])
    assert [landing.version for landing in made.landings] == [1]


def test_an_output_whose_name_somebody_else_was_faster_to_make(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    create = stage.repository.create

    def faster(name: Name, kind: Kind) -> Dataset:
        monkeypatch.setattr(stage.repository, "create", create)
        stage.commit("net", {"theirs": "1"}, kind="model")
        return create(name, kind)

    monkeypatch.setattr(stage.repository, "create", faster)
    made = stage.run("sh", "-c", WRITE, outputs=["model:net"])
    assert [landing.branch for landing in made.landings] == ["main"]
    assert set(stage.files("net")) == {"theirs", "model"}


def test_a_collection_at_any_moment_of_a_run_takes_nothing_from_it(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While the command runs, between what is written and what is sealed, and before the outputs land."""
    other = open_hub(FolderBlobs(Path(stage.repository.blobs.location)))
    sealed, collected = stage.repository.sealed, []

    def collecting(of: object, name: str) -> None:
        step = getattr(of, name)

        def after(*given: object, **named: object) -> object:
            collected.extend(collect(other, 0, timedelta(0)) for _ in range(2))
            return step(*given, **named)

        monkeypatch.setattr(of, name, after)

    for name in ("claim_number", "seal_run"):
        collecting(sealed, name)
    collecting(stage.executor, "watch")
    collecting(stage.repository, "land")
    run = stage.run("sh", "-c", WRITE, outputs=["model:net"]).run
    assert any(one.waits_for for one in collected)
    assert stage.files("net@v1") == {"model": f"{run.id}\n".encode()}
    assert stage.text(run.stdout) == b"done\n"
    assert run.code
    for row in Tree(other.objects, bytes.fromhex(run.code.tree)).entries().rows():
        other.objects.read(row.id)
    assert other.leases.all() == {}


def test_what_a_killed_run_needs_is_kept_until_it_is_closed(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    (stage.folder / "train.py").write_text("print(1)\n")
    with monkeypatch.context() as patch:
        patch.setattr(stage.repository.sealed, "seal_run", broken)
        broken_run(stage)
    drafts = frozenset(draft.kept_for(stage.state))
    assert {root.kind for root in drafts} >= {"tree"}
    for _ in range(2):
        collect(stage.repository, 0, timedelta(0), drafts)
    [closed] = close_unfinished(stage.repository, stage.executor, stage.live, stage.state)
    assert closed.run
    assert closed.run.code
    tree = Tree(stage.repository.objects, bytes.fromhex(closed.run.code.tree))
    assert [stage.repository.objects.read(row.id) for row in tree.entries().rows()] == [b"print(1)\n"]
    assert list(draft.kept_for(stage.state)) == []
