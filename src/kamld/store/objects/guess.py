"""Where a file that was changed may be cut as it was cut before.

Hashing bytes to see that they still are a chunk of the earlier version costs less than looking for
where to cut them. The cuts come out the same: each depends on nothing but the bytes since the last.
Only the earlier version's end is left out, where no content said that there was to be a cut.
"""

from collections.abc import Sequence
from itertools import accumulate


class Guess:
    """What comes next in a file, if it is as it was. `lost`: nothing is expected."""

    def __init__(self, chunks: Sequence[tuple[bytes, int]], largest: int) -> None:
        """`chunks`: (id, length) of the earlier version's, in order. None of more than `largest` bytes
        is expected."""
        usable = chunks[:-1] if all(length <= largest for _, length in chunks) else ()
        self._ids = [identifier for identifier, _ in usable]
        self._ends = list(accumulate((length for _, length in usable), initial=0))
        self._after: dict[bytes, int] = {}
        self._next = 0

    @property
    def lost(self) -> bool:
        return self._next >= len(self._ids)

    def pieces(self, data: memoryview) -> list[memoryview]:
        """The front of `data`, cut as is expected; only pieces that are whole."""
        ends, at, found = self._ends, self._next, []
        start = ends[at]
        while at < len(self._ids) and ends[at + 1] - start <= len(data):
            found.append(data[ends[at] - start : ends[at + 1] - start])
            at += 1
        return found

    def agree(self, ids: Sequence[bytes]) -> int:
        """How many of the pieces were as expected, given the ids that they have. When not all were,
        nothing more is expected."""
        right = 0
        for found, expected in zip(ids, self._ids[self._next : self._next + len(ids)], strict=True):
            if found != expected:
                self._next = len(self._ids)
                return right
            right += 1
        self._next += right
        return right

    def resume(self, identifier: bytes) -> bool:
        """Expect what followed this chunk; False where the earlier version did not have it."""
        self._after = self._after or {known: at + 1 for at, known in enumerate(self._ids)}
        self._next = self._after.get(identifier, len(self._ids))
        return not self.lost
