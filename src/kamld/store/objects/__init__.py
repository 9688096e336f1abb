"""Objects: bytes of any length under the BLAKE3 of their content.

An object of up to 64 KiB is kept whole. A larger one is kept as a *recipe*, the list of the chunks
it is made of; a chunk is an object like any other. Either way its id is the hash of its content, so
how it was cut is nobody's business but this room's.
"""

from kamld.store.objects.batches import Files
from kamld.store.objects.files import Source, Written
from kamld.store.objects.holes import Holes, purged
from kamld.store.objects.places import Place
from kamld.store.objects.read import HEED_S, Objects
from kamld.store.objects.recipes import object_id
from kamld.store.objects.write import Progress, Writer

__all__ = [
    "HEED_S",
    "Files",
    "Holes",
    "Objects",
    "Place",
    "Progress",
    "Source",
    "Writer",
    "Written",
    "object_id",
    "purged",
]
