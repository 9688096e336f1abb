"""Rows of a table for which a condition holds: what stands behind WHERE, and nothing more."""

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from kamld.errors import Invalid
from kamld.sql.fence import LIMITS, Limits, fenced, parse, select

if TYPE_CHECKING:
    import pyarrow as pa

_ROW = "kamld row"  # a column that a person's table will not have


def rows_where(table: "pa.Table", condition: str, limits: Limits = LIMITS) -> NDArray[np.int64]:
    """Numbers of the rows, rising. Raises Invalid (bad_sql, sql_too_slow, sql_too_large)."""
    check_condition(condition)
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


def check_condition(condition: str) -> None:
    """Raises Invalid (bad_sql) for what is not one expression: `1); DROP …`, `1) UNION SELECT (2`."""
    if not condition.strip():
        raise Invalid("bad_sql", "The condition is empty.", 'Write one such as: --where "size > 10000"')
    question = f"SELECT 1 FROM data WHERE (\n{condition}\n)"  # noqa: S608 - it is only parsed
    try:
        with fenced() as connection:
            node = parse(connection, question)
    except Invalid as error:
        if error.message.endswith("\n  )\n  ^"):  # at our own closing bracket
            said = f"Something is missing at the end of: {condition.strip()}"
            raise Invalid("bad_sql", said) from None
        raise
    plain = node["type"] == "SELECT_NODE" and not (
        node["modifiers"] or node["group_expressions"] or node["having"] or node["qualify"]
        or node["sample"] or node["cte_map"]["map"]
    )  # fmt: skip
    if not plain:
        raise Invalid(
            "bad_sql", f"This is more than a condition: {condition.strip()}",
            "Write what would stand behind WHERE: --where \"size > 10000 AND path LIKE 'roses/%'\"",
        )  # fmt: skip
