"""A file cut with the help of its earlier version is cut as without; and it is read back as it was."""

import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kamld.blobs import MemoryBlobs
from kamld.store import Source, Writer
from kamld.store.chunking import Chunking
from kamld.store.index import Index
from kamld.store.objects import Objects, files
from kamld.store.objects.guess import Guess

SMALL = Chunking(smallest=64, average=256, largest=1024)
LARGE = 1 << 30  # a guess of a size that has a file put as a large one


@pytest.fixture(autouse=True, scope="module")
def narrow(tmp_path_factory: pytest.TempPathFactory) -> object:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(files, "WINDOW", 4096)
        yield


edits = st.lists(
    st.tuples(st.integers(0, 60_000), st.integers(0, 3000), st.binary(max_size=2000)), min_size=0, max_size=4
)


def edited(data: bytes, changes: list[tuple[int, int, bytes]]) -> bytes:
    for at, removed, put in changes:
        data = data[:at] + put + data[at + removed :]
    return data


class Hub:
    def __init__(self) -> None:
        blobs = MemoryBlobs()
        self.index = Index(blobs)
        self.objects = Objects(blobs, self.index)
        self._blobs = blobs

    def put(self, path: Path, data: bytes, before: bytes | None = None) -> tuple[bytes, int]:
        """(id, objects added)."""
        path.write_bytes(data)
        with Writer(self._blobs, self.index, SMALL, 2, chunks=self.objects.chunks) as writer:
            (written,) = writer.put_files([Source(str(path), LARGE, before)])
        return written.id, writer.objects_added


@given(st.integers(0, 60_000), edits)
def test_an_edit_is_cut_as_a_new_file_would_be(
    tmp_path_factory: pytest.TempPathFactory, size: int, changes: list[tuple[int, int, bytes]]
) -> None:
    path = tmp_path_factory.getbasetemp() / "edited"
    first = random.Random(size).randbytes(size)
    second = edited(first, changes)
    hub, other = Hub(), Hub()
    before, _ = hub.put(path, first)
    after, _ = hub.put(path, second, before)
    fresh, _ = other.put(path, second)
    assert after == fresh
    assert hub.objects.chunks(after) == other.objects.chunks(fresh)
    assert hub.objects.read(after) == second


def test_a_file_that_grows_is_not_cut_where_it_once_ended(tmp_path: Path) -> None:
    hub, data, before = Hub(), b"", None
    for step in range(50):
        data += random.Random(step).randbytes(100)
        before, _ = hub.put(tmp_path / "log", data, before)
    fresh = Hub()
    assert hub.objects.chunks(before or b"") == fresh.objects.chunks(fresh.put(tmp_path / "log", data)[0])


def test_what_the_guess_relies_on_and_the_hub_has_lost_is_kept_again(tmp_path: Path) -> None:
    data = random.Random(1).randbytes(30_000)
    whole, hub = Hub(), Hub()
    before, _ = whole.put(tmp_path / "file", data)
    hub.objects = whole.objects  # it knows the chunks, and has none of them
    after, added = hub.put(tmp_path / "file", data + b"more", before)
    assert added > len(whole.objects.chunks(before))
    assert Objects(hub._blobs, hub.index).read(after) == data + b"more"


def test_nothing_is_expected_of_chunks_that_this_hub_would_not_cut() -> None:
    assert Guess([(b"a", 10), (b"b", 10)], largest=9).lost
    assert Guess([(b"a", 10)], largest=100).lost  # its one chunk is its end
    guess = Guess([(b"a", 10), (b"b", 20), (b"c", 5)], largest=100)
    assert [len(piece) for piece in guess.pieces(memoryview(bytes(29)))] == [10]
    assert [len(piece) for piece in guess.pieces(memoryview(bytes(99)))] == [10, 20]
    assert guess.agree([b"a", b"x"]) == 1
    assert guess.lost
    assert guess.resume(b"a")
    assert guess.agree([b"b"]) == 1
    assert guess.lost
