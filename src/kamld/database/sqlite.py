"""All that is SQLite's own: its files, pragmas, transactions and error codes.

Everything else in this room is SQL that PostgreSQL understands too.
"""

import fcntl
import os
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from sqlalchemy import URL, Connection, Engine, MetaData, Table, create_engine, event, inspect
from sqlalchemy.pool import ConnectionPoolEntry
from sqlalchemy.schema import DropTable

from kamld.database import faults
from kamld.database.faults import Damaged
from kamld.errors import SystemFault

BUSY_S = 30.0  # how long a transaction waits for another program's to end
_SMALLEST_FREE = 1 << 20  # bytes; SQLite reports some full disks as any other failed write
_HEADER = b"SQLite format 3\0"
_WAL_AT, _WAL = 18, b"\2\2"  # bytes of the header that say how it is journalled


def engine(path: Path, *, synchronous: str) -> Engine:
    """Connections to the file, which `prepare` has made.

    A connection with the execution option `writes` locks out other writers from its first
    statement on, so what it has read stays true until it commits.
    """
    made = create_engine(URL.create("sqlite+pysqlite", database=str(path)), connect_args={"timeout": BUSY_S})

    @event.listens_for(made, "connect")
    def set_up(connection: sqlite3.Connection, _: ConnectionPoolEntry) -> None:
        connection.isolation_level = None  # we begin transactions ourselves, below
        connection.execute(f"PRAGMA synchronous={synchronous}")
        connection.execute("PRAGMA foreign_keys=ON")

    @event.listens_for(made, "begin")
    def begin(connection: Connection) -> None:
        writes = connection.get_execution_options().get("writes", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return made


def prepare(path: Path) -> None:
    """Make the file if it is not there: private, and so that readers and a writer do not wait for
    each other. Raises Damaged if it is something else, SystemFault."""
    try:
        if not _is_ready(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            with _alone(path):
                _make(path)
    except OSError as error:
        raise faults.refused(error, path) from error
    except sqlite3.Error as error:
        raise fault(error, path) from error


def discard(path: Path) -> None:
    """Put an empty database in the place of a damaged one; of a sound one, nothing."""
    try:
        with _alone(path):
            if not _is_sound(path):  # another program may have been faster
                for name in (path, Path(f"{path}-wal"), Path(f"{path}-shm")):
                    name.unlink(missing_ok=True)
            _make(path)
    except OSError as error:
        raise faults.refused(error, path) from error
    except sqlite3.Error as error:
        raise fault(error, path) from error


def drop_all(connection: Connection) -> None:
    """Drop every table, whatever refers to it."""
    connection.exec_driver_sql("PRAGMA defer_foreign_keys=ON")
    for name in inspect(connection).get_table_names():
        connection.execute(DropTable(Table(name, MetaData())))


def fault(error: BaseException, path: Path) -> SystemFault:
    code = getattr(error, "sqlite_errorcode", None)
    primary = code & 0xFF if code is not None else None
    if primary in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return faults.busy(path)
    if primary in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM, sqlite3.SQLITE_CANTOPEN):
        return faults.no_permission(path)
    if primary == sqlite3.SQLITE_FULL or (primary == sqlite3.SQLITE_IOERR and _is_full(path)):
        return faults.no_space(path)
    if primary == sqlite3.SQLITE_IOERR:
        return faults.io_error(path, str(error))
    return Damaged(path, str(error))  # all our SQL is fixed: where it fails, the tables are wrong


def _make(path: Path) -> None:
    os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))  # its -wal and -shm get the same mode
    with closing(sqlite3.connect(path, timeout=BUSY_S, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode=WAL")


def _is_ready(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            header = file.read(_WAL_AT + len(_WAL))
    except FileNotFoundError:
        return False
    return header.startswith(_HEADER) and header.endswith(_WAL)


def _is_sound(path: Path) -> bool:
    try:
        with closing(sqlite3.connect(path, timeout=BUSY_S)) as connection:
            found: list[tuple[str]] = connection.execute("PRAGMA quick_check(1)").fetchall()
            return found == [("ok",)]
    except sqlite3.DatabaseError as error:
        if isinstance(fault(error, path), Damaged):
            return False
        raise


def _is_full(path: Path) -> bool:
    return shutil.disk_usage(path.parent).free < _SMALLEST_FREE


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """No other program makes or discards this database meanwhile."""
    lock = os.open(f"{path}.lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)
