"""Removing content from a hub for good, for privacy's sake. docs/guide/privacy.md is about it.

`touched` finds where the content is, `content` what it is made of and what of that others need, and
`remove` takes it out of the packs.
"""

from kamld.store.purge.remove import PATIENCE_S, Purged, Told, Weight, finish, purge, unfinished, weigh
from kamld.store.purge.touched import Place, Touched, contents, find

__all__ = [
    "PATIENCE_S",
    "Place",
    "Purged",
    "Told",
    "Touched",
    "Weight",
    "contents",
    "find",
    "finish",
    "purge",
    "unfinished",
    "weigh",
]
