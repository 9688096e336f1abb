"""Tables of a version: CSV, JSON Lines, Parquet and Arrow files as Arrow, pandas or Polars.

Several files of one format are read as one table, one after the other; columns that a later one
lacks are empty there, also of those that were asked for. Folders such as `year=2024/` are a column.
Types of CSV are those that PyArrow infers, of all rows: 01234 is the number 1234.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING, Any, BinaryIO

from kamld.errors import Invalid, NotFound
from kamld.reading.files import File
from kamld.reading.hive import numbered, of_folders, with_folders
from kamld.reading.text_tables import Text, joined, look, read, widened

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
    """Rows of one or more files. Nothing is read before a method is called, but the names of columns where
    some were asked for; `batches` reads in bounded memory, the others read all."""

    def __init__(self, files: Sequence[File], columns: Sequence[str] | None) -> None:
        self.paths = [file.path for file in files]
        self.columns = list(columns) if columns is not None else None
        self._files = files

    def batches(self) -> Iterator["pa.RecordBatch"]:
        """Rows in batches of at most 65,536, those of one file all of the same types. Raises Invalid
        (bad_table, unknown_column), SystemFault."""
        for file in self._files:
            yield from self._batches(file, self._text(file) if _is_text(file) else None)

    def _batches(self, file: File, text: Text | None) -> Iterator["pa.RecordBatch"]:
        folders = of_folders(file.path)
        with _told(file.path):
            columns = self._columns_of(file, folders)
            with file.open() as opened:
                if text is not None:
                    batches = read(opened, _format(file.path), text, columns)
                else:
                    batches = (_parquet if _format(file.path) == "parquet" else _arrow)(opened, columns)
                for batch in batches:
                    yield with_folders(batch, folders, self._kinds, self.columns) if folders else batch

    def _text(self, file: File) -> Text:
        with _told(file.path), file.open() as opened:
            return look(opened, _format(file.path))

    @cached_property
    def _kinds(self) -> dict[str, bool]:
        return numbered(self.paths)

    def _columns_of(self, file: File, folders: Mapping[str, str | None]) -> list[str] | None:
        """Those to be read of it: the first has all that were asked for, others may lack some."""
        if self.columns is None:
            return None
        names = self._names(file)
        if found := [name for name in self.columns if name in names]:
            return found
        if folders.keys() & set(self.columns):
            return names[:1]  # which tells how many rows there are
        raise _no_column(file.path, self.columns[0], names)

    def _names(self, file: File) -> list[str]:
        with file.open() as opened:
            names: list[str] = _schema(opened, file.path).names
        if _format(file.path) == "jsonl" and not set(self.columns or ()) <= {*names, *of_folders(file.path)}:
            names = list(self._text(file).types)  # a later row may have it
        return names

    def schema(self) -> "pa.Schema":
        """Names and types of the columns of the first file, from its beginning or its footer alone.
        Raises as `batches`."""
        import pyarrow as pa

        file = self._files[0]
        with file.open() as opened:
            schema = _schema(opened, file.path)
        if folders := of_folders(file.path):
            schema = with_folders(schema.empty_table(), folders, self._kinds, None).schema
        if self.columns is None:
            return schema
        if set(self.columns) - set(schema.names) and _format(file.path) == "jsonl":
            later = {n: kind for n, kind in self._text(file).types.items() if n not in schema.names}
            schema = pa.schema([*schema, *later.items()])
        if lost := [name for name in self.columns if name not in schema.names]:
            raise _no_column(file.path, lost[0], schema.names)
        return pa.schema([schema.field(name) for name in self.columns])

    def arrow(self) -> "pa.Table":
        """As a pyarrow.Table. Raises as `batches`."""
        import pyarrow as pa

        texts = [self._text(file) if _is_text(file) else None for file in self._files]
        types = joined([text.types for text in texts if text])
        tables = []
        for file, text in zip(self._files, texts, strict=True):
            batches = self._batches(file, widened(text, types) if text else None)
            tables += [pa.Table.from_batches([batch]) for batch in batches]
        if not tables:
            return self.schema().empty_table()
        try:
            return pa.concat_tables(tables, promote_options="permissive")
        except pa.ArrowException as error:
            raise _bad(", ".join(self.paths[:3]), str(error)) from None

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


def table_of(files: Sequence[File], path: str | None, columns: str | Sequence[str] | None) -> Table:
    """Those of the files that are tables. Raises NotFound (no_table), Invalid (which_table), and for columns
    that the first does not have unknown_column."""
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
    table = Table(found, (columns,) if isinstance(columns, str) else columns)
    if columns is not None:
        table.schema()  # which says now, and not when all is read, what is not there
    return table


def not_installed(package: str, what: str) -> Invalid:
    said = f"{what} needs {package}, which is not installed."
    return Invalid("not_installed", said, f"pip install {package}")


def is_table(path: str) -> bool:
    """By its name."""
    return bool(_format(path))


def _schema(file: BinaryIO, path: str) -> "pa.Schema":
    import pyarrow as pa
    from pyarrow import parquet

    with _told(path):
        match _format(path):
            case "parquet":
                return parquet.ParquetFile(file).schema_arrow
            case "arrow":
                return _open_arrow(file).schema
            case sort:
                return pa.schema(list(look(file, sort, beginning=True).types.items()))


@contextmanager
def _told(path: str) -> Iterator[None]:
    """Raises Invalid (bad_table) for what cannot be read."""
    import pyarrow as pa

    try:
        yield
    except (pa.ArrowException, UnicodeError) as error:
        raise _bad(path, str(error)) from None
    except Invalid as error:
        if error.code not in ("not_a_table", "damaged_table", "bad_table"):
            raise
        raise _bad(path, error.message) from None


def _format(path: str) -> str:
    name = path.rpartition("/")[2].lower()
    return FORMATS.get(name[name.rfind(".") :], "") if "." in name else ""


def _parquet(file: BinaryIO, columns: list[str] | None) -> Iterator[Any]:
    from pyarrow import parquet

    for batch in parquet.ParquetFile(file).iter_batches(_BATCH, columns=columns):
        yield batch.select(columns) if columns is not None else batch


def _open_arrow(file: BinaryIO) -> Any:
    """A file, or a stream of batches, as Hugging Face's `save_to_disk` writes."""
    from pyarrow import ipc

    start = file.read(6)
    file.seek(0)
    return ipc.open_file(file) if start == b"ARROW1" else ipc.open_stream(file)


def _arrow(file: BinaryIO, columns: list[str] | None) -> Iterator[Any]:
    reader = _open_arrow(file)
    count = getattr(reader, "num_record_batches", None)
    for batch in reader if count is None else map(reader.get_batch, range(count)):
        yield batch.select(columns) if columns is not None else batch


def _is_text(file: File) -> bool:
    return _format(file.path) in ("csv", "tsv", "jsonl")


def _no_column(path: str, name: str, there: Sequence[str]) -> Invalid:
    more = ", …" if len(there) > 10 else ""
    return Invalid(
        "unknown_column", f'{path} has no column "{name}".', f"It has {', '.join(there[:10])}{more}."
    )


def _bad(path: str, said: str) -> Invalid:
    return Invalid("bad_table", f"{path} cannot be read as a table: {(said.splitlines() or [''])[0]}")
