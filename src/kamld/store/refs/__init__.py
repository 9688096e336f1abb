"""The only mutable things in a hub: the names of datasets, the refs that name their commits, and the
merges that wait for somebody."""

from kamld.store.refs.moves import Refs
from kamld.store.refs.names import Names
from kamld.store.refs.pending import PendingMerges

__all__ = ["Names", "PendingMerges", "Refs"]
