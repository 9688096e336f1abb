"""Commands that are killed at random instants, and the hub that they leave."""

import json
import random
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from kamld.blobs import FolderBlobs
from kamld.records.history import Dataset
from kamld.records.names import Name
from kamld.store import Repository, open_hub
from kamld.store.fsck import check
from tests.cli.conftest import Kamld
from tests.counts import tried
from tests.store.hubs import commit, files_of, head

ROOT = Path(__file__).resolve().parents[2]
KILLS, KILLS_LONG = 16, 250  # of each verb
CHECK_EVERY = 8  # kills, all of the hub is verified
Files = dict[bytes, bytes]


@dataclass
class Victims:
    """Starts commands and kills them, at times spread over how long they take."""

    kamld: Kamld
    here: Path
    hub: Path
    process: "subprocess.Popen[str]"
    chance: random.Random
    known: dict[str, Files] = field(default_factory=dict)  # versions that have landed
    killed: int = 0
    ended: int = 0

    @property
    def repository(self) -> Repository:
        return open_hub(FolderBlobs(self.hub), threads=2)

    @property
    def dataset(self) -> Dataset:
        return self.repository.names.get(Name("default", "d"))

    def let(self, *commands: str, seconds: float = 60) -> tuple[bool, float, int]:
        assert self.process.stdin
        assert self.process.stdout
        print(json.dumps([seconds, str(self.here), *commands]), file=self.process.stdin, flush=True)
        done, spent, count = json.loads(self.process.stdout.readline())
        return done, spent, count

    def kill(self, usual: float, number: int, kills: int, *commands: str) -> int:
        """How many of the commands had ended."""
        share = 1.05 * (number * 7919 % kills + self.chance.random()) / kills
        done, _, count = self.let(*commands, seconds=share * usual)
        self.killed += not done
        self.ended += done
        return count

    def check(self, number: int = 0) -> None:
        """The hub as a new process finds it."""
        if number % CHECK_EVERY:
            return
        repository = self.repository
        for identifier, files in self.known.items():
            assert files_of(repository, identifier) == files
        report = check(repository.blobs, threads=2, progress=lambda *_: None)
        assert report.sound, report.findings

    def land(self, files: Files, *parents: str, branch: str = "main") -> str:
        made = commit(self.repository, self.dataset, files, *parents, branch=branch)
        assert made.landed.how == "moved"
        self.known[made.commit_id] = files
        return made.commit_id

    def head(self, branch: str = "main") -> str:
        return head(self.repository, self.dataset, branch)

    def head_of(self, name: str) -> str:
        repository = self.repository
        return head(repository, repository.names.get(Name("default", name)))


@contextmanager
def victims_in(kamld: Kamld, here: Path, hub: Path) -> Iterator[Victims]:
    """With a dataset `d` that has a folder `d`. At the end the hub is looked at."""
    folder = here / "d"
    for name in ("a/one", "a/two", "b/three", "large"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(f"{name}\n" * (40_000 if name == "large" else 5))
    kamld("commit d -m first")
    words = [sys.executable, "-m", "tests.cli.killing"]
    with subprocess.Popen(
        words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT
    ) as process:
        given = Victims(kamld, here, hub, process, random.Random(1))
        given.known[given.head()] = content(folder)
        yield given
        assert process.stdin
        process.stdin.close()
        assert process.wait(60) == 0
    given.check()
    assert given.killed > 0
    tried(given.killed, "commands killed")
    assert not list((hub / "leases").glob("*")) or not given.repository.leases.all()


def content(folder: Path) -> Files:
    found = (path for path in folder.rglob("*") if path.is_file() and ".kamld" not in path.parts)
    return {bytes(path.relative_to(folder)): path.read_bytes() for path in found}


def usual(times: list[float]) -> float:
    return sorted(times)[len(times) // 2]
