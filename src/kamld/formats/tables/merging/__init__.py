"""Joining what two sides changed in a table, row by row and cell by cell: the plan for rows, what becomes
of one, and how the result is written for files of lines and for Parquet."""
