"""Writers, a reader and a collector on one hub, in thousands of orders of their single touches of it,
with errors and lost replies: what was landed is whole, wherever it was said to be."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial

import pytest

from kamld.blobs import MemoryBlobs
from kamld.errors import Conflict, SystemFault
from kamld.records.history import Dataset
from kamld.records.names import Name
from kamld.store import Repository, open_hub
from kamld.store.fsck import check
from kamld.store.gc import collect
from tests.counts import tried
from tests.store.hubs import check_whole, commit, files_of, fresh, head
from tests.store.interleaved import Baton, Stepping

WRITERS, COMMITS = 3, 3
NOW = timedelta(0)


@dataclass
class Story:
    """One hub, and what its users were told."""

    seed: int
    faults: float
    apart: bool
    blobs: MemoryBlobs = field(default_factory=MemoryBlobs)
    writing: int = WRITERS
    deleted: int = 0  # packs
    told: list[tuple[str, str, str, bytes]] = field(default_factory=list)  # commit, how, branch, path

    def run(self) -> None:
        repository, dataset = fresh(self.blobs)
        last = commit(repository, dataset, {b"shared": b"0", b"other": content(9)}).commit_id
        for number in range(5):  # so that a merge of the index is near
            last = commit(repository, dataset, {b"shared": b"0", b"other": content(number)}, last).commit_id
        baton = Baton(self.seed)
        actors: list[Callable[[], None]] = [partial(self.write, baton, dataset, n) for n in range(WRITERS)]
        actors += [partial(self.read, baton, dataset), partial(self.collect, baton)]
        baton.run(actors)
        self.check(dataset)

    def hub(self, baton: Baton, faults: float) -> Repository:
        while True:
            with suppress(SystemFault):
                return open_hub(Stepping(self.blobs, baton, faults, apart=self.apart), threads=1)

    def write(self, baton: Baton, dataset: Dataset, number: int) -> None:
        repository, base = self.hub(baton, self.faults), ""
        for count in range(COMMITS):
            for _ in range(baton.chance.choice((0, 100, 800))):  # meanwhile a collector gets further
                baton.step()
            path = b"of %d/%d" % (number, count)
            try:
                base = base if base and baton.chance.random() < 0.5 else head(repository, dataset)
                files = files_of(repository, base) | {path: content(baton.chance.randrange(10, 14))}
                if baton.chance.random() < 0.3:
                    files[b"shared"] = path
                made = commit(repository, dataset, files, base)
                self.told.append((made.commit_id, made.landed.how, made.landed.branch, path))
                base = made.commit_id
                if baton.chance.random() < 0.5:  # what nobody names, unless somebody commits the same
                    with repository.writer() as writer:
                        writer.put(content(baton.chance.randrange(10, 14)))
            except SystemFault as fault:
                if fault.code != "io_error":
                    raise
                repository, base = self.hub(baton, self.faults), ""
        self.writing -= 1

    def read(self, baton: Baton, dataset: Dataset) -> None:
        repository = self.hub(baton, 0)
        for _ in range(4):
            for ref in repository.live_refs(dataset):
                assert b"shared" in files_of(repository, ref.commit or "")

    def collect(self, baton: Baton) -> None:
        while self.writing:
            try:
                self.deleted += collect(self.hub(baton, self.faults), 30, NOW).deleted
            except (SystemFault, Conflict) as fault:
                if fault.code not in ("io_error", "collecting", "busy_index"):
                    raise

    def check(self, dataset: Dataset) -> None:
        after = open_hub(self.blobs)
        assert after.names.get(Name("p", "d")) == dataset
        check_whole(after, dataset)
        main = {identifier for identifier, _ in after.log(head(after, dataset))}
        files = files_of(after, head(after, dataset))
        for identifier, how, branch, path in self.told:
            if how == "kept":
                assert identifier in {one for one, _ in after.log(head(after, dataset, branch))}
            else:
                assert branch == "main"
                assert identifier in main
                assert path in files
        report = check(self.blobs, threads=1, progress=lambda *_: None)
        assert report.sound, report.findings


def content(number: int) -> bytes:
    return b"%d" % number * 400


def tell(seeds: range) -> set[str]:
    """How commits ended, in all the stories of these seeds; in some of them packs were deleted."""
    ways: set[str] = set()
    deleted = 0
    for seed in seeds:
        story = Story(seed, faults=(0.0, 0.02)[seed % 2], apart=seed % 4 > 1)
        try:
            story.run()
        except BaseException as error:
            raise AssertionError(f"the story of seed {seed}, {story.faults}, {story.apart}") from error
        tried(1, "interleavings")
        ways |= {how for _, how, _, _ in story.told}
        deleted += story.deleted
    assert deleted
    return ways


@pytest.mark.timeout(120)
def test_any_order_of_touches() -> None:
    assert tell(range(24)) == {"moved", "merged", "kept"}


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_many_orders_of_touches() -> None:
    tell(range(24, 3000))
