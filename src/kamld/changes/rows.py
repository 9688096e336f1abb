"""Tables that both sides changed, joined row by row. It brings files to kamld.formats and takes one back;
what a row is, is decided there.
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from io import BytesIO, RawIOBase
from tempfile import TemporaryFile
from typing import IO, Any, BinaryIO, cast

from kamld.changes.bases import is_unclear
from kamld.changes.joining import Clash, Side
from kamld.errors import Invalid
from kamld.formats.tables import SUFFIXES, RowConflict, RowMerge, merge_rows
from kamld.store import Objects, Writer
from kamld.store.trees.entries import Entry

_PIECE = 1024 * 1024


@dataclass(slots=True)
class Chosen:
    """How conflicts of rows are decided: those that were named, then all others, where a side is given.
    It counts and remembers what it is asked."""

    by_row: Mapping[str, Side]  # by what each was seen to be
    others: Side | None = None
    named: tuple[str, ...] = ()  # as a person may have written a key; rows with it are in `found`
    decided: int = 0
    found: list[RowConflict] = field(default_factory=list)

    @property
    def may_decide(self) -> bool:
        return bool(self.by_row or self.others or self.named)

    def __call__(self, conflict: RowConflict) -> Side | None:
        if self.named and (conflict.label in self.named or ",".join(conflict.key) in self.named):
            self.found.append(conflict)
        side = self.by_row.get(conflict.seen, self.others)
        self.decided += side is not None
        return side


class Drafts:
    """Joined tables until they are written to the hub: one temporary file for all of them."""

    def __init__(self) -> None:
        self._file: IO[bytes] | None = None

    def begin(self) -> "Draft":
        self._file = self._file or TemporaryFile()  # noqa: SIM115 - see `close`
        return Draft(self._file, self._file.seek(0, os.SEEK_END))

    def close(self) -> None:
        if self._file:
            self._file.close()


class Draft(RawIOBase):
    """A part of the file, at its end when it is begun."""

    def __init__(self, file: IO[bytes], begins: int) -> None:
        self._file, self._begins, self._length = file, begins, 0

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self._length += self._file.write(data)
        return len(memoryview(data).cast("B"))

    def tell(self) -> int:
        return self._length

    def drop(self) -> None:
        self._file.seek(self._begins)
        self._file.truncate()

    def pieces(self) -> Iterator[bytes]:
        left = self._length
        self._file.seek(self._begins)
        while left and (piece := self._file.read(min(_PIECE, left))):
            left -= len(piece)
            yield piece


@dataclass(frozen=True, slots=True)
class JoinedTable:
    """A file whose rows go together; `rows` of theirs were taken. `chosen` had to decide some. Without a
    draft it was only found out. `lacking`: not the columns of the key that was asked for, but these."""

    clash: Clash
    rows: int
    chosen: Chosen
    draft: Draft | None
    lacking: str = ""


@dataclass(frozen=True, slots=True)
class Unjoined:
    """Why a file is not joined by rows: `merged` has the rows that conflict; without it the file as a
    whole cannot be. An empty reason: it is no table. `lacking` as of a JoinedTable."""

    reason: str
    merged: RowMerge | None = None
    decided: int = 0
    lacking: str = ""


def join_rows(
    objects: Objects, clash: Clash, key: Sequence[str], chosen: Chosen, drafts: Drafts | None
) -> JoinedTable | Unjoined:
    """By `key`, or one that is found where the table has no such columns. Nothing is written to the hub
    yet; without drafts, nowhere."""
    suffix = os.path.splitext(os.fsdecode(clash.path))[1]
    if not clash.may_be_tables or suffix.lower() not in SUFFIXES or is_unclear(clash.base):
        return Unjoined("")
    draft = drafts.begin() if drafts else None
    try:
        with ExitStack() as stack:
            base, ours, theirs = (
                stack.enter_context(_copy(objects, entry)) if entry else None
                for entry in (clash.known_base, clash.ours, clash.theirs)
            )
            assert ours
            assert theirs
            merged = merge_rows(
                base, ours, theirs, cast("BinaryIO | None", draft), suffix=suffix, key=key or None,
                decide=chosen if chosen.may_decide else None,
            )  # fmt: skip
    except Invalid as error:
        if draft:
            draft.drop()
        if key and error.code == "unknown_column":
            return replace(join_rows(objects, clash, (), chosen, drafts), lacking=error.hint)
        return Unjoined("" if error.code == "not_a_table" else error.message)
    if not merged.conflict_count:
        return JoinedTable(clash, merged.rows, chosen, draft)
    if draft:
        draft.drop()
    first = merged.conflicts[0].label
    others = f" and {merged.conflict_count - 1:,} more" if merged.conflict_count > 1 else ""
    return Unjoined(f"row {first}{others} changed by both", merged, chosen.decided)


def write_rows(writer: Writer, table: JoinedTable) -> Entry:
    """The joined table as a file of the hub."""
    clash, draft = table.clash, table.draft
    base, ours, theirs = clash.known_base, clash.ours, clash.theirs
    assert draft
    assert ours
    assert theirs
    ((_, identifier, size),) = writer.put_streams([(clash.path, draft.pieces())])
    kind = ours.kind if base is None or ours.kind != base.kind else theirs.kind
    return Entry(clash.path, kind, size, identifier)


def _copy(objects: Objects, entry: Entry) -> BinaryIO:
    """A plain file with the content: it is read several times, and not in order."""
    file = cast(BinaryIO, BytesIO() if entry.size <= _PIECE else TemporaryFile())  # noqa: SIM115 - the caller closes it
    for piece in objects.stream(entry.id):
        file.write(piece)
    file.seek(0)
    return file
