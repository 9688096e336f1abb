"""Splits and views: datasets that are made of another's files or rows by a rule, without copying.

The rule is kept with each commit, so that the same can be done again when the source has grown.
"""

from kamld.splits.make import Part, SplitResult, recorded_rule, split

__all__ = ["Part", "SplitResult", "recorded_rule", "split"]
