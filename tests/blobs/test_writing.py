"""Bytes are the same, and durable, whichever way they take to the disk."""

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as some

from kamld.blobs import FolderBlobs, writing
from kamld.blobs.writing import write_synced

ROOM = 3 * 4096
PARTS = some.lists(some.integers(0, 3 * ROOM), max_size=5)


def parts_of(sizes: list[int]) -> list[bytes]:
    return [os.urandom(size) for size in sizes]


@given(PARTS)
def test_all_bytes_in_order(tmp_path_factory: pytest.TempPathFactory, sizes: list[int]) -> None:
    folder, parts = tmp_path_factory.mktemp("some"), parts_of(sizes)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(writing, "_ROOM", ROOM)
        for cache in (True, False):
            write_synced(folder / str(cache), parts, cache=cache)
            assert (folder / str(cache)).read_bytes() == b"".join(parts)


def in_memory(path: Path, at: int) -> bool:
    with open(path, "rb") as file:
        try:
            return os.preadv(file.fileno(), [bytearray(1)], at, os.RWF_NOWAIT) == 1
        except BlockingIOError:
            return False


@pytest.mark.parametrize("cache", [True, False])
def test_memory_is_left_to_others(tmp_path: Path, cache: bool) -> None:
    blobs = FolderBlobs(tmp_path)
    blobs.put("packs/one", [os.urandom(10 << 20)], cache=cache)
    blobs.flush()
    assert in_memory(tmp_path / "packs" / "one", 5 << 20) is cache


def at_most(size: int, _: bool) -> int:
    return size


def refused(size: int, _: bool) -> int:
    raise OSError(errno.EINVAL, "not in such pieces")


def refused_later(size: int, first: bool) -> int:
    return size if first else refused(size, first)


@pytest.mark.parametrize(
    ("size", "takes"), [(4096, at_most), (1000, at_most), (1, refused), (4096, refused_later)]
)
def test_file_systems_take_what_they_like(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int, takes: Callable[[int, bool], int]
) -> None:
    parts, write, past = parts_of([5000, 2 * ROOM + 77, 1]), os.write, list[int]()

    def short(file: int, data: memoryview) -> int:
        past.append(len(data))
        return write(file, data[: takes(size, len(past) == 1)])

    monkeypatch.setattr(writing, "_ROOM", ROOM)
    monkeypatch.setattr(os, "write", short)
    write_synced(tmp_path / "some", parts, cache=False)
    assert past
    assert (tmp_path / "some").read_bytes() == b"".join(parts)


def test_a_full_disk_is_not_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(file: int, data: memoryview) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(OSError, match=os.strerror(errno.ENOSPC)):
        write_synced(tmp_path / "some", [bytes(10_000)], cache=False)


def test_where_it_cannot_be_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writing, "_PAST_CACHE", 0)
    parts = parts_of([5000, 4096])
    write_synced(tmp_path / "some", parts, cache=False)
    assert (tmp_path / "some").read_bytes() == b"".join(parts)
