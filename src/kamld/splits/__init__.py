"""Splits and views: datasets that are made of another's files or rows by a rule, without copying.

The rule is kept with each commit, so that the same can be done again when the source has grown.
"""

from kamld.splits.asked import Asked, settle
from kamld.splits.make import Part, SplitResult, split

__all__ = ["Asked", "Part", "SplitResult", "settle", "split"]
