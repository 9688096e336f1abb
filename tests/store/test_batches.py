"""Files that a copy of the process reads too are kept as one process alone keeps them, whatever happens
to the copy."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random
from typing import Any

import pytest

from kamld.blobs import FolderBlobs
from kamld.errors import SystemFault
from kamld.store import Files, Repository, open_hub
from kamld.store.chunking import WHOLE_MAX
from kamld.store.objects import batches, files, object_id, write
from tests.scan.test_sharing import children

Happens = Callable[[Sequence[bytes]], None]


@pytest.fixture(autouse=True)
def shares(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batches, "_FILES_SHARED", 5)
    monkeypatch.setattr(write, "WORTH_A_PROCESS", 1)
    monkeypatch.setattr(write, "may_fork", lambda: True)


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return open_hub(FolderBlobs(tmp_path / "hub"), 2)


@pytest.fixture
def values(tmp_path: Path) -> dict[str, bytes]:
    """Many small ones, of which some are alike; empty, of several chunks, and too large for a batch."""
    random = Random(1)
    made = {f"{n:03}": random.randbytes(n) + bytes(n) for n in range(400)}
    made |= {f"copy of {n:03}": made[f"{n:03}"] for n in range(0, 400, 3)}
    made |= {f"large {n}": random.randbytes(n) for n in (WHOLE_MAX + 1, 300_000, 5 * 2**20)}
    (tmp_path / "files").mkdir()
    for name, value in made.items():
        (tmp_path / "files" / name).write_bytes(value)
    return {str(tmp_path / "files" / name): value for name, value in made.items()}


def below(paths: Sequence[str]) -> Files:
    seen = files.columns([os.stat(path if os.path.exists(path) else "/") for path in paths])[:, :4]

    def asked(number: int) -> None:
        assert seen[number, 0] > batches.BYTES  # to know what a small one was may cost more than it saves

    return Files(b"", list(map(os.fsencode, paths)), seen, asked)


def kept(repository: Repository, values: dict[str, bytes]) -> int:
    """By how much the hub grew, once all that was told of each is seen to be true."""
    paths = list(values)
    told: list[tuple[int, int]] = []
    listed = below(paths)
    before, seen = children(), dict[int, bytes]()
    with repository.writer() as writer:
        for some in writer.put_below(listed, lambda *of: told.append(of)):
            for at, number in enumerate(some.numbers):
                state = os.stat(paths[number])
                assert some.states[at].tolist() == [
                    state.st_size, state.st_mtime_ns, state.st_ctime_ns, state.st_ino, state.st_mode,
                ]  # fmt: skip
                assert number not in seen
                seen[number] = some.ids[32 * at : 32 * at + 32]
    assert (sum(n for n, _ in told), sum(n for _, n in told)) == (len(values), listed.states[:, 0].sum())
    assert children() == before
    assert {paths[n]: bytes(repository.objects.read(i)) for n, i in seen.items()} == values
    return writer.bytes_added


def elsewhere(monkeypatch: pytest.MonkeyPatch, happens: Happens) -> None:
    """In the copy only, before each batch that it reads."""
    first, read_many = os.getpid(), files.read_many

    def reading(top: bytes, paths: Sequence[bytes], *given: Any) -> object:
        if os.getpid() != first:
            happens(paths)
        return read_many(top, paths, *given)

    monkeypatch.setattr(files, "read_many", reading)


def alone(values: dict[str, bytes], place: Path, monkeypatch: pytest.MonkeyPatch) -> int:
    with monkeypatch.context() as patch:
        patch.setattr(write, "may_fork", lambda: False)
        return kept(open_hub(FolderBlobs(place), 2), values)


def test_all_is_kept_once(
    repository: Repository, values: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def tell(paths: Sequence[bytes]) -> None:
        with open(tmp_path / "told", "ab") as file:
            file.writelines(path + b"\n" for path in paths)

    elsewhere(monkeypatch, tell)
    assert kept(repository, values) == alone(values, tmp_path / "other", monkeypatch)
    read = (tmp_path / "told").read_text().splitlines()
    assert 0 < len(read) < len(values)  # the copy did its part
    assert kept(repository, values) == 0  # nor is anything kept that is there


@pytest.mark.parametrize("known", [1, 100, 200, 399])
def test_what_is_known_beside_what_is_new(
    repository: Repository, values: dict[str, bytes], known: int
) -> None:
    """Of whole batches there is nothing to be put into packs."""
    kept(repository, dict(list(values.items())[:known]))
    kept(repository, values)
    repository.rebuild_index()
    for value in values.values():
        assert bytes(repository.objects.read(object_id(value))) == value


@pytest.mark.parametrize("at", [0, 1, 20])
def test_the_copy_is_killed(
    repository: Repository, values: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: int
) -> None:
    seen = []

    def die(_: Sequence[bytes]) -> None:
        seen.append(1)
        if len(seen) > at:
            os.kill(os.getpid(), signal.SIGKILL)

    elsewhere(monkeypatch, die)
    assert kept(repository, values) == alone(values, tmp_path / "other", monkeypatch)


def test_the_copy_is_killed_while_it_tells(
    repository: Repository, values: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    def tell_half(answer: object, *parts: bytes) -> None:
        whole = b"".join(parts)
        os.write(answer.fileno(), len(whole).to_bytes(8, "little") + whole[: len(whole) // 2])  # type: ignore[attr-defined]
        os.kill(os.getpid(), signal.SIGKILL)

    monkeypatch.setattr(batches, "tell", tell_half)
    kept(repository, values)


def test_what_cannot_be_read_is_told_by_the_first(
    repository: Repository, values: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = list(values)[200]
    os.remove(gone)
    before = children()
    with pytest.raises(SystemFault, match="200") as fault:
        kept(repository, values)
    assert fault.value.code == "unreadable_file"
    assert children() == before


def test_whoever_stops_listening_leaves_nobody(repository: Repository, values: dict[str, bytes]) -> None:
    before = children()
    paths = list(values)
    with repository.writer() as writer:
        told = writer.put_below(below(paths))
        next(told)
        told.close()  # type: ignore[attr-defined]
    assert children() == before


def test_no_copy_is_to_be_had(
    repository: Repository, values: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused() -> int:
        raise BlockingIOError("no further process")

    monkeypatch.setattr(os, "fork", refused)
    kept(repository, values)


def test_more_batches_than_turns(
    repository: Repository, values: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batches.Turns, "MOST", 7)
    kept(repository, values)


def test_a_writers_own_thread_is_no_hindrance(tmp_path: Path) -> None:
    code = (
        "import os, sys, threading; from pathlib import Path; from kamld.blobs import FolderBlobs\n"
        "from kamld.store import open_hub; from kamld.processes import may_fork\n"
        "os.sched_getaffinity = lambda _: {0, 1}\n"
        "with open_hub(FolderBlobs(Path(sys.argv[1])), 2).writer():\n"
        "    assert threading.active_count() == 2 and may_fork()\n"
        "    threading.Thread(target=threading.Event().wait, daemon=True).start()\n"
        "    assert not may_fork()"
    )
    subprocess.run([sys.executable, "-c", code, tmp_path / "hub"], check=True)
