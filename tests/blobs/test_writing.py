"""Bytes are the same, and durable, whichever way they take to the disk."""

import errno
import os
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as some

from kamld.blobs import FolderBlobs, folder, writing
from kamld.blobs.writing import write_synced
from kamld.errors import SystemFault

ROOM = 3 * 4096
PARTS = some.lists(some.integers(0, 3 * ROOM), max_size=5)


def parts_of(sizes: list[int]) -> list[bytes]:
    return [os.urandom(size) for size in sizes]


@given(PARTS)
def test_all_bytes_in_order(tmp_path_factory: pytest.TempPathFactory, sizes: list[int]) -> None:
    top, parts = tmp_path_factory.mktemp("some"), parts_of(sizes)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(writing, "_ROOM", ROOM)
        for cache in (True, False):
            write_synced(top / str(cache), parts, cache=cache)
            assert (top / str(cache)).read_bytes() == b"".join(parts)


@pytest.mark.parametrize(("size", "cache", "past"), [(10, False, True), (10, True, False), (7, False, False)])
def test_memory_is_left_to_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int, cache: bool, past: bool
) -> None:
    ways = list[bool]()
    monkeypatch.setattr(folder, "write_synced", partial(told, ways))
    blobs, data = FolderBlobs(tmp_path), os.urandom(size << 20)
    blobs.put("packs/one", [data], cache=cache)
    blobs.flush()
    assert ways == [not past]
    assert blobs.get("packs/one") == data


def told(ways: list[bool], path: Path, parts: list[bytes], *, cache: bool) -> None:
    ways.append(cache)
    write_synced(path, parts, cache=cache)


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

    willing(monkeypatch)
    monkeypatch.setattr(writing, "_ROOM", ROOM)
    monkeypatch.setattr(os, "write", short)
    write_synced(tmp_path / "some", parts, cache=False)
    assert past
    assert (tmp_path / "some").read_bytes() == b"".join(parts)


@pytest.mark.parametrize("room_for", [0, 1, 9_000_000])
def test_a_full_disk_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, room_for: int) -> None:
    write, writev, left = os.write, os.writev, [room_for]

    def taken(size: int) -> int:
        if not left[0]:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        size, left[0] = min(size, left[0]), left[0] - min(size, left[0])
        return size

    willing(monkeypatch)
    blobs = FolderBlobs(tmp_path)
    monkeypatch.setattr(os, "write", lambda file, data: write(file, data[: taken(len(data))]))
    monkeypatch.setattr(os, "writev", lambda file, all_: writev(file, [all_[0][: taken(len(all_[0]))]]))
    blobs.put("packs/one", [bytes(10 << 20)], cache=False)
    with pytest.raises(SystemFault) as fault:
        blobs.flush()
    assert fault.value.code == "no_space"
    assert list((tmp_path / "tmp").iterdir()) == list((tmp_path / "packs").iterdir()) == []


def willing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the file system here: it lets us write past the cache."""
    monkeypatch.setattr(writing, "_set_past_cache", lambda _, *, on: on)


def test_where_it_cannot_be_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writing, "_PAST_CACHE", 0)
    parts = parts_of([5000, 4096])
    write_synced(tmp_path / "some", parts, cache=False)
    assert (tmp_path / "some").read_bytes() == b"".join(parts)
