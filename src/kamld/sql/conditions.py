"""Rows of a table for which a condition holds: what stands behind WHERE, and nothing more."""

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from kamld.errors import Invalid
from kamld.sql.fence import LIMITS, Limits, fenced, parse, select

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

_ROW = "kamld row"  # a column that a person's table will not have
_TIMES = {"current_date", "current_time", "current_timestamp", "localtime", "localtimestamp"}


def rows_where(table: "pa.Table", condition: str, limits: Limits = LIMITS) -> NDArray[np.int64]:
    """Numbers of the rows, rising. Raises Invalid (bad_sql, sql_too_slow, sql_too_large)."""
    check_condition(condition, table.column_names)
    numbered = table.append_column(_ROW, [np.arange(table.num_rows)])
    question = f'SELECT "{_ROW}" FROM data WHERE (\n{condition}\n) ORDER BY 1'  # noqa: S608 - in a fence
    try:
        answer = select(question, {"data": numbered}, limits)
    except Invalid as error:
        if error.code != "bad_sql":
            raise
        names = ", ".join(name if name.isidentifier() else f'"{name}"' for name in table.column_names[:20])
        raise Invalid("bad_sql", error.message, f"{error.hint} Columns: {names}.".strip()) from None
    found: NDArray[np.int64] = answer.column(0).to_numpy().astype(np.int64)
    return found


def check_condition(condition: str, columns: Sequence[str] = ()) -> None:
    """Raises Invalid (bad_sql) for what is not one expression (`1); DROP …`, `1) OR (2`), and for what is
    not the same whenever it is asked."""
    if not condition.strip():
        raise Invalid("bad_sql", "The condition is empty.", 'Write one such as: --where "size > 10000"')
    question = f"SELECT 1 FROM data WHERE (\n{condition}\n)"  # noqa: S608 - it is only parsed
    try:
        with fenced() as connection:
            node = parse(connection, question)
            alone = _is_whole(connection, condition)
            changing = _changing(connection, node, {name.lower() for name in columns})
    except Invalid as error:
        if error.message.endswith("\n  )\n  ^"):  # at our own closing bracket
            said = f"Something is missing at the end of: {condition.strip()}"
            raise Invalid("bad_sql", said) from None
        raise
    if changing:
        raise Invalid(
            "bad_sql", f"{changing} is not the same each time: {condition.strip()}",
            "Write values of the table, or the date itself. Parts are drawn at random, by a kept seed.",
        )  # fmt: skip
    plain = alone and node["type"] == "SELECT_NODE" and not (
        node["modifiers"] or node["group_expressions"] or node["having"] or node["qualify"]
        or node["sample"] or node["cte_map"]["map"]
    )  # fmt: skip
    if not plain:
        raise Invalid(
            "bad_sql", f"This is more than a condition: {condition.strip()}",
            "Write what would stand behind WHERE: --where \"size > 10000 AND path LIKE 'roses/%'\"",
        )  # fmt: skip


def _is_whole(connection: "duckdb.DuckDBPyConnection", condition: str) -> bool:
    """Whether it stands without our brackets too: it could close them and open others."""
    try:
        parse(connection, f"SELECT 1 FROM data WHERE\n{condition}\n")  # noqa: S608 - it is only parsed
    except Invalid:
        return False
    return True


def _changing(connection: "duckdb.DuckDBPyConnection", node: Any, columns: AbstractSet[str]) -> str:
    """What in it has another value another time; "": nothing."""
    rows = connection.execute(
        "SELECT DISTINCT function_name FROM duckdb_functions() WHERE stability <> 'CONSISTENT'"
    ).fetchall()
    volatile = {str(name) for (name,) in rows} | _TIMES
    waiting = [node]
    while waiting:
        part = waiting.pop()
        if isinstance(part, list):
            waiting += part
        elif isinstance(part, dict):
            waiting += part.values()
            if part.get("sample"):
                return "A sample"
            if part.get("class") == "FUNCTION" and part["function_name"].lower() in volatile:
                return f"{part['function_name']}()"
            names = part.get("column_names") if part.get("class") == "COLUMN_REF" else None
            if names and len(names) == 1 and names[0].lower() in _TIMES - columns:
                return str(names[0])
    return ""
