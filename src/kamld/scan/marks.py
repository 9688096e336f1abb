"""What is kamld's own in a person's folder, and which names a version may have."""

import re

OWN = ".kamld"  # the folder's own records, in it; never part of a version
BINDING = "folder.json"  # in `OWN`: what the folder comes from
STAT_INDEX = "stat-index"
HUB_MARK = "kamld-hub.json"
FILLED = ".kamld-checkout-"  # begins the name of a folder that a checkout or an export fills
INODE_MAX = 2**63 - 1  # some file systems number files by hashes: of these, what our columns hold
PATH_MAX = 4096  # bytes of a path, with the zero at its end: what the system takes
_FILLED = re.compile(re.escape(FILLED) + "[0-9a-f]{32}")


def is_filled(name: str) -> bool:
    """Whether a folder of this name is one that a checkout fills."""
    return _FILLED.fullmatch(name) is not None


def may_be_named(name: bytes) -> bool:
    """Whether a version may have a file or folder of this name, anywhere in it. What is refused when
    a version is made is what is refused when it is checked out."""
    return name not in (b"", b".", b"..", OWN.encode()) and b"/" not in name and b"\0" not in name
