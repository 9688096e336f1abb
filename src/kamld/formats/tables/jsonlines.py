"""JSONL: an object a line. Lines are kept as the bytes they are; a row has the columns it has."""

import io
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import BinaryIO

import msgspec
import numpy as np

from kamld.errors import Invalid
from kamld.formats.tables.delimited import Rows
from kamld.formats.tables.digests import Hasher
from kamld.formats.tables.lines import read_blocks

_HEAD = 256 * 1024
_objects = msgspec.json.Decoder(dict[str, msgspec.Raw])


@dataclass(frozen=True, slots=True)
class JsonLines:
    file: BinaryIO
    head: bytes  # blank lines before the first
    newline: bytes
    columns: tuple[str, ...]  # of the first rows
    spaced: bool  # whether ": " and ", " stand between things

    def without_rows(self) -> "JsonLines":
        return replace(self, file=io.BytesIO(self.head))

    def alike(self, other: "JsonLines") -> bool:  # noqa: ARG002 - rows say themselves what they have
        return True

    def rows(self, hasher: Hasher, key: Sequence[str]) -> Iterator[Rows]:
        """Raises Invalid (damaged_table)."""
        seen = 0
        for block in read_blocks(self.file, len(self.head), None):
            contents = hasher.spans(block.data, block.starts, block.ends)
            data = block.data.tobytes()
            keys: list[bytes] = []
            unkeyed: list[int] = []
            for start, end in zip(block.starts.tolist(), block.ends.tolist(), strict=True):
                if key:
                    cells = self.split(data[start:end], seen + len(keys) + 1)
                    values = [cells.get(name, b"null") for name in key]
                    if b"null" in values:
                        unkeyed.append(len(keys))
                    keys.append(values[0] if len(values) == 1 else b"\0".join(values))
            keyed = hasher.many([_canonical(value) for value in keys]) if key else contents
            seen += len(block.starts)
            yield Rows(keyed, contents, block.starts + block.offset, block.ends + block.offset,
                       np.array(unkeyed, np.int64))  # fmt: skip

    def every_row(self) -> Iterator[dict[str, bytes]]:
        """The cells of each. Raises Invalid (damaged_table)."""
        seen = 0
        for block in read_blocks(self.file, len(self.head), None):
            data = block.data.tobytes()
            for start, end in zip(block.starts.tolist(), block.ends.tolist(), strict=True):
                seen += 1
                yield self.split(data[start:end], seen)

    def sample(self, count: int) -> list[dict[str, bytes]]:
        found: list[dict[str, bytes]] = []
        for block in read_blocks(self.file, len(self.head), None, size=_HEAD):
            data = block.data.tobytes()
            for start, end in zip(block.starts.tolist(), block.ends.tolist(), strict=True):
                found.append(self.split(data[start:end], len(found) + 1))
                if len(found) == count:
                    return found
        return found

    def split(self, row: bytes, number: int = 0) -> dict[str, bytes]:
        """Raises Invalid (damaged_table)."""
        try:
            return {name: bytes(raw).strip() for name, raw in _objects.decode(row).items()}
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            where = f"Line {number:,}" if number else "A line"
            raise Invalid("damaged_table", f"{where} is no JSON object: {error}.") from None

    def value(self, cell: bytes) -> str:
        return json.dumps(json.loads(cell), sort_keys=True, ensure_ascii=False)

    def plain(self, value: str) -> str:
        """A value as a person would type it: a text without its quotes."""
        return str(json.loads(value)) if value.startswith('"') else value

    def adopt(self, cell: bytes, source: "JsonLines") -> bytes:  # noqa: ARG002 - JSON is JSON
        return cell

    def join(self, cells: Mapping[str, bytes], columns: Sequence[str]) -> bytes:  # noqa: ARG002
        colon, comma = (b": ", b", ") if self.spaced else (b":", b",")
        pairs = [json.dumps(name, ensure_ascii=False).encode() + colon + cell for name, cell in cells.items()]
        return b"{" + comma.join(pairs) + b"}"

    def head_for(self, columns: Sequence[str], cells: Mapping[str, bytes]) -> bytes:  # noqa: ARG002
        return self.head

    def header_cells(self) -> dict[str, bytes]:
        return {}


def _canonical(value: bytes) -> bytes:
    if value[:1] in b"{[" or b"\\" in value or b"\0" in value:
        parts = [json.loads(part) for part in value.split(b"\0")]
        texts = [json.dumps(part, sort_keys=True, ensure_ascii=False) for part in parts]
        return "\0".join(texts).encode("utf-8", "surrogatepass")
    return value


def open_json_lines(file: BinaryIO) -> JsonLines:
    """Raises Invalid (not_a_table)."""
    file.seek(0)
    head = file.read(_HEAD)
    first = next(iter(read_blocks(file, 0, None, size=_HEAD)), None)
    if first is None or not len(first.starts):
        raise Invalid("not_a_table", "It has no line.")
    start, end = int(first.starts[0]), int(first.ends[0])
    line = first.data[start:end].tobytes()
    newline = b"\r\n" if head[end : end + 2] == b"\r\n" else b"\n"
    table = JsonLines(file, head[:start], newline, (), b'": ' in line)
    names = dict.fromkeys(name for row in table.sample(200) for name in row)
    return JsonLines(file, head[:start], newline, tuple(names), table.spaced)
