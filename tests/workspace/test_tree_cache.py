"""The cache of checked-out trees: shared, bounded, and made anew when somebody touched it."""

import os
from pathlib import Path

import pytest

from kamld.records.names import Name
from kamld.store import Repository
from kamld.workspace import Lease, TreeCache, commit_folder


class Stage:
    """A hub with a cache, and datasets in it."""

    def __init__(self, repository: Repository, place: Path) -> None:
        self.repository = repository
        self.place = place
        self.state = place / "state"

    def commit(self, name: str, files: dict[str, str]) -> str:
        for path, text in files.items():
            (self.place / name / path).parent.mkdir(parents=True, exist_ok=True)
            (self.place / name / path).write_text(text)
        made = commit_folder(
            self.repository, self.place / name, "m", name=Name("default", name), kind="dataset", author="me"
        )
        assert made.committed
        return made.committed.commit_id


@pytest.fixture
def stage(repository: Repository, tmp_path: Path) -> Stage:
    return Stage(repository, tmp_path)


def cache(stage: Stage, size_max: int = 10**9) -> TreeCache:
    return TreeCache(stage.repository, stage.state / "trees", size_max=size_max, threads=2)


def lease(stage: Stage, trees: TreeCache, commit: str) -> Lease:
    return trees.lease(stage.repository.commit(commit).tree)


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
    assert trees.make_room() == []
    assert (other.path / "1.txt").read_text() == "one"
    other.give_back()
    trees.make_room()
    assert not other.path.exists()
    assert taken.path.exists()


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
