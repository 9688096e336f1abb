"""SIGKILL at any instant of a commit: the hub stays whole, and the next commit succeeds."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import pytest

from kamld.blobs import FolderBlobs
from kamld.records.history import Dataset
from kamld.records.names import Name
from kamld.store import Repository, open_hub
from tests.store.hubs import check_whole, commit, files_of, fresh, head

ROOT = Path(__file__).resolve().parents[2]

# Forks a committer for each line it reads, so that each starts at once; tells every commit made.
_PROGRAM = """
import json, os, random, sys
from pathlib import Path
from kamld.blobs import FolderBlobs
from kamld.records.names import Name
from kamld.store import open_hub
from tests.store.hubs import commit, files_of, head

def commit_for_ever(hub):
    repository = open_hub(FolderBlobs(hub), threads=2)
    dataset = repository.names.get(Name("p", "d"))
    while True:
        last = head(repository, dataset)
        files = {path: data for path, data in files_of(repository, last).items() if path != b"large"}
        files[b"%d" % random.randrange(8)] = os.urandom(random.choice((10, 5_000, 100_000)))
        files[b"large"] = os.urandom(random.choice((1, 1, 1_500_000)))
        made = commit(repository, dataset, files, last)
        tell("made", made.commit_id)

def tell(*words):
    os.write(1, json.dumps(words).encode() + b"\\n")

for line in sys.stdin:
    child = os.fork()
    if child == 0:
        random.seed()
        commit_for_ever(Path(sys.argv[1]))
    tell("started", child)
    os.waitpid(child, 0)
    tell("ended")
"""


@contextmanager
def committers(hub: Path) -> Iterator[tuple[IO[str], IO[str]]]:
    words = [sys.executable, "-c", _PROGRAM, str(hub)]
    with subprocess.Popen(words, stdin=-1, stdout=-1, text=True, bufsize=1, cwd=ROOT) as forker:
        assert forker.stdin
        assert forker.stdout
        yield forker.stdin, forker.stdout
        forker.stdin.close()


def kill_one(ask: IO[str], answers: IO[str], seconds: float) -> list[str]:
    """Let one commit for so long, kill it; the commits that it said it had made."""
    ask.write("go\n")
    word, pid = json.loads(answers.readline())
    assert word == "started"
    time.sleep(seconds)
    os.kill(pid, signal.SIGKILL)
    made = []
    while (said := json.loads(answers.readline()))[0] != "ended":
        made.append(said[1])
    return made


def rounds(hub: Path, kills: int, seed: int) -> None:
    repository, dataset = fresh(FolderBlobs(hub))
    made = [commit(repository, dataset, {b"0": b"first"}).commit_id]
    pauses = random.Random(seed)
    with committers(hub) as (ask, answers):
        for _ in range(kills):
            made += kill_one(ask, answers, pauses.uniform(0.005, 0.12))
            made.append(check_goes_on(hub, dataset, made))
    whole = open_hub(FolderBlobs(hub))
    assert len(made) > kills
    assert set(made) <= check_whole(whole, dataset)
    whole.rebuild_index()
    assert set(made) <= check_whole(open_hub(FolderBlobs(hub)), dataset)


def check_goes_on(hub: Path, dataset: Dataset, made: list[str]) -> str:
    """As a new process finds it: what was said to be made is there, the next commit succeeds."""
    repository = open_hub(FolderBlobs(hub), threads=2)
    assert repository.names.get(Name("p", "d")) == dataset
    last = head(repository, dataset)
    assert set(made) <= _history(repository, last)
    files = files_of(repository, last)
    done = commit(repository, dataset, files | {b"after": made[-1].encode()}, last)
    assert done.landed.how == "moved"
    return done.commit_id


def _history(repository: Repository, start: str) -> set[str]:
    return {identifier for identifier, _ in repository.log(start)}


def test_killed_forty_times(tmp_path: Path) -> None:
    rounds(tmp_path / "hub", 40, seed=1)


@pytest.mark.long
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("seed", range(3))
def test_killed_many_times(tmp_path: Path, seed: int) -> None:
    rounds(tmp_path / "hub", 150, seed)
