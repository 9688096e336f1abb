"""Checking a hub, every byte of it. It changes nothing. docs/guide/damage.md is about it."""

from kamld.store.fsck.check import check
from kamld.store.fsck.report import Affected, Finding, Report

__all__ = ["Affected", "Finding", "Report", "check"]
