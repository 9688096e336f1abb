"""Finding things again: what the store knows, derived into tables that can be searched, and where
things come from.

`lineage`, `naming` and `compare` read the store itself and work without any catalog; `search` keeps
the catalog and asks it, and is the only module here that needs the database.
"""
