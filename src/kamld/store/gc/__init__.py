"""Giving room back: what nothing leads to any more is condemned, and later deleted.

What leads to something is in `roots`, what it needs in `marking`, what nothing needs in `garbage`, and
what happens to that, in two phases, in `collect`.
"""

from kamld.store.gc.collect import Collected, collect
from kamld.store.gc.garbage import AGE, SHORTEST, Garbage, look
from kamld.store.gc.roots import Root, find_roots, since
from kamld.store.gc.why import Need, kept_by, needs, objects_in

__all__ = [
    "AGE", "SHORTEST", "Collected", "Garbage", "Need", "Root", "collect", "find_roots", "kept_by", "look",
    "needs", "objects_in", "since",
]  # fmt: skip
