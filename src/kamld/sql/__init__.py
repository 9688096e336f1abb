"""SQL over Arrow tables: tables in, rows out. The only room that knows DuckDB; it knows no store."""

from kamld.sql.conditions import rows_where
from kamld.sql.fence import Limits, select
from kamld.sql.tables import beside, table_of

__all__ = ["Limits", "beside", "rows_where", "select", "table_of"]
