"""Imports and exports: files from other people's places into a hub, and out of it."""

from kamld.exchange.bringing import fetch_left, import_from
from kamld.exchange.export import Exported, export, export_file, file_target
from kamld.exchange.imported import Imported
from kamld.exchange.recognise import recognise
from kamld.exchange.to_bucket import BucketPlan, export_to_bucket

__all__ = [
    "BucketPlan",
    "Exported",
    "Imported",
    "export",
    "export_file",
    "export_to_bucket",
    "fetch_left",
    "file_target",
    "import_from",
    "recognise",
]
