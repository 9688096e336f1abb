"""Dumb bytes under keys: the only room that talks to file systems and buckets about a hub."""

from kamld.blobs.folder import FolderBlobs
from kamld.blobs.interface import Blobs, Changed, Listed, Missing
from kamld.blobs.memory import MemoryBlobs

__all__ = [
    "Blobs",
    "Changed",
    "FolderBlobs",
    "Listed",
    "MemoryBlobs",
    "Missing",
]
