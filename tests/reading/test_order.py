"""The order of examples, as laws."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from kamld.reading.order import order, share, windows

FIXED = [1, 3, 2, 4, 7, 0, 6, 5]
SEEDS = st.integers(-(2**63), 2**64)


@given(st.integers(0, 500), SEEDS, st.integers(0, 5))
def test_a_shuffle_is_a_permutation(count: int, seed: int, epoch: int) -> None:
    assert sorted(order(count, seed, epoch).tolist()) == list(range(count))


def test_a_shuffle_is_the_same_for_ever() -> None:
    assert order(8, 7, 0).tolist() == FIXED
    assert order(8, 7, 1).tolist() != FIXED
    assert order(8, 8, 0).tolist() != FIXED


def test_a_shuffle_mixes() -> None:
    """Where an example comes tells nothing about where it was, and nor do two epochs of each other."""
    first, second = order(20_000, 1, 0), order(20_000, 1, 1)
    for pair in ((np.arange(20_000), first), (first, second)):
        assert abs(np.corrcoef(*pair)[0, 1]) < 0.03
    assert abs(first[:2000].mean() - 10_000) < 500


@given(st.integers(0, 300), st.integers(1, 9), SEEDS)
def test_shards_cover_everything_once(count: int, of: int, seed: int) -> None:
    parts = [share(order(count, seed, 0), index, of).tolist() for index in range(of)]
    assert sorted(row for part in parts for row in part) == list(range(count))
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


@given(st.lists(st.integers(0, 5_000_000), max_size=60), st.integers(0, 70), st.integers(1, 9_000_000))
def test_windows_follow_each_other_within_the_budget(sizes: list[int], start: int, budget: int) -> None:
    found = windows(np.array(sizes, np.uint64), start, budget)
    assert [row for low, high in found for row in range(low, high)] == list(range(start, len(sizes)))
    assert all(sum(sizes[low:high]) <= budget or high == low + 1 for low, high in found)
