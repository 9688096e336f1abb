"""Hints: what saves going through a list. Behind at times, never ahead (see kamld.store.sealed)."""

import msgspec


class Last(msgspec.Struct, frozen=True, kw_only=True):
    """The last number that is taken, as far as somebody has seen."""

    last: int
