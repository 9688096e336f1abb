"""The two databases beside a hub; the only room that knows SQLAlchemy.

`catalog` is derived from the store and may be dropped at any time; `live` is the truth about what
is still running. Importing this room's modules costs what SQLAlchemy costs, so light verbs do not;
`answers` alone is free of it.
"""
