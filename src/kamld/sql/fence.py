"""A DuckDB that can do nothing but compute: no files, no network, no extensions, no settings.

It lives in memory for one question. What it may read are the Arrow tables that it is given; it is
stopped when it takes too long, and refuses when it needs too much memory.
"""

import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from kamld.errors import Invalid
from kamld.sql.faults import explained, refused

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa


@dataclass(frozen=True, slots=True)
class Limits:
    seconds: float = 60.0
    memory_mb: int = 512
    threads: int = 2


LIMITS = Limits()


def select(question: str, tables: Mapping[str, "pa.Table"], limits: Limits = LIMITS) -> "pa.Table":
    """The answer to one SELECT over the tables. Raises Invalid (bad_sql, sql_too_slow, sql_too_large)."""
    with fenced(limits) as connection:
        for name, table in tables.items():
            connection.register(name, table)
        connection.execute("SET lock_configuration = true")
        with _deadline(connection, limits.seconds), explained(question, limits.seconds, limits.memory_mb):
            parse(connection, question)
            return connection.execute(question).to_arrow_table()


def parse(connection: "duckdb.DuckDBPyConnection", question: str) -> dict[str, Any]:
    """The one SELECT that a question is, as DuckDB's parser sees it; nothing is carried out.

    Raises Invalid (bad_sql).
    """
    row = connection.execute("SELECT json_serialize_sql($1::VARCHAR)", [question]).fetchone()
    parsed: dict[str, Any] = json.loads(row[0]) if row else {"error": True}
    if parsed["error"] and parsed.get("position") is not None:
        raise refused(question, parsed["error_message"], "", int(parsed["position"]))
    statements = [] if parsed["error"] else parsed["statements"]
    if len(statements) != 1:
        raise Invalid("bad_sql", "This is not one SELECT.", "SQL here asks one question and changes nothing.")
    node: dict[str, Any] = statements[0]["node"]
    return node


@contextmanager
def fenced(limits: Limits = LIMITS) -> Iterator["duckdb.DuckDBPyConnection"]:
    """A connection whose settings are those of the fence, still to be locked."""
    import duckdb

    connection = duckdb.connect(
        ":memory:",
        config={
            "enable_external_access": "false",
            "autoinstall_known_extensions": "false",
            "autoload_known_extensions": "false",
            "allow_community_extensions": "false",
            "python_enable_replacements": "false",  # a table's name is never a Python variable
            "temp_directory": "",
            "memory_limit": f"{limits.memory_mb}MB",
            "threads": str(limits.threads),
        },
    )
    try:
        yield connection
    finally:
        connection.close()


@contextmanager
def _deadline(connection: "duckdb.DuckDBPyConnection", seconds: float) -> Iterator[None]:
    timer = threading.Timer(seconds, connection.interrupt)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
