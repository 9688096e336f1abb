"""Merging two edited versions of a table row by row, beside the same three-way merge in DuckDB and pandas.

Five columns, so many rows; the key is the first. Each program reads three files and writes the result:
kamld.formats.tables.merge_rows, one SQL statement with two full joins, and two outer merges. Only kamld
keeps the order of rows, and all that nobody touched byte for byte. A process each, in turn, median of
three; peak memory is anonymous memory. Prints ratios and, with --json FILE, writes the figures.

    python bench/merge_tables.py [--rows 1400000] [--json FILE]
"""

import argparse
import json
import os
import random
import statistics
import sys
import tempfile
from pathlib import Path

from _measured import Measured, measured

ROUNDS = 3
COLUMNS = ("file", "label", "score", "count", "note")
Row = tuple[str, ...]

KAMLD = """
import sys
from kamld.formats.tables import merge_rows
done = merge_rows("base" + sys.argv[1], "ours" + sys.argv[1], "theirs" + sys.argv[1], "out" + sys.argv[1],
                  suffix=sys.argv[1])
assert done.written, done.conflicts[:3]
"""
DUCKDB = """
import sys, duckdb
read = "read_csv('%s', all_varchar=true)" if sys.argv[1] == ".csv" else "read_parquet('%s')"
base, ours, theirs = (read % (name + sys.argv[1]) for name in ("base", "ours", "theirs"))
cells = ", ".join(f"case when o.{c} is not distinct from b.{c} then t.{c} else o.{c} end as {c}"
                  for c in ("label", "score", "count", "note"))
duckdb.sql(f'''copy (
  select coalesce(o.file, t.file) as file, {cells}
  from {ours} o full join {theirs} t on o.file = t.file
  left join {base} b on b.file = coalesce(o.file, t.file)
  where b.file is null or (o.file is not null and t.file is not null)
) to 'out{sys.argv[1]}' {"(header)" if sys.argv[1] == ".csv" else "(format parquet)"}''')
"""
PANDAS = """
import sys, pandas as pd
csv = sys.argv[1] == ".csv"
read = (lambda n: pd.read_csv(n + ".csv", dtype=str)) if csv else (lambda n: pd.read_parquet(n + ".parquet"))
base, ours, theirs = (read(name).set_index("file") for name in ("base", "ours", "theirs"))
both = ours.join(theirs, how="outer", lsuffix="_o", rsuffix="_t").join(base.add_suffix("_b"))
there = both.index.isin(ours.index) & both.index.isin(theirs.index) | ~both.index.isin(base.index)
both = both[there]
out = pd.DataFrame({c: both[c + "_o"].where(both[c + "_o"] != both[c + "_b"], both[c + "_t"]) for c in base})
out.to_csv("out.csv") if csv else out.to_parquet("out.parquet")
"""
PROGRAMS = {"kamld": KAMLD, "duckdb": DUCKDB, "pandas": PANDAS}


def make(folder: Path, rows: int, share: float) -> None:
    """`share` of the rows have another label in ours and, other ones perhaps, another score in theirs."""
    draw = random.Random(1)
    base: list[Row] = [
        (f"img/{n:07}.png", draw.choice(["cat", "dog", "horse"]), f"{draw.random():.6f}", str(n % 997),
         f"note {n % 977} of this") for n in range(rows)
    ]  # fmt: skip
    sides: dict[str, list[Row]] = {"base": base, "ours": [], "theirs": []}
    for name, column, seed in (("ours", 1, 2), ("theirs", 2, 3)):
        pick = random.Random(seed)
        for row in base:
            changed = pick.random() < share
            sides[name].append((*row[:column], f"{row[column]}1", *row[column + 1 :]) if changed else row)
    for name, found in sides.items():
        lines = "\n".join(",".join(row) for row in (COLUMNS, *found))
        (folder / f"{name}.csv").write_text(f"{lines}\n")
    script = (
        "import pyarrow.csv as c, pyarrow.parquet as q\n"
        "for n in ('base', 'ours', 'theirs'): q.write_table(c.read_csv(n + '.csv', "
        "convert_options=c.ConvertOptions(column_types=dict.fromkeys(%r, 'string'))), n + '.parquet')"
    )
    measured([sys.executable, "-c", script % (COLUMNS,)], folder, os.environ)


def check(folder: Path, suffix: str) -> None:
    """The three came to the same rows."""
    script = (
        "import sys, pyarrow as a, pyarrow.csv as c, pyarrow.parquet as q\n"
        f"o = c.ConvertOptions(column_types=dict.fromkeys({COLUMNS}, 'string'))\n"
        "t = [c.read_csv(n + '-out.csv', convert_options=o) if sys.argv[1] == '.csv' else "
        f"q.read_table(n + '-out.parquet') for n in {tuple(PROGRAMS)}]\n"
        f"s = a.schema([(n, a.string()) for n in {COLUMNS}])\n"
        "t = [x.select(s.names).sort_by('file').replace_schema_metadata().cast(s) for x in t]\n"
        "assert all(x.equals(t[0]) for x in t[1:])"
    )
    measured([sys.executable, "-c", script, suffix], folder, os.environ)


def compare(folder: Path, suffix: str) -> dict[str, Measured]:
    found: dict[str, list[Measured]] = {name: [] for name in PROGRAMS}
    for _ in range(ROUNDS):
        for name, program in PROGRAMS.items():
            found[name].append(measured([sys.executable, "-c", program, suffix], folder, os.environ))
            os.replace(folder / f"out{suffix}", folder / f"{name}-out{suffix}")
    check(folder, suffix)
    return {
        name: Measured(*(statistics.median(column) for column in zip(*(
            (one.seconds, one.cpu_seconds, one.peak_mb) for one in some), strict=True)))
        for name, some in found.items()
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=1_400_000)
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    figures = []
    for share in (0.01, 1.0):
        with tempfile.TemporaryDirectory() as place:
            make(Path(place), asked.rows, share)
            for suffix in (".csv", ".parquet"):
                size = Path(place, f"base{suffix}").stat().st_size / 1e6
                found = compare(Path(place), suffix)
                print(f"{suffix[1:]}, 3 × {size:.0f} MB, {share:.0%} of the rows changed on each side")
                for name, one in found.items():
                    ratio = one.seconds / found["duckdb"].seconds
                    print(f"  {name:8}{one.seconds:6.2f} s  {one.peak_mb:6.0f} MB  {ratio:5.2f} × DuckDB")
                figures.append(
                    {"format": suffix[1:], "rows": asked.rows, "changed": share}
                    | {name: one.as_json() for name, one in found.items()}
                )
    if asked.json:
        asked.json.write_text(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()
