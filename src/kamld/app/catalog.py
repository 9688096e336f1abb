"""The catalog and the live tables of a hub."""

from collections.abc import Sequence

from kamld.app import App
from kamld.catalog.search import Catalog
from kamld.records.history import Dataset


def open_catalog(app: App) -> Catalog:
    """Close it, or use it as a context."""
    return Catalog(app.local / "catalog.sqlite", app.repository)


def owners(app: App, prefix: str) -> Sequence[tuple[str, Dataset]]:
    """Commits whose id begins so, each beside every dataset that it is or was part of."""
    with open_catalog(app) as catalog:
        return catalog.owners(prefix)
