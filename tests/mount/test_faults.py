"""Each write of a commit in a mount goes wrong once; see tests/cli/test_every_fault.py."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

import kamld.app
from kamld.blobs import FolderBlobs
from kamld.cli.main import run
from kamld.store import open_hub
from tests.mount.conftest import Hub
from tests.store.faults import KINDS, FaultyBlobs, Killed, Plan
from tests.store.hubs import files_of

pytestmark = pytest.mark.needs("fuse")


def interfered(words: list[str], plan: Plan, monkeypatch: pytest.MonkeyPatch) -> int:
    """The command's status; -9 where it was killed."""
    with monkeypatch.context() as patched:
        patched.setattr(kamld.app, "FolderBlobs", lambda folder: FaultyBlobs(FolderBlobs(folder), plan))
        try:
            return run(words)
        except Killed:
            return -9


def newest(place: Path) -> tuple[str, dict[str, bytes]]:
    """The newest version, as another process finds it: its id and its files."""
    repository = open_hub(FolderBlobs(place), threads=1)
    ((_, ref),) = [(d, ref) for d in repository.names.all() for ref in repository.live_refs(d)]
    assert ref.commit
    files = files_of(repository, ref.commit)
    return ref.commit, {os.fsdecode(path): data for path, data in files.items()}


@pytest.mark.parametrize("every", [False, pytest.param(True, marks=pytest.mark.long)], ids=["some", "all"])
def test_a_fault_at_any_write_of_a_commit(
    hub: Hub, make: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, every: bool
) -> None:
    """One mount goes through them all: it shows what it showed, the commit landed whole or not at all, and
    the next one goes on."""
    make({"a": b"0", "d/b": b"0", "d/c": b"0"})
    mounted, place = hub.mount(write=True), tmp_path / "hub"
    at, statuses, landed, reached = 0, set[int](), 0, True
    while reached:
        at += 1
        for kind in KINDS if every else (KINDS[at % len(KINDS)], KINDS[(at + 2) % len(KINDS)]):
            (mounted / "a").write_text(f"{kind} at {at}")
            (mounted / f"new {kind} {at}").write_text(f"new {kind} {at}")
            wanted = contents(mounted)
            before, plan = newest(place), Plan(at, kind, for_good=True)
            status = interfered(["commit", "m", "-m", kind], plan, monkeypatch)
            for lease in place.glob("leases/*"):  # its holder is gone; here it lives
                lease.unlink()
            where = f"{kind} at write {at} of {plan.writes}"
            assert contents(mounted) == wanted, where
            now = newest(place)
            assert now == before or now[1] == wanted, where
            assert ("Nothing has changed" in hub("status m")) == (now != before), where
            assert status or now != before, where
            hub("commit m -m again")
            assert (newest(place) == now) == (now != before), where
            assert newest(place)[1] == contents(mounted) == wanted, where
            assert "Nothing has changed" in hub("status m"), where
            statuses.add(status)
            landed += bool(status) and now != before
            reached = len(plan.writes) >= at
    assert at > 5
    assert landed, "none was cut off after it had landed"
    assert statuses == {-9, 0, 3}
    hub("fsck")


def contents(folder: Path) -> dict[str, bytes]:
    found = (path for path in folder.rglob("*") if path.is_file() and ".kamld" not in path.parts)
    return {str(path.relative_to(folder)): path.read_bytes() for path in found}
