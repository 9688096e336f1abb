"""Tables that both sides changed, joined row by row. It brings files to kamld.formats and takes one back;
what a row is, is decided there.
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from io import BufferedReader
from tempfile import TemporaryFile
from typing import IO, BinaryIO, cast

from kamld.changes.joining import Clash
from kamld.errors import Invalid
from kamld.formats.tables import RowMerge, merge_rows
from kamld.store import Objects, Writer
from kamld.store.trees import Entry

_PIECE = 1024 * 1024


@dataclass(frozen=True, slots=True)
class JoinedTable:
    """A file whose rows go together; `rows` of theirs were taken."""

    clash: Clash
    rows: int


def join_rows(objects: Objects, clash: Clash, key: Sequence[str]) -> JoinedTable | str:
    """Why it cannot be joined by rows, where it cannot; "" where it is no table at all."""
    if not (clash.may_be_tables and clash.known_base):
        return ""
    try:
        merged = _merged(objects, clash, key, None)
    except Invalid as error:
        return "" if error.code == "not_a_table" else error.message
    if not merged.conflict_count:
        return JoinedTable(clash, merged.rows)
    first = merged.conflicts[0].label
    others = f" and {merged.conflict_count - 1:,} more" if merged.conflict_count > 1 else ""
    return f"row {first}{others} changed by both"


def write_rows(objects: Objects, writer: Writer, table: JoinedTable, key: Sequence[str]) -> Entry:
    """The joined table as a file of the hub."""
    clash = table.clash
    base, ours, theirs = clash.known_base, clash.ours, clash.theirs
    assert base
    assert ours
    assert theirs
    with TemporaryFile() as out:
        _merged(objects, clash, key, cast(BinaryIO, out))
        out.seek(0)
        ((_, identifier, size),) = writer.put_streams([(clash.path, _pieces(out))])
    return Entry(clash.path, theirs.kind if ours.kind == base.kind else ours.kind, size, identifier)


def _merged(objects: Objects, clash: Clash, key: Sequence[str], out: BinaryIO | None) -> RowMerge:
    suffix = os.path.splitext(os.fsdecode(clash.path))[1]
    with ExitStack() as stack:
        base, ours, theirs = (
            stack.enter_context(BufferedReader(objects.open(entry.id)))
            for entry in (clash.known_base, clash.ours, clash.theirs)
            if entry
        )
        return merge_rows(base, ours, theirs, out, suffix=suffix, key=key or None)


def _pieces(file: IO[bytes]) -> Iterator[bytes]:
    while piece := file.read(_PIECE):
        yield piece
