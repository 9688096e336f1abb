"""Tables of a version: CSV, JSON Lines, Parquet and Arrow files as Arrow, pandas or Polars.

Several files of one format are read as one table, one after the other; columns that a later one
lacks are empty there. Types of CSV are inferred from the first megabyte, as PyArrow does.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, BinaryIO

from kamld.errors import Invalid, NotFound
from kamld.reading.files import File

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl
    import pyarrow as pa

FORMATS = {
    ".csv": "csv", ".tsv": "tsv", ".jsonl": "jsonl", ".ndjson": "jsonl", ".parquet": "parquet",
    ".pq": "parquet", ".arrow": "arrow", ".feather": "arrow",
}  # fmt: skip
_BATCH = 65536  # rows


class Table:
    """Rows of one or more files. Nothing is read before a method is called; `batches` reads in
    bounded memory, the others read all."""

    def __init__(self, files: Sequence[File], columns: Sequence[str] | None) -> None:
        self.paths = [file.path for file in files]
        self.columns = list(columns) if columns is not None else None
        self._files = files

    def batches(self) -> Iterator["pa.RecordBatch"]:
        """Rows in batches of at most 65,536. Raises Invalid (bad_table, unknown_column), SystemFault."""
        for file in self._files:
            with file.open() as opened:
                yield from _READERS[_format(file.path)](opened, file.path, self.columns)

    def schema(self) -> "pa.Schema":
        """Names and types of the columns of the first file, from its beginning or its footer alone.
        Raises as `batches`."""
        file = self._files[0]
        with file.open() as opened:
            schema = _schema(opened, file.path)
        if self.columns is None:
            return schema
        if lost := [name for name in self.columns if name not in schema.names]:
            raise _no_column(file.path, lost[0], schema.names)
        return type(schema)([schema.field(name) for name in self.columns])

    def arrow(self) -> "pa.Table":
        """As a pyarrow.Table. Raises as `batches`."""
        import pyarrow as pa

        tables = [pa.Table.from_batches([batch]) for batch in self.batches()]
        if not tables:
            return pa.table({name: pa.array([], pa.null()) for name in self.columns or ()})
        try:
            return pa.concat_tables(tables, promote_options="permissive")
        except pa.ArrowInvalid as error:
            raise _bad(", ".join(self.paths[:3]), error) from None

    def pandas(self) -> "pd.DataFrame":
        """As a pandas.DataFrame. Raises Invalid (not_installed), and as `batches`."""
        try:
            import pandas as pd  # noqa: F401 - to_pandas says less clearly that it is missing
        except ImportError:
            raise not_installed("pandas", "table().pandas()") from None
        return self.arrow().to_pandas()

    def polars(self) -> "pl.DataFrame":
        """As a polars.DataFrame. Raises Invalid (not_installed), and as `batches`."""
        try:
            import polars as pl
        except ImportError:
            raise not_installed("polars", "table().polars()") from None
        frame = pl.from_arrow(self.arrow())
        assert isinstance(frame, pl.DataFrame)
        return frame

    def __repr__(self) -> str:
        columns = f", columns {', '.join(self.columns)}" if self.columns is not None else ""
        return f"<table of {', '.join(self.paths[:3])}{', …' if len(self.paths) > 3 else ''}{columns}>"


def table_of(files: Sequence[File], path: str | None, columns: Sequence[str] | None) -> Table:
    """Those of the files that are tables. Raises NotFound (no_table), Invalid (which_table)."""
    found = [file for file in files if _format(file.path)]
    formats = {_format(file.path) for file in found}
    if not found:
        what = f'"{path}" is no table here' if path else "There is no table here"
        raise NotFound("no_table", f"{what}.", f"Tables end in {', '.join(FORMATS)}.")
    if len(formats) > 1 or (path is None and len(found) > 1):
        some = ", ".join(file.path for file in found[:5])
        raise Invalid(
            "which_table", f"There are {len(found)} tables: {some}{', …' if len(found) > 5 else ''}.",
            "Name one, or several of one format by a pattern: table('parts/*.parquet').",
        )  # fmt: skip
    return Table(found, columns)


def not_installed(package: str, what: str) -> Invalid:
    said = f"{what} needs {package}, which is not installed."
    return Invalid("not_installed", said, f"pip install {package}")


def is_table(path: str) -> bool:
    """By its name."""
    return bool(_format(path))


def _schema(file: BinaryIO, path: str) -> "pa.Schema":
    import pyarrow as pa
    from pyarrow import csv, ipc, json, parquet

    try:
        match _format(path):
            case "parquet":
                return parquet.ParquetFile(file).schema_arrow
            case "arrow":
                return ipc.open_file(file).schema
            case "jsonl":
                return json.open_json(file).schema
            case sort:
                parsing = csv.ParseOptions(delimiter="\t" if sort == "tsv" else ",", newlines_in_values=True)
                return csv.open_csv(file, parse_options=parsing).schema
    except pa.ArrowException as error:
        raise _bad(path, error) from None


def _format(path: str) -> str:
    name = path.rpartition("/")[2].lower()
    return FORMATS.get(name[name.rfind(".") :], "") if "." in name else ""


def _csv(file: BinaryIO, path: str, columns: list[str] | None, delimiter: str = ",") -> Iterator[Any]:
    import pyarrow as pa
    from pyarrow import csv

    options = csv.ConvertOptions(include_columns=columns or ())
    parsing = csv.ParseOptions(delimiter=delimiter, newlines_in_values=True)
    try:
        with csv.open_csv(file, parse_options=parsing, convert_options=options) as reader:
            yield from reader
    except (pa.ArrowInvalid, pa.ArrowKeyError, KeyError) as error:
        raise _bad(path, error) from None


def _tsv(file: BinaryIO, path: str, columns: list[str] | None) -> Iterator[Any]:
    yield from _csv(file, path, columns, "\t")


def _jsonl(file: BinaryIO, path: str, columns: list[str] | None) -> Iterator[Any]:
    import pyarrow as pa
    from pyarrow import json

    try:
        with json.open_json(file) as reader:
            for batch in reader:
                yield batch.select(columns) if columns is not None else batch
    except (pa.ArrowInvalid, KeyError) as error:
        raise _bad(path, error) from None


def _parquet(file: BinaryIO, path: str, columns: list[str] | None) -> Iterator[Any]:
    import pyarrow as pa
    from pyarrow import parquet

    try:
        reader = parquet.ParquetFile(file)
        names = reader.schema_arrow.names
        if lost := [name for name in columns or () if name not in names]:
            raise _no_column(path, lost[0], names)
        for batch in reader.iter_batches(_BATCH, columns=columns):
            yield batch.select(columns) if columns is not None else batch
    except pa.ArrowException as error:
        raise _bad(path, error) from None


def _arrow(file: BinaryIO, path: str, columns: list[str] | None) -> Iterator[Any]:
    import pyarrow as pa
    from pyarrow import ipc

    try:
        reader = ipc.open_file(file)
        if lost := [name for name in columns or () if name not in reader.schema.names]:
            raise _no_column(path, lost[0], reader.schema.names)
        for at in range(reader.num_record_batches):
            batch = reader.get_batch(at)
            yield batch.select(columns) if columns is not None else batch
    except pa.ArrowException as error:
        raise _bad(path, error) from None


_READERS: dict[str, Callable[[BinaryIO, str, list[str] | None], Iterator[Any]]] = {
    "csv": _csv, "tsv": _tsv, "jsonl": _jsonl, "parquet": _parquet, "arrow": _arrow,
}  # fmt: skip


def _no_column(path: str, name: str, there: Sequence[str]) -> Invalid:
    more = ", …" if len(there) > 10 else ""
    return Invalid(
        "unknown_column", f'{path} has no column "{name}".', f"It has {', '.join(there[:10])}{more}."
    )


def _bad(path: str, error: Exception) -> Invalid:
    return Invalid("bad_table", f"{path} cannot be read as a table: {str(error).splitlines()[0]}")
