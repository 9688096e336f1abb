"""CSV and TSV: the dialect, rows with their keys, cells. Rows are kept as the bytes they are.

The first line is the header, unless every cell of it is a number; then columns go by their place.
"""

import io
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from kamld.errors import Invalid
from kamld.formats.tables.digests import Digests, Hasher
from kamld.formats.tables.lines import Block, read_blocks
from kamld.formats.text import legible

_HEAD = 256 * 1024
_BOM = b"\xef\xbb\xbf"
_WIDE_BOMS = (b"\xff\xfe", b"\xfe\xff")
_DELIMITERS = b",\t;|"
_QUOTE = 34
_NUMBER = re.compile(rb"\s*[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?\s*")
_CELL = re.compile(rb'[^"]*|"(?:[^"]|"")*"')
_CELLS_MAX = 10_000


@dataclass(frozen=True, slots=True)
class Dialect:
    delimiter: bytes
    newline: bytes
    header: bool


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows of a block: digests of their keys and of their bytes, and where in the file they are."""

    keys: Digests
    contents: Digests
    starts: NDArray[np.int64]
    ends: NDArray[np.int64]
    unkeyed: NDArray[np.int64]  # positions among these of rows whose key is empty


@dataclass(frozen=True, slots=True)
class Located:
    """Rows among some bytes, and their cells. `edges` are the positions before each cell and after the
    last; `numbers` says which of them each row that was asked for is, -1 for none."""

    data: NDArray[np.uint8]
    edges: NDArray[np.int64]
    outside: NDArray[np.bool_] | None
    numbers: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Delimited:
    """A file of cells between delimiters. `head` is all before the first row. `first` are the cells of the
    first line as it has them; columns of the same name there got others."""

    file: BinaryIO
    dialect: Dialect
    head: bytes
    columns: tuple[str, ...]
    first: tuple[str, ...]
    places: Mapping[str, int] = field(repr=False)

    @property
    def newline(self) -> bytes:
        return self.dialect.newline

    def without_rows(self) -> "Delimited":
        return replace(self, file=io.BytesIO(self.head))

    def alike(self, other: "Delimited") -> bool:
        """Whether equal bytes of a row mean equal cells in both."""
        mine, theirs = self.dialect, other.dialect
        return (self.columns, mine.delimiter, mine.header) == (other.columns, theirs.delimiter, theirs.header)

    def rows(self, hasher: Hasher, key: Sequence[str]) -> Iterator[Rows]:
        """Raises Invalid (damaged_table)."""
        places = [self.places[name] for name in key]
        seen = 0
        for block in self._blocks():
            edges = self._edges(block, seen)
            contents = hasher.spans(block.data, block.starts, block.ends)
            keys, empty = [], np.zeros(len(block.starts), np.bool_)
            for place in places:
                starts, ends = edges[:, place] + 1, edges[:, place + 1]
                keys.append(_digests(block.data, block.outside, starts, ends, hasher))
                empty |= starts == ends
            seen += len(block.starts)
            keyed = hasher.joined(keys) if keys else contents
            yield Rows(keyed, contents, block.starts + block.offset, block.ends + block.offset,
                       np.flatnonzero(empty))  # fmt: skip

    def empty_cells(self) -> Iterator[NDArray[np.bool_]]:
        """(rows, columns), in parts: which cells have no letter, in quotes or not. Raises Invalid
        (damaged_table)."""
        seen = 0
        for block in self._blocks():
            edges = self._edges(block, seen)
            starts, ends = edges[:, :-1] + 1, edges[:, 1:]
            empty = starts == ends
            if block.outside is not None:
                empty |= (ends - starts == 2) & (block.data[starts] == _QUOTE)
            seen += len(block.starts)
            yield empty

    def sound_blocks(self) -> Iterator[Block]:
        """Of whole rows with all cells. Raises Invalid (damaged_table)."""
        seen = 0
        for block in self._blocks():
            self._edges(block, seen)
            seen += len(block.starts)
            yield block

    def sample(self, count: int) -> list[dict[str, bytes]]:
        """The first rows."""
        found: list[dict[str, bytes]] = []
        for block in read_blocks(self.file, len(self.head), _QUOTE, size=_HEAD):
            data = block.data.tobytes()
            for start, end in zip(block.starts.tolist(), block.ends.tolist(), strict=True):
                found.append(self.split(data[start:end], len(found) + 1))
                if len(found) == count:
                    return found
        return found

    def split(self, row: bytes, number: int) -> dict[str, bytes]:
        """Cells as they stand in the row. Raises Invalid (damaged_table)."""
        cells = _split(row, self.dialect.delimiter)
        if len(cells) != len(self.columns):
            raise _ragged(number, len(cells), len(self.columns))
        return dict(zip(self.columns, cells, strict=True))

    def value(self, cell: bytes) -> str:
        """What a cell says, whatever quotes it is in."""
        return unquoted(cell).decode("utf-8", "surrogateescape")

    def plain(self, value: str) -> str:
        """A value as a person would type it."""
        return legible(value)

    def adopt(self, cell: bytes, source: "Delimited") -> bytes:
        """A cell of another file as it stands here."""
        if source.dialect.delimiter == self.dialect.delimiter:
            return cell
        value = unquoted(cell)
        if any(mark in value for mark in (self.dialect.delimiter, b'"', b"\n", b"\r")):
            return b'"' + value.replace(b'"', b'""') + b'"'
        return value

    def join(self, cells: Mapping[str, bytes], columns: Sequence[str]) -> bytes:
        return self.dialect.delimiter.join(cells.get(name, b"") for name in columns)

    def head_for(self, columns: Sequence[str], cells: Mapping[str, bytes]) -> bytes:
        """The head with other columns; `cells` are the names as they stand in a header."""
        if tuple(columns) == self.columns or not self.dialect.header:
            return self.head
        bom = _BOM if self.head.startswith(_BOM) else b""
        return bom + self.join(cells, columns) + self.newline

    def header_cells(self) -> dict[str, bytes]:
        line = self.head.removeprefix(_BOM).strip(b"\r\n") if self.dialect.header else b""
        return dict(zip(self.columns, _split(line, self.dialect.delimiter), strict=False))

    def locate(
        self, data: bytes, starts: NDArray[np.int64], ends: NDArray[np.int64], numbers: NDArray[np.int64]
    ) -> Located:
        """The cells of rows that were found sound before."""
        array = np.frombuffer(data + bytes(8), np.uint8)
        content = array[:-8]
        marks, outside = content == self.dialect.delimiter[0], None
        if (quoted := content == _QUOTE).any():
            outside = (np.cumsum(quoted, dtype=np.uint8) & 1) == 0
            marks &= outside
        at = np.flatnonzero(marks)
        wanted = len(self.columns) - 1
        edges = np.empty((len(starts), wanted + 2), np.int64)
        edges[:, 0], edges[:, -1] = starts - 1, ends
        if wanted:
            edges[:, 1:-1] = at[np.searchsorted(at, starts)[:, None] + np.arange(wanted)]
        return Located(array, edges, outside, numbers)

    def cell_digests(self, rows: Located, place: int, hasher: Hasher) -> Digests:
        """Of what one cell of each row says, whatever quotes it is in."""
        edges = rows.edges
        return _digests(rows.data, rows.outside, edges[:, place] + 1, edges[:, place + 1], hasher)

    def _blocks(self) -> Iterator[Block]:
        return read_blocks(self.file, len(self.head), _QUOTE)

    def _edges(self, block: Block, seen: int) -> NDArray[np.int64]:
        """(rows, columns + 1): the position before each cell and that after the last."""
        wanted = len(self.columns) - 1
        marks = block.data[:-8] == self.dialect.delimiter[0]
        if block.outside is not None:
            marks &= block.outside
        at = np.flatnonzero(marks[: block.ends[-1]])
        found = np.searchsorted(at, block.ends) - np.searchsorted(at, block.starts)
        if (found != wanted).any():
            row = int((found != wanted).argmax())
            raise _ragged(seen + row + 1, int(found[row]) + 1, wanted + 1)
        edges = np.empty((len(block.starts), wanted + 2), np.int64)
        edges[:, 0], edges[:, -1] = block.starts - 1, block.ends
        if wanted:
            edges[:, 1:-1] = at.reshape(-1, wanted)
        if block.outside is not None:
            _check_quotes(block, edges, seen)
        return edges


def _ragged(row: int, found: int, wanted: int) -> Invalid:
    cells = f"{found:,} cell" + ("" if found == 1 else "s")
    return Invalid("damaged_table", f"Row {row:,} has {cells}, the first line {wanted:,}.")


def _check_quotes(block: Block, edges: NDArray[np.int64], seen: int) -> None:
    """A cell with quotes begins and ends with one, and has them twice between; anything else has no one
    meaning."""
    quotes = block.data[:-8] == _QUOTE
    at = np.flatnonzero(quotes[: block.ends[-1]])
    starts, ends = edges[:, :-1].ravel() + 1, edges[:, 1:].ravel()
    low, high = np.searchsorted(at, starts), np.searchsorted(at, ends)
    has = np.flatnonzero(high > low)
    low, high, starts, ends = low[has], high[has], starts[has], ends[has]
    sound = (block.data[starts] == _QUOTE) & (block.data[ends - 1] == _QUOTE) & ((high - low) % 2 == 0)
    if sound.all():  # so that every second quote ends its cell or stands before its own double
        ending = np.zeros(len(at), np.bool_)
        ending[high - 1] = True
        alone = ~ending[1:-1:2] & (at[2::2] - at[1:-1:2] != 1)
        if not alone.any():
            return
        wrong = int(np.searchsorted(high, 2 * int(alone.argmax()) + 1, side="right"))
    else:
        wrong = int((~sound).argmax())
    raise _misquoted(f"Row {seen + int(has[wrong]) // (edges.shape[1] - 1) + 1:,}")


def _misquoted(where: str) -> Invalid:
    return Invalid("damaged_table", f"{where} has a quote in the middle of a cell.")


def _digests(
    data: NDArray[np.uint8], outside: NDArray[np.bool_] | None, starts: NDArray[np.int64],
    ends: NDArray[np.int64], hasher: Hasher,
) -> Digests:  # fmt: skip
    if outside is None:
        return hasher.spans(data, starts, ends)
    quoted = (data[starts] == _QUOTE) & (ends > starts)
    inner_starts, inner_ends = starts + quoted, ends - quoted
    found = hasher.spans(data, inner_starts, inner_ends)
    at = np.flatnonzero(data[:-8] == _QUOTE)
    doubled = np.flatnonzero(np.searchsorted(at, inner_ends) > np.searchsorted(at, inner_starts))
    for row in doubled.tolist():
        value = unquoted(data[starts[row] : ends[row]].tobytes())
        alone = np.frombuffer(value + bytes(8), np.uint8)
        found[row] = hasher.spans(alone, np.zeros(1, np.int64), np.array([len(value)]))[0]
    return found


def unquoted(cell: bytes) -> bytes:
    if len(cell) > 1 and cell[0] == cell[-1] == _QUOTE:
        return cell[1:-1].replace(b'""', b'"')
    return cell


def _split(row: bytes, delimiter: bytes) -> list[bytes]:
    cells = row.split(delimiter)
    if b'"' not in row:
        return cells
    whole: list[bytes] = []
    open_cell: list[bytes] = []
    for cell in cells:
        open_cell.append(cell)
        if sum(part.count(b'"') for part in open_cell) % 2 == 0:
            whole.append(delimiter.join(open_cell))
            open_cell = []
    return [*whole, delimiter.join(open_cell)] if open_cell else whole


def open_delimited(file: BinaryIO, suffix: str) -> Delimited:
    """Raises Invalid (not_a_table) for what is no table of cells, Invalid (damaged_table)."""
    file.seek(0)
    begin = file.read(_HEAD)
    if begin.startswith(_WIDE_BOMS):
        raise Invalid("not_a_table", "It is in UTF-16.", "Save it in UTF-8 to have it compared by rows.")
    if b"\0" in begin:
        raise Invalid("not_a_table", "It has bytes that are no text.")
    if b"\n" not in begin and b"\r" in begin[:-1]:
        raise Invalid("not_a_table", "Its lines end in carriage returns alone.", "Save it with line feeds.")
    lines, start, end = _first_lines(file, len(_BOM) if begin.startswith(_BOM) else 0)
    delimiter = _delimiter(lines, suffix)
    cells = _split(lines[0], delimiter)
    if len(cells) > _CELLS_MAX:
        raise Invalid("not_a_table", f"Its first row has {len(cells):,} cells.")
    if not all(_CELL.fullmatch(cell) for cell in cells):
        raise _misquoted("The first line")
    header = not all(_NUMBER.fullmatch(unquoted(cell)) for cell in cells)
    first = tuple(legible(unquoted(cell).decode("utf-8", "surrogateescape")) for cell in cells)
    names = _names(first) if header else tuple(str(n + 1) for n in range(len(first)))
    file.seek(end)
    newline = b"\r\n" if file.read(2) == b"\r\n" else b"\n"
    if header:
        start = _next_row(file, end)
    file.seek(0)
    places = {name: place for place, name in enumerate(names)}
    return Delimited(file, Dialect(delimiter, newline, header), file.read(start), names, first, places)


def _first_lines(file: BinaryIO, offset: int) -> tuple[list[bytes], int, int]:
    """Two at least, where there are, and where the first begins and ends. Raises Invalid (not_a_table)."""
    lines: list[bytes] = []
    start = end = 0
    for block in read_blocks(file, offset, _QUOTE, size=_HEAD):
        if not lines:
            start, end = block.offset + int(block.starts[0]), block.offset + int(block.ends[0])
        pairs = zip(block.starts[:50].tolist(), block.ends[:50].tolist(), strict=True)
        lines += [block.data[start:end].tobytes() for start, end in pairs]
        if len(lines) > 1:
            break
    if not lines:
        raise Invalid("not_a_table", "It has no header and no row.")
    return lines, start, end


def _next_row(file: BinaryIO, end: int) -> int:
    """Where the row begins that follows on one that ends there, or where the file ends."""
    for block in read_blocks(file, end, _QUOTE, size=_HEAD):
        return block.offset + int(block.starts[0])
    return file.seek(0, io.SEEK_END)


def _delimiter(lines: Sequence[bytes], suffix: str) -> bytes:
    if suffix == ".tsv":
        return b"\t"
    best, score = b",", 1
    for mark in _DELIMITERS:
        delimiter = bytes([mark])
        counts = {len(_split(line, delimiter)) for line in lines}
        if len(counts) == 1 and (cells := counts.pop()) > score:
            best, score = delimiter, cells
    return best


def _names(cells: Sequence[str]) -> tuple[str, ...]:
    """All different."""
    names = dict.fromkeys(cells)
    if len(names) == len(cells):
        return tuple(cells)
    seen: set[str] = set()
    out = []
    for cell in cells:
        name, again = cell, 0
        while name in seen or (again and name in names):
            again += 1
            name = f"{cell}.{again}"
        seen.add(name)
        out.append(name)
    return tuple(out)
