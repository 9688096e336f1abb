"""Mounts: a version as a folder of the system, read as it is needed; written to, in a layer of its own.

A mount is served by a process of its own, which alone loads libfuse. This room begins and ends mounts;
what is changed in one is committed by kamld.workspace, as in any folder.
"""

from kamld.mount.launch import LIBRARY, check_possible, end, find, prepare, start
from kamld.mount.records import Mount, MountRecord, Written, all_mounts, kept_for_layers, written_with

__all__ = [
    "LIBRARY",
    "Mount",
    "MountRecord",
    "Written",
    "all_mounts",
    "check_possible",
    "end",
    "find",
    "kept_for_layers",
    "prepare",
    "start",
    "written_with",
]
