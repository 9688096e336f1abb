"""An object as a file: any seek and read gives what the same bytes in memory give."""

import io
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kamld.blobs import MemoryBlobs
from kamld.errors import SystemFault
from kamld.store import Repository, open_hub
from kamld.store.objects.seekable import CACHE, ObjectFile

DATA = os.urandom(700_000) + b"x" * 500_000 + os.urandom(300_000)


def kept(data: bytes) -> tuple[Repository, bytes]:
    repository = open_hub(MemoryBlobs())
    with repository.writer() as writer:
        return repository, writer.put(data)


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("seek"), st.integers(0, len(DATA) + 100), st.just(0)),
        st.tuples(st.just("seek"), st.integers(-len(DATA), 100), st.just(2)),
        st.tuples(st.just("read"), st.integers(-1, 400_000), st.just(0)),
        st.tuples(st.just("read_at"), st.integers(0, len(DATA) + 5), st.integers(0, 200_000)),
    ),
    max_size=12,
)
LARGE = kept(DATA)


@given(STEPS)
def test_it_reads_like_the_bytes_in_memory(steps: list[tuple[str, int, int]]) -> None:
    file, model = LARGE[0].objects.open(LARGE[1]), io.BytesIO(DATA)
    buffered = io.BufferedReader(LARGE[0].objects.open(LARGE[1]))
    for step, first, second in steps:
        if step == "seek":
            assert file.seek(first, second) == model.seek(first, second) == buffered.seek(first, second)
        elif step == "read":
            assert file.read(first) == (wanted := model.read(first))
            assert buffered.read(first) == wanted
        else:
            assert file.read_at(first, second) == DATA[first : first + second]
        assert file.tell() == model.tell() == buffered.tell()


@pytest.mark.parametrize("data", [b"", b"small", bytes(70_000)])
def test_objects_of_any_size_open(data: bytes) -> None:
    repository, identifier = kept(data)
    with repository.objects.open(identifier) as file:
        assert (file.size, file.read(), file.read()) == (len(data), data, b"")
    with pytest.raises(ValueError, match="closed"):
        file.read(1)


def test_only_the_chunks_that_are_needed_are_read_and_few_are_held() -> None:
    read: list[int] = []
    size, count = 1_000_000, 50

    def load(number: int) -> bytes:
        read.append(number)
        return bytes([number]) * size

    import numpy as np

    file = ObjectFile(np.arange(1, count + 1) * size, load)
    assert file.read_at(10 * size - 2, 4) == bytes([9, 9, 10, 10])
    assert file.read_at(10 * size, 4) == bytes([10]) * 4
    assert read == [9, 10]
    assert sum(file.read_at(n * size, size) == bytes([n]) * size for n in range(count)) == count
    assert sum(map(len, file._held.values())) <= CACHE


def test_an_object_that_is_not_there_is_told() -> None:
    with pytest.raises(SystemFault, match="lost"):
        LARGE[0].objects.open(bytes(32))
