"""Checking a hub, and mending it. docs/guide/damage.md is about it."""

from kamld.store.fsck.check import check
from kamld.store.fsck.repair import Mended, repair
from kamld.store.fsck.report import Affected, Finding, Report, Step
from kamld.store.fsck.restore import restore_hub
from kamld.store.fsck.sources import FolderFile, FolderSource, HubSource, Source

__all__ = [
    "Affected",
    "Finding",
    "FolderFile",
    "FolderSource",
    "HubSource",
    "Mended",
    "Report",
    "Source",
    "Step",
    "check",
    "repair",
    "restore_hub",
]
