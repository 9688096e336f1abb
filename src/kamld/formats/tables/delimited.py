"""CSV and TSV: the dialect, rows with their keys, cells. Rows are kept as the bytes they are."""

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

_HEAD = 256 * 1024
_BOM = b"\xef\xbb\xbf"
_WIDE_BOMS = (b"\xff\xfe", b"\xfe\xff")
_DELIMITERS = b",\t;|"
_QUOTE = 34
_NUMBER = re.compile(rb"\s*[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?\s*")
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
    """A file of cells between delimiters. `head` is all before the first row."""

    file: BinaryIO
    dialect: Dialect
    head: bytes
    columns: tuple[str, ...]
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

    def sample(self, count: int) -> list[dict[str, bytes]]:
        """The first rows."""
        found: list[dict[str, bytes]] = []
        for block in read_blocks(self.file, len(self.head), _QUOTE, size=_HEAD):
            data = block.data.tobytes()
            for start, end in zip(block.starts.tolist(), block.ends.tolist(), strict=True):
                found.append(self.split(data[start:end]))
                if len(found) == count:
                    return found
        return found

    def split(self, row: bytes) -> dict[str, bytes]:
        """Cells as they stand in the row. Raises Invalid (damaged_table)."""
        cells = _split(row, self.dialect.delimiter)
        if len(cells) != len(self.columns):
            raise Invalid("damaged_table", _ragged(len(cells), len(self.columns)))
        return dict(zip(self.columns, cells, strict=True))

    def value(self, cell: bytes) -> str:
        """What a cell says, whatever quotes it is in."""
        return unquoted(cell).decode("utf-8", "surrogateescape")

    def plain(self, value: str) -> str:
        """A value as a person would type it."""
        return value

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
            raise Invalid(
                "damaged_table", f"Row {seen + row + 1:,}: {_ragged(int(found[row]) + 1, wanted + 1)}"
            )
        edges = np.empty((len(block.starts), wanted + 2), np.int64)
        edges[:, 0], edges[:, -1] = block.starts - 1, block.ends
        edges[:, 1:-1] = at.reshape(-1, wanted)
        if block.outside is not None:
            _check_quotes(block, edges, seen)
        return edges


def _ragged(found: int, wanted: int) -> str:
    return f"it has {found:,} cells, the header {wanted:,}."


def _check_quotes(block: Block, edges: NDArray[np.int64], seen: int) -> None:
    """A cell with quotes begins and ends with one; anything else has no one meaning."""
    quotes = block.data[:-8] == _QUOTE
    at = np.flatnonzero(quotes)
    starts, ends = edges[:, :-1].ravel() + 1, edges[:, 1:].ravel()
    has = np.searchsorted(at, ends) > np.searchsorted(at, starts)
    starts, ends = starts[has], ends[has]
    whole = (block.data[starts] == _QUOTE) & (block.data[ends - 1] == _QUOTE) & (ends - starts > 1)
    if not whole.all():
        cell = int(np.flatnonzero(has)[int((~whole).argmax())])
        row = seen + cell // (edges.shape[1] - 1) + 1
        raise Invalid("damaged_table", f"Row {row:,} has a quote in the middle of a cell.")


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
    """Raises Invalid (not_a_table) for what is no table of cells."""
    file.seek(0)
    head = file.read(_HEAD)
    if head.startswith(_WIDE_BOMS):
        raise Invalid("not_a_table", "It is in UTF-16.", "Save it in UTF-8 to have it compared by rows.")
    if b"\0" in head:
        raise Invalid("not_a_table", "It has bytes that are no text.")
    if b"\n" not in head and b"\r" in head:
        raise Invalid("not_a_table", "Its lines end in carriage returns alone.", "Save it with line feeds.")
    bom = _BOM if head.startswith(_BOM) else b""
    first = next(read_blocks(io.BytesIO(head), len(bom), _QUOTE), None)
    if first is None or not len(first.starts):
        raise Invalid("not_a_table", "It has no header and no row.")
    lines = [
        first.data[start:end].tobytes()
        for start, end in zip(first.starts[:50].tolist(), first.ends[:50].tolist(), strict=True)
    ]
    if len(lines) > 2:
        lines.pop()  # it may be cut
    delimiter = _delimiter(lines, suffix)
    cells = [unquoted(cell) for cell in _split(lines[0], delimiter)]
    header = _is_header(cells)
    names = _names(cells) if header else tuple(str(n + 1) for n in range(len(cells)))
    if len(names) > _CELLS_MAX:
        raise Invalid("not_a_table", f"Its first row has {len(names):,} cells.")
    end = first.offset + int(first.ends[0])
    newline = b"\r\n" if head[end : end + 2] == b"\r\n" else b"\n"
    if header:
        begins = first.offset + int(first.starts[1]) if len(first.starts) > 1 else len(head)
    else:
        begins = first.offset + int(first.starts[0])
    places = {name: place for place, name in enumerate(names)}
    return Delimited(file, Dialect(delimiter, newline, header), head[:begins], names, places)


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


def _is_header(cells: Sequence[bytes]) -> bool:
    """A first row of names: all different, none a number, none empty but the first (an index)."""
    named = cells[1:] if len(cells) > 1 and not cells[0] else cells
    return all(named) and len(set(cells)) == len(cells) and not any(_NUMBER.fullmatch(c) for c in named)


def _names(cells: Sequence[bytes]) -> tuple[str, ...]:
    return tuple(cell.decode("utf-8", "surrogateescape") for cell in cells)
