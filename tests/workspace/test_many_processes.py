"""Fifty processes commit to one branch at once, with readers and a collector beside them: changes to
different paths merge by themselves, true conflicts are kept as branches, and nobody waits for ever."""

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import pytest

from kamld.blobs import FolderBlobs
from kamld.store import Repository, open_hub
from kamld.store.fsck import check
from tests.counts import tried
from tests.store.hubs import check_whole, commit, files_of, fresh, head
from tests.workspace.crowd import content, mine

ROOT = Path(__file__).resolve().parents[2]
OVERTAKEN_MAX = 5  # times as long as most may one wait; in a queue it is less than twice
TRIES_MAX = 3  # a commit that waits for its turn needs one; a collector or a slow disk may cost another


@dataclass(frozen=True)
class Told:
    """What one committer was told of one commit."""

    number: int
    count: int
    commit: str
    how: str
    branch: str
    tries: int
    seconds: float
    ended: float


def run_crowd(hub: Path, place: Path, committers: int, rounds: int, seconds: int) -> list[Told]:
    place.mkdir()
    words = [sys.executable, "-m", "tests.workspace.crowd", str(hub), str(place)]
    done = subprocess.run(
        [*words, str(committers), str(rounds)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    told = []
    for number in range(committers):
        commits = json.loads((place / f"told-{number}.json").read_text())
        told += [Told(number, count, **one) for count, one in enumerate(commits)]
    return told


def check_nothing_is_lost(repository: Repository, told: list[Told]) -> None:
    """Every change is in the branch, or in the one that was named when it was kept apart."""
    dataset = repository.names.all()[0]
    everything = check_whole(repository, dataset)
    main = {identifier for identifier, _ in repository.log(head(repository, dataset))}
    files = files_of(repository, head(repository, dataset))
    for one in told:
        path, expected = bytes(mine(one.number, one.count)), content(one.number, one.count)
        assert one.commit in everything
        if one.how == "kept":
            assert one.branch != "main"
            assert head(repository, dataset, one.branch) == one.commit
            assert files_of(repository, one.commit)[path] == expected
        else:
            assert one.branch == "main"
            assert one.commit in main
            assert files[path] == expected
    left = {str(listed.key) for listed in repository.blobs.list("leases/")}
    assert not left


def spread(told: list[Told]) -> str:
    waits = sorted(one.seconds for one in told)
    last = {one.number: one.ended for one in told}
    return (
        f"{len(told)} commits: median {median(waits):.3f} s, 99 of 100 within"
        f" {waits[len(waits) * 99 // 100]:.3f} s, slowest {waits[-1]:.3f} s; tries at most"
        f" {max(one.tries for one in told)}; the first process was done after {min(last.values()):.1f} s,"
        f" the last after {max(last.values()):.1f} s"
    )


def check_fair(told: list[Told]) -> None:
    tried(len(told), "commits of processes at once")
    waits = [one.seconds for one in told]
    assert max(one.tries for one in told) <= TRIES_MAX, spread(told)
    assert max(waits) <= 2 + OVERTAKEN_MAX * median(waits), spread(told)


def crowded(tmp_path: Path, committers: int, rounds: int, seconds: int) -> list[Told]:
    repository, dataset = fresh(FolderBlobs(tmp_path / "hub"), "model")
    large = bytes(range(256)) * 1200
    commit(repository, dataset, {b"shared": b"", b"large": large, **{b"a/%d" % n: b"x" for n in range(50)}})
    told = run_crowd(tmp_path / "hub", tmp_path / "place", committers, rounds, seconds)
    after = open_hub(FolderBlobs(tmp_path / "hub"))
    check_nothing_is_lost(after, told)
    assert {one.how for one in told} >= {"merged", "kept"}
    versions = after.refs.versions(dataset)
    assert sorted(versions) == list(range(1, len(versions) + 1))
    assert list((tmp_path / "hub" / "tmp").iterdir()) == []
    report = check(after.blobs, threads=2, progress=lambda *_: None)
    assert report.sound, report.findings
    return told


@pytest.mark.timeout(180)
def test_fifty_processes_commit_to_one_branch_at_once(tmp_path: Path) -> None:
    told = crowded(tmp_path, committers=50, rounds=2, seconds=150)
    check_fair(told)


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_fifty_processes_for_long(tmp_path: Path) -> None:
    told = crowded(tmp_path, committers=50, rounds=20, seconds=1500)
    check_fair(told)
