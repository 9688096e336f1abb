"""The versioned store: everything finished is kept here and can be had back, byte for byte.

Bytes become objects named by their BLAKE3, objects are kept in packs, trees list files, commits
name trees, refs name commits. docs/format.md specifies what is on disk.
"""

from kamld.store.objects import HEED_S, Files, Holes, Objects, Place, Progress, Source, Writer, purged
from kamld.store.repository import Committed, Repository, Version, open_hub
from kamld.store.trees import Tree
from kamld.store.trees.entries import Change, Entries

__all__ = [
    "HEED_S",
    "Change",
    "Committed",
    "Entries",
    "Files",
    "Holes",
    "Objects",
    "Place",
    "Progress",
    "Repository",
    "Source",
    "Tree",
    "Version",
    "Writer",
    "open_hub",
    "purged",
]
