"""Questions to the catalog. Answers are records and plain data, never rows."""

from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, and_, func, select

from kamld.database import tables
from kamld.errors import Invalid
from kamld.records.encoding import decode
from kamld.records.history import Dataset
from kamld.records.run import Run

_SORTABLE = ("started", "ended", "number", "name", "state", "author")


def runs(
    connection: Connection,
    *,
    project: str | None = None,
    name: str | None = None,
    state: str | None = None,
    sort: str = "-started",
    limit: int | None = None,
) -> list[Run]:
    """Sealed runs. `name` may have `*` in it; capitals do not matter.

    `sort` is started, ended, number, name, state, author, metrics.NAME or params.NAME; with - in
    front from the largest; runs that do not have it come last. Raises Invalid (bad_sort).
    """
    table = tables.runs
    question = _sorted(select(table.c.id, table.c.record), sort)
    if project is not None:
        question = question.where(table.c.project == project)
    if name is not None:
        question = question.where(_is_like(table.c.name, name))
    if state is not None:
        question = question.where(table.c.state == state)
    if limit is not None:
        question = question.limit(limit)
    found = connection.execute(question)
    return [decode(record.encode(), Run, f"the catalog's run {run_id}") for run_id, record in found]


def owners(connection: Connection, prefix: str) -> list[tuple[str, Dataset]]:
    """Commits whose id begins so, each beside every dataset that it is or was part of."""
    of, reached = tables.datasets, tables.dataset_commits
    low = prefix.lower()
    question = (
        select(reached.c.commit_id, of)
        .join_from(reached, of, of.c.id == reached.c.dataset_id)
        .where(reached.c.commit_id >= low, reached.c.commit_id < low + "g")  # "g" follows "f"
        .order_by(reached.c.commit_id, of.c.project, of.c.name)
    )
    rows = [dict(row) for row in connection.execute(question).mappings()]
    return [(row.pop("commit_id"), Dataset(**row)) for row in rows]


def _sorted(question: Select[Any], sort: str) -> Select[Any]:
    table, key = tables.runs, sort.removeprefix("-")
    columns: list[ColumnElement[Any]]
    section, _, name = key.partition(".")
    if section == "metrics" and name:
        metrics = tables.run_metrics
        mine = and_(metrics.c.run_id == table.c.id, metrics.c.name == name)
        question = question.outerjoin_from(table, metrics, mine)
        columns = [metrics.c.value]
    elif section == "params" and name:
        params = tables.run_params
        mine = and_(params.c.run_id == table.c.id, params.c.name == name)
        question = question.outerjoin_from(table, params, mine)
        columns = [params.c.number, params.c.value]
    elif key in _SORTABLE:
        columns = [table.c[key]]
    else:
        raise Invalid(
            "bad_sort",
            f'Runs cannot be sorted by "{key}".',
            f"By {', '.join(_SORTABLE)}, metrics.NAME or params.NAME; -NAME: largest first.",
        )
    down = sort.startswith("-")
    ordered = [(column.desc() if down else column.asc()).nulls_last() for column in columns]
    return question.order_by(*ordered, table.c.started.desc(), table.c.id)


def _is_like(column: ColumnElement[str], pattern: str) -> ColumnElement[bool]:
    parts = pattern.lower().split("*")
    escaped = [part.replace("/", "//").replace("%", "/%").replace("_", "/_") for part in parts]
    return func.lower(column).like("%".join(escaped), escape="/")
