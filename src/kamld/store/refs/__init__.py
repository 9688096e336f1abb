"""The only mutable things in a hub: the names of datasets, and the refs that name their commits."""

from kamld.store.refs.moves import Refs
from kamld.store.refs.names import Names

__all__ = ["Names", "Refs"]
