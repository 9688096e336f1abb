"""Imports whose hub fails at any write: all of a version lands, or none of it, and the next try succeeds."""

import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from kamld.blobs import MemoryBlobs
from kamld.blobs.foreign import Foreign
from kamld.errors import KamldError, SystemFault
from kamld.exchange import Imported, import_from, recognise
from kamld.records.names import Name
from kamld.store import Repository, open_hub
from tests.exchange.dvc_repositories import Repository as DvcRepository
from tests.exchange.dvc_repositories import description, folder_list
from tests.exchange.packing import odd_folder, pack
from tests.exchange.servers import web_server
from tests.store.faults import KINDS, FaultyBlobs, Killed, Plan

NAME = Name("default", "it")
Bring = Callable[[Repository], Imported]


def bring(source: str, notes: Path, **more: Any) -> Bring:
    def brought(repository: Repository) -> Imported:
        reach = Foreign(os.environ)
        repository.objects.foreign = reach
        found = recognise(source, reach, Path("/"), aside=notes)
        return import_from(repository, found, NAME, local=notes, author="me", **more)

    return brought


def contents(repository: Repository) -> dict[bytes, bytes] | None:
    """Of the newest version; None: there is none."""
    found = repository.names.find(NAME)
    ref = repository.refs.find(found, "main") if found else None
    if ref is None or ref.commit is None:
        return None
    rows = list(repository.tree(repository.commit(ref.commit)).entries().rows())
    return {row.path: b"".join(map(bytes, repository.objects.stream(row.id))) for row in rows}


def at_every_write(kind: str, first: Bring, change: Callable[[], None], second: Bring) -> int:
    """Two imports, the second of which goes wrong at its first, second … write. How many there were."""
    at, reached = 0, True
    good = MemoryBlobs()
    while reached:
        at += 1
        blobs, plan = MemoryBlobs(), Plan(at, kind)
        first(open_hub(blobs, threads=1))
        before = contents(open_hub(blobs, threads=1))
        change()
        with suppress(SystemFault, Killed):
            second(open_hub(FaultyBlobs(blobs, plan), threads=1))  # type: ignore[arg-type]
        reached = len(plan.writes) >= at
        repository = open_hub(blobs, threads=1)
        repository.objects.foreign = Foreign(os.environ)
        now = contents(repository)
        after = now if now != before else contents_after(second, repository)
        if at == 1:
            first(open_hub(good, threads=1))
            second(open_hub(good, threads=1))
        whole = open_hub(good, threads=1)
        whole.objects.foreign = Foreign(os.environ)
        assert after == contents(whole)
        assert second(repository).committed is None, "nothing is left to do"
    return at


def contents_after(again: Bring, repository: Repository) -> dict[bytes, bytes] | None:
    assert again(repository).committed
    return contents(repository)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("reference", [False, True])
def test_a_folder(kind: str, reference: bool, tmp_path: Path) -> None:
    odd_folder(tmp_path / "odd")
    (tmp_path / "odd/sub/large").write_bytes(bytes(200_000))
    state = {"n": 0}

    def change() -> None:
        state["n"] += 1
        (tmp_path / "odd/a.txt").write_text("changed")

    def back(repository: Repository) -> Imported:
        (tmp_path / "odd/a.txt").write_text("a\n")
        return bring(str(tmp_path / "odd"), tmp_path / f"notes{state['n']}", reference=reference)(repository)

    def again(repository: Repository) -> Imported:
        (tmp_path / "odd/a.txt").write_text("changed")
        return bring(str(tmp_path / "odd"), tmp_path / f"notes{state['n']}", reference=reference)(repository)

    if reference:  # what is left there has to be as it was to be looked at
        state["n"] = 1000
        once = bring(str(tmp_path / "odd"), tmp_path / "notes", reference=True)
        for at in range(1, 12):
            blobs, plan = MemoryBlobs(), Plan(at, kind)
            with suppress(SystemFault, Killed):
                once(open_hub(FaultyBlobs(blobs, plan), threads=1))  # type: ignore[arg-type]
            repository = open_hub(blobs, threads=1)
            once(repository)
            found = contents(repository)
            assert found is not None
            assert found[b"sub/large"] == bytes(200_000)
        return
    assert at_every_write(kind, back, change, again) > 4


@pytest.mark.parametrize("kind", ["refuse", "kill late"])
@pytest.mark.needs("git")
def test_a_history(kind: str, tmp_path: Path) -> None:
    made = DvcRepository(tmp_path / "repo", by_dvc=False)
    cache = made.top / ".dvc/cache"
    for number in range(3):
        files = {str(n): f"{n * number}".encode() for n in range(3)}
        made.write({"data.dvc": description(folder_list(cache, files), "data")})
        made.commit(f"{number}")
        made.run("git", "tag", f"t{number}")
    once = bring(str(made.top), tmp_path / "notes")
    at, reached = 0, True
    while reached:
        at += 1
        blobs, plan = MemoryBlobs(), Plan(at, kind)
        with suppress(SystemFault, Killed):
            once(open_hub(FaultyBlobs(blobs, plan), threads=1))  # type: ignore[arg-type]
        reached = len(plan.writes) >= at
        repository = open_hub(blobs, threads=1)
        before = contents(repository)
        once(repository)
        assert before in (None, contents(repository))
        assert contents(repository) == {b"data/0": b"0", b"data/1": b"2", b"data/2": b"4"}
        dataset = repository.names.get(NAME)
        tags = {ref.name for ref in repository.live_refs(dataset) if ref.kind == "tag"}
        assert tags == {"t0", "t1", "t2"}
        assert len(list(repository.log(repository.refs.find(dataset, "main").commit))) == 3  # type: ignore[union-attr,arg-type]
    assert at > 5


@pytest.mark.parametrize("reference", [False, True])
def test_a_web_that_cuts_and_changes(reference: bool, tmp_path: Path) -> None:
    """Each import either brings one of the states that there were, whole, or says why not."""
    states = [bytes([n]) * 3_000_000 for n in range(6)]
    with web_server() as web:
        once = bring(f"{web.address}/f.bin", tmp_path / "notes", reference=reference)
        repository = open_hub(MemoryBlobs())
        brought = 0
        for n, state in enumerate(states):
            web.files["/f.bin"], web.then = state, [state] * n + [states[-1]]
            web.cuts = [1, 1_500_000, 2_000_000, 5_000_000, 5_000_000]
            try:
                done = once(repository)
            except KamldError as error:
                assert error.code in ("changed_meanwhile", "connection_cut", "left_file_changed")  # noqa: PT017
                continue
            brought += done.committed is not None
            if not reference:
                assert contents(repository) in [{b"f.bin": one} for one in states]
        web.then, web.cuts = [], []
        web.files["/f.bin"] = states[0]
        once(repository)
        assert contents(repository) == {b"f.bin": states[0]}
        assert brought


def test_two_who_import_at_once(tmp_path: Path) -> None:
    """One after the other in truth, but both began before either landed."""
    pack(odd_folder(tmp_path / "odd"), tmp_path / "odd.tar.gz")
    blobs = MemoryBlobs()
    one, other = open_hub(blobs), open_hub(blobs)
    first = bring(str(tmp_path / "odd.tar.gz"), tmp_path / "one")(one)
    second = bring(str(tmp_path / "odd.tar.gz"), tmp_path / "two")(other)
    assert first.committed
    assert second.committed is None
