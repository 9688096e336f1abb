"""Imports and exports: files from other people's places into a hub, and out of it."""

from kamld.exchange.bringing import Imported, fetch_left, import_from
from kamld.exchange.export import Exported, export
from kamld.exchange.recognise import recognise

__all__ = ["Exported", "Imported", "export", "fetch_left", "import_from", "recognise"]
