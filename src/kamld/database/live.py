"""The live database: the truth about what has begun and is not sealed. Never dropped.

It has one schema so far. With the second come migrations (alembic); until then a file of another
schema is refused, for nobody else knows what is in it.
"""

from pathlib import Path
from types import TracebackType
from typing import Any, Self

import msgspec
from sqlalchemy import Column, Integer, MetaData, String, Table, Text, delete, insert, select

from kamld.database.answers import LiveRun
from kamld.database.engine import Database, about_table, read_about
from kamld.errors import Conflict, SystemFault
from kamld.records.encoding import encode

VERSION = 1

metadata = MetaData()
about = about_table(metadata)

live_runs = Table(
    "live_runs", metadata,
    Column("id", String(32), primary_key=True),
    Column("project", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("pid", Integer, nullable=False),
    Column("process_started", Text, nullable=False),
    Column("host", Text, nullable=False),
    Column("started", String(32), nullable=False),
    Column("folder", Text, nullable=False),
    Column("command", Text, nullable=False),  # JSON
    Column("params", Text, nullable=False),  # JSON
)  # fmt: skip


class LiveDatabase:
    """Any number of processes may share it. Close it."""

    def __init__(self, path: Path) -> None:
        """Makes it if it is not there. Raises SystemFault (other_schema, damaged_database, …)."""
        self._database = Database(path, holds="truth")
        try:
            self._settle()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        self._database.close()

    def add_run(self, run: LiveRun) -> None:
        """Durable when it returns. Raises Conflict (run_exists), Invalid (not_text)."""
        row = msgspec.json.decode(encode(run))
        for column in ("command", "params"):
            row[column] = msgspec.json.encode(row[column]).decode()
        same = select(live_runs.c.id).where(live_runs.c.id == run.id)
        with self._database.writing() as connection:
            if connection.execute(same).first():
                raise Conflict("run_exists", f"There is a run {run.id} already.")
            connection.execute(insert(live_runs), [row])

    def remove_run(self, run_id: str) -> bool:
        """After it was sealed, or given up. Whether it was there."""
        with self._database.writing() as connection:
            gone = connection.execute(delete(live_runs).where(live_runs.c.id == run_id))
            return gone.rowcount > 0

    def runs(self, project: str | None = None) -> list[LiveRun]:
        """Newest first."""
        question = select(live_runs).order_by(live_runs.c.started.desc(), live_runs.c.id.desc())
        if project is not None:
            question = question.where(live_runs.c.project == project)
        with self._database.reading() as connection:
            return [_run(dict(row)) for row in connection.execute(question).mappings()]

    def _settle(self) -> None:
        wanted = {"schema": str(VERSION)}
        with self._database.reading() as connection:
            found = read_about(connection, about)
        if found is None:
            with self._database.writing() as connection:
                found = read_about(connection, about)
                if found is None:
                    found = wanted
                    metadata.create_all(connection)
                    told = [{"key": key, "value": value} for key, value in wanted.items()]
                    connection.execute(insert(about), told)
        if found != wanted:
            raise SystemFault(
                "other_schema",
                f"{self._database.path} has schema {found.get('schema', '?')}; this kamld has"
                f" schema {VERSION}.",
                "Use the kamld that made it, or a newer one.",
            )


def _run(row: dict[str, Any]) -> LiveRun:
    for column in ("command", "params"):
        row[column] = msgspec.json.decode(row[column])
    return msgspec.convert({str(key): value for key, value in row.items()}, LiveRun)
