"""The catalog's database: what has been derived from the store, written and read back.

There are no migrations: a catalog of another schema, of another hub, or one that is damaged is
emptied, and kamld.catalog fills it from the store.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from sqlalchemy import Connection, Table, bindparam, delete, func, insert, select

from kamld.database import rows, tables
from kamld.database.answers import Known, Reached
from kamld.database.engine import Database, read_about
from kamld.database.faults import Damaged
from kamld.database.sqlite import drop_all
from kamld.errors import SystemFault
from kamld.records.deployment import DeploymentEvent
from kamld.records.history import Dataset, Move, Ref
from kamld.records.names import Name
from kamld.records.run import Run

Answer = TypeVar("Answer")

_AT_ONCE = 500  # values in one statement: every database takes as many


class CatalogDatabase:
    """Any number of processes may share it. Close it."""

    def __init__(self, path: Path, hub_id: str) -> None:
        """Makes it if it is not there; what is there but not this hub's catalog is emptied.

        Raises SystemFault.
        """
        self._about = {"hub": hub_id, "schema": str(tables.VERSION)}
        self._database = Database(path, holds="derived")
        try:
            self._settle()
        except BaseException:
            self._database.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        self._database.close()

    def empty(self) -> None:
        """Drop everything, whatever state it is in."""
        try:
            with self._database.writing() as connection:
                self._make_anew(connection)
        except Damaged:
            self.discard()

    def discard(self) -> None:
        """Drop everything after damage was met; the file itself, if it is that."""
        self._database.discard()
        with self._database.writing() as connection:
            self._make_anew(connection)

    def ask(self, question: Callable[[Connection], Answer]) -> Answer:
        """The answer to one of kamld.database.searches. Raises Damaged, SystemFault."""
        try:
            with self._database.reading() as connection:
                return question(connection)
        except SystemFault as error:
            if error.code == "damaged_record":
                raise Damaged(self._database.path, error.message) from error
            raise

    @contextmanager
    def writing(self) -> Iterator["Filling"]:
        """All or nothing; others who write wait for its end. Raises Damaged, SystemFault."""
        with self._database.writing() as connection:
            yield Filling(connection)

    def known(self) -> Known:
        return self.ask(read_known)

    def _settle(self) -> None:
        try:
            if not self._is_ours():
                with self._database.writing() as connection:
                    if read_about(connection, tables.about) != self._about:
                        self._make_anew(connection)
        except Damaged:
            self.discard()

    def _is_ours(self) -> bool:
        with self._database.reading() as connection:
            return read_about(connection, tables.about) == self._about

    def _make_anew(self, connection: Connection) -> None:
        drop_all(connection)  # another version may have had other tables
        tables.metadata.create_all(connection, checkfirst=False)
        told = [{"key": key, "value": value} for key, value in self._about.items()]
        connection.execute(insert(tables.about), told)


class Filling:
    """What can be added to the catalog within one transaction."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def known(self) -> Known:
        return read_known(self._connection)

    def clear(self) -> None:
        for table in reversed(tables.metadata.sorted_tables):
            if table is not tables.about:
                self._connection.execute(delete(table))

    def add_datasets(self, datasets: Sequence[Dataset]) -> None:
        self._insert(tables.datasets, [rows.of_dataset(dataset) for dataset in datasets])

    def add_moves(self, dataset_id: str, moved: Sequence[tuple[Ref, Sequence[Move]]]) -> None:
        """Refs as they are now, each with those of its moves that are not here yet."""
        of, name = tables.refs.c.dataset_id, tables.refs.c.name
        before = delete(tables.refs).where(of == dataset_id, name == bindparam("ref"))
        if moved:
            self._connection.execute(before, [{"ref": ref.name} for ref, _ in moved])
        self._insert(tables.refs, [rows.of_ref(dataset_id, ref) for ref, _ in moved])
        added = [rows.of_move(dataset_id, ref.name, move) for ref, moves in moved for move in moves]
        self._insert(tables.moves, added)

    def commits_of(self, dataset_id: str) -> set[str]:
        """Ids of all commits that its refs have reached."""
        reached = tables.dataset_commits
        found = select(reached.c.commit_id).where(reached.c.dataset_id == dataset_id)
        return set(self._connection.execute(found).scalars())

    def unknown_commits(self, ids: Sequence[str]) -> list[str]:
        """Those that no dataset has reached yet."""
        known: set[str] = set()
        for start in range(0, len(ids), _AT_ONCE):
            some = ids[start : start + _AT_ONCE]
            found = select(tables.commits.c.id).where(tables.commits.c.id.in_(some))
            known.update(self._connection.execute(found).scalars())
        return [commit_id for commit_id in ids if commit_id not in known]

    def add_commits(self, dataset_id: str, ids: Sequence[str], new: Sequence[Reached]) -> None:
        """The dataset reaches `ids`; those of them that no dataset reached before are `new`."""
        for table, found in rows.of_commits(new):
            self._insert(table, found)
        reached = [{"dataset_id": dataset_id, "commit_id": commit_id} for commit_id in ids]
        self._insert(tables.dataset_commits, reached)

    def add_run(self, run: Run) -> None:
        for table, found in rows.of_run(run):
            self._insert(table, found)

    def add_event(self, event: DeploymentEvent) -> None:
        for table, found in rows.of_event(event):
            self._insert(table, found)

    def _insert(self, table: Table, found: Sequence[dict[str, Any]]) -> None:
        if found:
            self._connection.execute(insert(table), found)


def read_known(connection: Connection) -> Known:
    refs, events = tables.refs, tables.deployment_events
    last_events = select(events.c.project, events.c.endpoint, func.max(events.c.seq).label("seq")).group_by(
        events.c.project, events.c.endpoint
    )
    last_moves = select(refs.c.dataset_id, refs.c.name, refs.c.seq, refs.c.write_id)
    datasets = connection.execute(select(tables.datasets)).mappings()
    return Known(
        datasets={row["id"]: Dataset(**row) for row in datasets},
        refs={(of, name): (seq, mark) for of, name, seq, mark in connection.execute(last_moves)},
        runs=frozenset(connection.execute(select(tables.runs.c.id)).scalars()),
        endpoints={Name(of, name): seq for of, name, seq in connection.execute(last_events)},
    )
