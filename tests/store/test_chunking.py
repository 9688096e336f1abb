"""Cutting: complete, within its sizes, and the same however the file comes in windows."""

import random
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kamld.store.chunking import Chunking, cut

CHUNKING = Chunking()
SMALL = Chunking(smallest=64, average=256, largest=1024)


def cuts(data: bytes, chunking: Chunking = SMALL) -> list[bytes]:
    pieces = list(cut(memoryview(data), chunking, last=True))
    assert [offset for offset, _ in pieces] == [0, *(offset + length for offset, length in pieces)][:-1]
    return [data[offset : offset + length] for offset, length in pieces]


def in_windows(data: bytes, sizes: list[int], chunking: Chunking) -> list[bytes]:
    found, rest, at = [], b"", 0
    for size in [*sizes, len(data)]:
        last = at + size >= len(data)
        rest, at = rest + data[at : at + size], min(at + size, len(data))
        end = 0
        for offset, length in cut(memoryview(rest), chunking, last=last):
            found.append(rest[offset : offset + length])
            end = offset + length
        rest = rest[end:]
        if last:
            break
    assert rest == b""
    return found


blocks = st.builds(
    lambda seed, size, repeat: random.Random(seed).randbytes(size) * repeat,
    st.integers(0, 1000), st.integers(1, 5000), st.integers(1, 20),
)  # fmt: skip
files = st.lists(blocks, max_size=4).map(b"".join)


@given(files, st.lists(st.integers(1, 9000), max_size=12))
def test_windows_do_not_matter(data: bytes, sizes: list[int]) -> None:
    assert in_windows(data, sizes, SMALL) == cuts(data)


@given(files)
def test_all_of_it_and_within_the_sizes(data: bytes) -> None:
    chunks = cuts(data)
    assert b"".join(chunks) == data
    assert all(SMALL.smallest <= len(chunk) <= SMALL.largest for chunk in chunks[:-1])
    assert all(0 < len(chunk) <= SMALL.largest for chunk in chunks)


@pytest.mark.parametrize("size", [0, 1, 65535, 65536, 65537, 262_144, 262_145, 1_000_000])
def test_sizes_of_a_hub(size: int) -> None:
    data = random.Random(1).randbytes(size)
    chunks = cuts(data, CHUNKING)
    assert b"".join(chunks) == data
    assert all(len(chunk) <= CHUNKING.largest for chunk in chunks)


def test_zeros_are_cut_at_the_largest_size() -> None:
    assert {len(chunk) for chunk in cuts(bytes(4_000_000), CHUNKING)[:-1]} == {CHUNKING.largest}


@pytest.mark.parametrize("at", [0, 1, 1_000_000, 1_999_999])
def test_an_insertion_changes_few_chunks(at: int) -> None:
    data = random.Random(2).randbytes(2_000_000)
    before, after = cuts(data, CHUNKING), cuts(data[:at] + b"!" + data[at:], CHUNKING)
    assert len(set(after) - set(before)) <= 3
    assert len(before) > 15


def test_cuts_never_change() -> None:
    """Where files are cut decides what versions share: another pyfastcdc must not move it unnoticed."""
    data = b"".join(b"row %d\n" % (n * n) for n in range(60_000))
    ends = [offset for offset, _ in cut(memoryview(data), CHUNKING, last=True)][1:]
    assert ends == EXPECTED
    assert all(one < other for one, other in pairwise(ends))


EXPECTED = [83270, 128822, 162216, 296513, 330526, 407581, 494169, 561845, 655290, 733292]
