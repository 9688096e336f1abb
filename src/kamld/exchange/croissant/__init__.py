"""Croissant descriptions (mlcommons.org/croissant 1.0 and 1.1): what `distribution` names, and no more.

Supported: FileObjects by address or by path, FileSets beside the description, both inside archives, with
sha256 and md5.
Record sets, which say what is inside the files, are kept with the description and not carried out.
"""

from kamld.exchange.croissant.description import is_description, parse
from kamld.exchange.croissant.distribution import Distribution

__all__ = ["Distribution", "is_description", "parse"]
