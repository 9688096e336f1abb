"""Checking a hub, and mending it. docs/guide/damage.md is about it."""

from kamld.store.fsck.check import check
from kamld.store.fsck.left import LeftFiles
from kamld.store.fsck.mending.repair import Mended, repair
from kamld.store.fsck.mending.restore import restore_hub
from kamld.store.fsck.mending.sources import FolderFile, FolderSource, HubSource, Source
from kamld.store.fsck.report import Affected, Finding, Report, Step

__all__ = [
    "Affected",
    "Finding",
    "FolderFile",
    "FolderSource",
    "HubSource",
    "LeftFiles",
    "Mended",
    "Report",
    "Source",
    "Step",
    "check",
    "repair",
    "restore_hub",
]
