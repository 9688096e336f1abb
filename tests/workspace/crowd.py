"""Many real processes on one hub: committers on one branch, and beside them readers and a collector.

    python -m tests.workspace.crowd HUB PLACE COMMITTERS ROUNDS

All are forked from one warm process and begin at once. What each was told by its commits is left in
`PLACE/told-<number>.json`; any of them that fails makes the whole fail, and says why on stderr.
"""

import json
import os
import random
import shutil
import sys
import time
import traceback
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from pathlib import Path

from kamld.blobs import FolderBlobs
from kamld.records.names import Name, parse_reference
from kamld.store import Repository, open_hub
from kamld.store.gc import collect
from kamld.workspace import check_out, commit_folder
from tests.store.hubs import files_of

NAME = Name("p", "d")
READERS = 2
SHARED_EVERY = 4  # of a committer's rounds one changes the file that all change


class Counting(FolderBlobs):
    """Counts how often this process tried to move a branch."""

    tries = 0

    def swap(self, key: str, expected: bytes | None, to: bytes) -> None:
        self.tries += key.startswith("refs/") and key.endswith("/main")
        super().swap(key, expected, to)


def mine(number: int, count: int) -> Path:
    return Path(f"mine/{number:03}/{count}")


def content(number: int, count: int) -> bytes:
    return b"%d of %d\n" % (count, number) * (1 + 97 * number % 300)


def commit_all(hub: Path, place: Path, number: int, rounds: int) -> None:
    blobs = Counting(hub)
    repository = open_hub(blobs, threads=1)
    told = []
    folder = fresh_folder(repository, place / f"folder-{number}-0")
    began = time.monotonic()
    for count in range(rounds):
        path = folder / mine(number, count)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content(number, count))
        if (number + count) % SHARED_EVERY == 0:
            (folder / "shared").write_text(f"{number} {count}\n")
        blobs.tries, started = 0, time.monotonic()
        result = commit_folder(
            repository, folder, f"{number} {count}", name=None, kind="dataset", author=str(number)
        )
        assert result.committed
        landed = result.committed.landed
        told.append(
            {
                "commit": result.committed.commit_id,
                "how": landed.how,
                "branch": landed.branch,
                "tries": blobs.tries,
                "seconds": time.monotonic() - started,
                "ended": time.monotonic() - began,
            }
        )
        if landed.how == "kept":  # it is bound to that branch now; this one goes on with the others
            folder = fresh_folder(repository, place / f"folder-{number}-{count + 1}")
    (place / f"told-{number}.json").write_text(json.dumps(told))


def fresh_folder(repository: Repository, folder: Path) -> Path:
    resolved = repository.resolve(parse_reference("d", "p"))
    entries = repository.tree(resolved.commit).entries()
    assert check_out(repository, resolved, entries, folder, threads=1)
    return folder


def read_on(hub: Path, place: Path, number: int) -> None:
    """Check out, cat and list, what is newest and what any branch names, until told to stop."""
    chance = random.Random(number)
    done = 0
    repository = open_hub(FolderBlobs(hub), threads=1)
    while not (place / "stop").exists():
        if chance.random() < 0.3:
            repository = open_hub(FolderBlobs(hub), threads=1)
        dataset = repository.names.get(NAME)
        branch = chance.choice(repository.live_refs(dataset))
        if chance.random() < 0.3:
            folder = fresh_folder(repository, place / f"read-{number}")
            for path in folder.glob("mine/*/*"):
                by, count = int(path.parent.name), int(path.name)
                assert path.read_bytes() == content(by, count), path
            shutil.rmtree(folder)
        else:
            assert b"shared" in files_of(repository, branch.commit or "")
        done += 1
    assert done


def collect_on(hub: Path, place: Path) -> None:
    done = 0
    while not (place / "stop").exists():
        collect(open_hub(FolderBlobs(hub), threads=1), 30, timedelta(0))
        done += 1
    assert done


class Crowd:
    """Children of this process; all begin when it says so."""

    def __init__(self) -> None:
        self._begin, self._go = os.pipe()

    def add(self, what: Callable[[], None]) -> int:
        child = os.fork()
        if child:
            return child
        status = 1
        try:
            os.close(self._go)
            os.read(self._begin, 1)  # nothing is ever written: it ends when the parent closes its side
            what()
            status = 0
        except BaseException:  # noqa: BLE001 - a child ends here, whatever it was
            os.write(2, traceback.format_exc().encode())
        finally:
            os._exit(status)

    def go(self) -> None:
        os.close(self._go)


def failures(children: list[int]) -> int:
    return sum(os.waitpid(child, 0)[1] != 0 for child in children)


def main() -> int:
    hub, place = Path(sys.argv[1]), Path(sys.argv[2])
    committers, rounds = int(sys.argv[3]), int(sys.argv[4])
    crowd = Crowd()
    beside = [crowd.add(partial(read_on, hub, place, number)) for number in range(READERS)]
    beside.append(crowd.add(partial(collect_on, hub, place)))
    working = [crowd.add(partial(commit_all, hub, place, number, rounds)) for number in range(committers)]
    crowd.go()
    failed = failures(working)
    (place / "stop").touch()
    failed += failures(beside)
    return failed != 0


if __name__ == "__main__":
    sys.exit(main())
