"""In which order examples come: pure, and the same for ever for the same seed.

A shuffle is a full permutation, so any two examples may meet. It hangs on seed, epoch and number of
examples alone, not on where they lie or which release of which library is installed.
"""

import numpy as np
from numpy.typing import NDArray

_STEP = np.uint64(0x9E3779B97F4A7C15)  # SplitMix64
_MIX_1, _MIX_2 = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
_AT_FIRST = 256 * 1024  # bytes of the first window, so that the first example comes soon
_WINDOW_MAX = 8192  # examples


def order(count: int, seed: int | None, epoch: int) -> NDArray[np.int64]:
    """Positions of all examples in the order of this epoch. No seed: as they are, in every epoch."""
    if seed is None:
        return np.arange(count)
    key = _mixed(np.array([seed & (2**64 - 1)], np.uint64))
    key = _mixed(key + np.uint64(epoch & (2**64 - 1)))
    scores = _mixed(np.arange(count, dtype=np.uint64) + key)
    return np.argsort(scores, kind="stable")


def share(positions: NDArray[np.int64], index: int, of: int) -> NDArray[np.int64]:
    """What one of several readers gets: together all, none twice, lengths within one of each other."""
    return positions[index::of]


def windows(sizes: NDArray[np.uint64], start: int, budget: int) -> list[tuple[int, int]]:
    """Stretches of examples to be read at once, from `start`: small ones first, none above the budget
    in bytes but where a single example is."""
    ends = np.cumsum(sizes, dtype=np.uint64)
    found, at, limit = [], start, min(_AT_FIRST, budget)
    while at < len(sizes):
        before = int(ends[at - 1]) if at else 0
        end = int(np.searchsorted(ends, before + limit, "right"))
        end = min(max(end, at + 1), at + _WINDOW_MAX)
        found.append((at, end))
        at, limit = end, min(limit * 2, budget)
    return found


def _mixed(numbers: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """SplitMix64: spreads consecutive numbers over all 64 bits."""
    with np.errstate(over="ignore"):
        mixed = numbers + _STEP
        mixed = (mixed ^ (mixed >> np.uint64(30))) * _MIX_1
        mixed = (mixed ^ (mixed >> np.uint64(27))) * _MIX_2
        return mixed ^ (mixed >> np.uint64(31))
