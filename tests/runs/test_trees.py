"""The cache of checked-out inputs: shared, bounded, and made anew when somebody touched it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from kamld.runs.executor.trees import Lease, Trees
from tests.runs.stage import ROOT, Stage, Told, staged


def cache(stage: Stage, size_max: int = 10**9) -> Trees:
    return Trees(stage.repository, stage.state / "trees", size_max=size_max, threads=2)


def lease(stage: Stage, trees: Trees, commit: str, private: str = "private") -> Lease:
    tree = stage.repository.commit(commit).tree
    return trees.lease(tree, stage.folder.parent / private, lambda *_: None)


def test_made_once_then_reused(stage: Stage) -> None:
    commit = stage.commit("digits", {"a/1.txt": "one", "2.txt": "two"})
    trees = cache(stage)
    first = lease(stage, trees, commit)
    second = lease(stage, trees, commit)
    assert (first.how, second.how, first.path) == ("checked out", "reused", second.path)
    assert (first.path / "a" / "1.txt").read_text() == "one"
    assert sorted(os.listdir(first.path)) == ["2.txt", "a"]
    for path in (first.path / "2.txt", first.path / "a", first.path):
        assert not path.stat().st_mode & 0o222
    assert sorted(p.suffix for p in (stage.state / "trees").iterdir()) == ["", ".lock"]


@pytest.mark.parametrize("harm", ["changed", "same size", "removed", "added"])
def test_a_touched_tree_is_made_anew(stage: Stage, harm: str) -> None:
    commit = stage.commit("digits", {"a/1.txt": "one"})
    trees = cache(stage)
    taken = lease(stage, trees, commit)
    victim = taken.path / "a" / "1.txt"
    (taken.path / "a").chmod(0o755)
    if harm == "removed":
        victim.unlink()
    elif harm == "added":
        (taken.path / "a" / "2.txt").touch()
    else:
        victim.chmod(0o644)
        victim.write_text("uno" if harm == "same size" else "changed")
    taken.give_back()
    again = lease(stage, trees, commit)
    assert again.how == "checked out"
    assert victim.read_text() == "one"
    assert os.listdir(again.path / "a") == ["1.txt"]


def test_a_touched_tree_that_is_in_use_is_left_alone(stage: Stage) -> None:
    commit = stage.commit("digits", {"1.txt": "one"})
    trees = cache(stage)
    taken = lease(stage, trees, commit)
    (taken.path / "1.txt").chmod(0o644)
    (taken.path / "1.txt").write_text("harmed")
    other = lease(stage, trees, commit)
    assert other.how == "copied"
    assert (other.path / "1.txt").read_text() == "one"
    assert (taken.path / "1.txt").read_text() == "harmed"


def test_those_used_longest_ago_go_first(stage: Stage) -> None:
    commits = [stage.commit(f"d{n}", {"x": str(n) * 1000}) for n in range(4)]
    trees = cache(stage, size_max=2000)
    held = [lease(stage, trees, commit) for commit in commits]
    for n, one in enumerate(held):
        os.utime(one.path.parent.with_suffix(".lock"), (n, n))
    held[0].give_back()
    held[2].give_back()
    held[3].give_back()
    lease(stage, trees, commits[0]).give_back()  # used again just now
    gone = trees.make_room()
    there = {one.path.exists() for one in (held[0], held[1])}
    assert gone == [held[2].path.parent.name, held[3].path.parent.name]  # d1 is in use
    assert there == {True}
    assert not held[2].path.parent.with_suffix(".lock").exists()


def test_runs_of_several_processes_share_a_tree(stage: Stage) -> None:
    files = {f"{n}.txt": str(n) for n in range(200)}
    stage.commit("digits", files)
    script = "test $(ls $KAMLD_INPUT_DIGITS | wc -l) = 200"
    words = [str(stage.state.parent), str(stage.folder), "-i", "digits", "--", "sh", "-c", script]
    program = [sys.executable, "-m", "tests.runs.stage", *words]
    runs = [subprocess.Popen(program, cwd=ROOT, stdout=subprocess.DEVNULL) for _ in range(3)]
    assert [run.wait(timeout=60) for run in runs] == [0, 0, 0]


def test_an_input_cannot_be_written(stage: Stage) -> None:
    commit = stage.commit("digits", {"1.txt": "one"})
    told = Told()
    made = stage.run(
        "sh", "-c", 'rm -rf "$KAMLD_INPUT_DIGITS"/*; echo x > "$KAMLD_INPUT_DIGITS/1.txt"; true',
        inputs=["digits"], told=told,
    )  # fmt: skip
    assert made.exit_status == 0
    again = stage.run("sh", "-c", 'cat "$KAMLD_INPUT_DIGITS/1.txt"', inputs=[f"digits@{commit}"])
    assert stage.text(again.run.stdout) == b"one"


def test_a_run_gives_its_inputs_back(tmp_path: Path) -> None:
    with staged(tmp_path / "hub", tmp_path / "work", cache_gb=0) as stage:
        stage.commit("one", {"1.txt": "one"})
        stage.commit("two", {"2.txt": "two"})
        stage.run("true", inputs=["one"])
        stage.run("true", inputs=["two"])
        assert len(list((stage.state / "trees").glob("*.lock"))) == 1
