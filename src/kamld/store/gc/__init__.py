"""Giving room back: what nothing leads to any more is condemned, and later deleted.

What leads to something is in `roots`, what it needs in `marking`, and what happens to the rest, in two
phases, in `collect`.
"""

from kamld.store.gc.collect import Collected, Garbage, collect, look
from kamld.store.gc.roots import find_roots, kept_by, since

__all__ = ["Collected", "Garbage", "collect", "find_roots", "kept_by", "look", "since"]
