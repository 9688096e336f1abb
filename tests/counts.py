"""How much was tried, by all tests of a run together; told in its last lines."""

from collections import Counter

COUNTS = Counter[str]()


def tried(count: int, what: str) -> None:
    COUNTS[what] += count
