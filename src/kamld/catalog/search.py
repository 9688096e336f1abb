"""The catalog as others see it: kept up to date by itself, asked, made anew when it is damaged.

The file is opened by the first question. Running runs are not in it: kamld.database.live has them.
"""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

from kamld.catalog.refresh import Progress, Refreshed, refresh
from kamld.database import searches
from kamld.database.catalog import CatalogDatabase
from kamld.database.faults import Damaged
from kamld.records.history import Dataset
from kamld.records.run import Run
from kamld.store import Repository

Answer = TypeVar("Answer")


class Catalog:
    """Every answer includes what was in the store when it was asked. Close it.

    A run or deployment event whose record is damaged is left out of the answers and named in `left_out`.
    All methods raise SystemFault when the store or the machine fails; damage to the catalog itself
    is mended without a word.
    """

    def __init__(self, path: Path, repository: Repository) -> None:
        self._path = path
        self._repository = repository
        self._database: CatalogDatabase | None = None
        self.mended = 0  # times that damage was met and the catalog made anew
        self.left_out: tuple[str, ...] = ()  # Refreshed.damaged, as it was when it was last asked

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        if self._database:
            self._database.close()
            self._database = None

    def refresh(self, progress: Progress | None = None) -> Refreshed:
        return self._mended(partial(refresh, self._repository, progress=progress))

    def rebuild(self, progress: Progress | None = None) -> Refreshed:
        """Drop everything and derive it again from the store."""
        self._opened().empty()
        return self.refresh(progress)

    def runs(
        self,
        *,
        project: str | None = None,
        name: str | None = None,
        state: str | None = None,
        sort: str = "-started",
        limit: int | None = None,
    ) -> list[Run]:
        """Sealed runs. `name` may have `*` in it; capitals do not matter.

        `sort` is started, ended, number, name, state, author, metrics.NAME or params.NAME; with -
        in front from the largest; runs that do not have it come last. Raises Invalid (bad_sort).
        """
        return self._asked(
            partial(searches.runs, project=project, name=name, state=state, sort=sort, limit=limit)
        )

    def owners(self, prefix: str) -> list[tuple[str, Dataset]]:
        """Commits whose id begins so, each beside every dataset that it is or was part of."""
        return self._asked(partial(searches.owners, prefix=prefix))

    def _asked(self, question: Callable[..., Answer]) -> Answer:
        def current(database: CatalogDatabase) -> Answer:
            self.left_out = refresh(self._repository, database).damaged
            return database.ask(question)

        return self._mended(current)

    def _mended(self, action: Callable[[CatalogDatabase], Answer]) -> Answer:
        database = self._opened()
        try:
            return action(database)
        except Damaged:
            self.mended += 1
            database.discard()
            return action(database)

    def _opened(self) -> CatalogDatabase:
        if self._database is None:
            self._database = CatalogDatabase(self._path, self._repository.hub.id)
        return self._database
