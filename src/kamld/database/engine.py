"""One of our databases: its connections, its transactions, its schema's version.

A file of SQLite now. Statements are portable, so that PostgreSQL is another module like
`kamld.database.sqlite` and a choice made here.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

from sqlalchemy import Column, Connection, MetaData, String, Table, Text, inspect, select
from sqlalchemy.exc import DBAPIError

from kamld.database import sqlite
from kamld.database.faults import Damaged

ABOUT = "about"
_SYNCHRONOUS = {"derived": "NORMAL", "truth": "FULL"}


class Database:
    """Safe to use from several threads; any number of processes may share it. Close it."""

    def __init__(self, path: Path, *, holds: Literal["derived", "truth"]) -> None:
        """Raises SystemFault; Damaged only where this database holds the truth."""
        self.path = path
        try:
            sqlite.prepare(path)
        except Damaged:
            if holds == "truth":
                raise
            sqlite.discard(path)
        self._engine = sqlite.engine(path, synchronous=_SYNCHRONOUS[holds])
        self._writer = self._engine.execution_options(writes=True)

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """One view of the data that stays as it is. Raises Damaged, SystemFault."""
        with self._faults(), self._engine.connect() as connection, connection.begin():
            yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """All or nothing; other writers wait for its end. Raises Damaged, SystemFault."""
        with self._faults(), self._writer.connect() as connection, connection.begin():
            yield connection

    def discard(self) -> None:
        """Begin with an empty database if this one is damaged."""
        self._engine.dispose()
        sqlite.discard(self.path)

    def close(self) -> None:
        with self._faults():
            self._engine.dispose()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: TracebackType | None) -> None:
        self.close()

    @contextmanager
    def _faults(self) -> Iterator[None]:
        try:
            yield
        except DBAPIError as error:
            raise sqlite.fault(error.orig or error, self.path) from error
        except sqlite3.Error as error:  # from the driver itself, while a connection is set up
            raise sqlite.fault(error, self.path) from error


def about_table(metadata: MetaData) -> Table:
    """Each database says of itself what it is: its schema's version, for one."""
    return Table(ABOUT, metadata, Column("key", String(32), primary_key=True), Column("value", Text))


def read_about(connection: Connection, about: Table) -> dict[str, str] | None:
    """None: there is nothing in this database yet."""
    if not inspect(connection).has_table(ABOUT):
        return None
    told = connection.execute(select(about.c.key, about.c.value)).mappings()
    return {row["key"]: row["value"] for row in told}
