"""What a change to a file is for people: by the kind of file that it is, or else by its bytes.

A file that is damaged, lies about itself, or is not what its name says is compared by its bytes, with
a remark; it never stops the comparison of others.
"""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

from kamld.errors import Invalid, NotFound
from kamld.formats import models, pictures, tables
from kamld.formats.models import ModelDiff
from kamld.formats.pictures import PictureDiff
from kamld.formats.tables import TableDiff
from kamld.formats.text import TEXT_MAX, TextDiff, compare_texts, read_text
from kamld.records.globs import Glob
from kamld.records.kinds import EXECUTABLE, FILE
from kamld.store import Change, Repository
from kamld.store.trees.entries import Entry

_FILES = (FILE, EXECUTABLE)


@dataclass(frozen=True, slots=True)
class BytesDiff:
    """`shared`: bytes that both have in common chunks; None where the new file is not in the hub."""

    old_size: int
    new_size: int
    shared: int | None


Inside = TableDiff | ModelDiff | PictureDiff | TextDiff | BytesDiff


@dataclass(frozen=True, slots=True)
class Comparison:
    inside: Inside
    remark: str = ""  # why it was not compared as what its name says


@dataclass(frozen=True, slots=True)
class Wanted:
    """How much is to be seen: a key for tables' rows, rows of each sort, lines of text, the longer side
    of thumbnails."""

    key: Sequence[str] | None = None
    rows: int = 5
    lines: int = 40
    thumbnail: int = 0


class Paths:
    """Which paths were asked for: files, all that is in folders, patterns; by no word, all."""

    def __init__(self, words: Sequence[str]) -> None:
        self._words = [word.strip("/") for word in words]
        self._globs = [Glob(word) for word in self._words]

    def has(self, path: bytes) -> bool:
        text = os.fsdecode(path)
        return not self._words or text in self._words or any(glob.matches(text) for glob in self._globs)


Open = Callable[[], BinaryIO]


def compare_change(
    repository: Repository, change: Change, folder: Path | None, wanted: Wanted
) -> Comparison | None:
    """`folder`: where the new file lies, if not in the hub. None: nothing to look into, as for files that
    were added, removed, or only became executable.

    Raises SystemFault where the hub cannot be read.
    """
    old, new = change.old, change.new
    if old is None or new is None or old.kind not in _FILES or new.kind not in _FILES or old.id == new.id:
        return None

    def open_old() -> BinaryIO:
        return cast(BinaryIO, repository.objects.open(old.id))

    def open_new() -> BinaryIO:
        if folder is None:
            return cast(BinaryIO, repository.objects.open(new.id))
        return _open_plain(folder / os.fsdecode(change.path))

    try:
        return _by_kind(change.path, open_old, open_new, wanted) or Comparison(
            _by_bytes(repository, old, new, in_hub=folder is None)
        )
    except Invalid as error:
        by_bytes = _by_bytes(repository, old, new, in_hub=folder is None)
        return Comparison(by_bytes, f"{error.message} {error.hint}".strip())
    except NotFound as error:  # one of the two was purged
        return Comparison(BytesDiff(old.size, new.size, None), error.message)
    except FileNotFoundError:
        return None  # removed since it was looked at


def _by_kind(path: bytes, open_old: Open, open_new: Open, wanted: Wanted) -> Comparison | None:
    suffix = os.fsdecode(os.path.splitext(path)[1]).lower()
    with open_old() as old, open_new() as new:
        if suffix in tables.SUFFIXES:
            try:
                found = tables.compare_tables(old, new, suffix=suffix, key=wanted.key, sample=wanted.rows)
                return Comparison(found)
            except Invalid as error:
                return _as_text(old, new, wanted, f"{error.message} {error.hint}".strip())
        if suffix in models.SUFFIXES:
            return Comparison(models.compare_models(old, new, suffix=suffix))
        if suffix in pictures.SUFFIXES:
            return Comparison(pictures.compare_pictures(old, new, thumbnail=wanted.thumbnail))
        try:
            return _as_text(old, new, wanted, "")
        except Invalid:
            return None


def _as_text(old: BinaryIO, new: BinaryIO, wanted: Wanted, remark: str) -> Comparison:
    try:
        return Comparison(compare_texts(read_text(old), read_text(new), shown=wanted.lines), remark)
    except Invalid as error:
        raise Invalid(error.code, remark or error.message) from None


def _by_bytes(repository: Repository, old: Entry, new: Entry, *, in_hub: bool) -> BytesDiff:
    if not in_hub:
        return BytesDiff(old.size, new.size, None)
    before = {chunk for chunk, _ in repository.objects.chunks(old.id)}
    shared = sum(length for chunk, length in repository.objects.chunks(new.id) if chunk in before)
    return BytesDiff(old.size, new.size, shared)


def _open_plain(path: Path) -> BinaryIO:
    """Not through a link that came there since it was looked at, nor waiting at a pipe."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    return cast(BinaryIO, os.fdopen(descriptor, "rb"))


def text_of_one(repository: Repository, change: Change, folder: Path | None) -> TextDiff | None:
    """The lines of a text that was added or removed; None for anything else."""
    entry = change.old or change.new
    if entry is None or (change.old and change.new) or entry.kind not in _FILES or entry.size > TEXT_MAX:
        return None
    try:
        if folder is None or change.new is None:
            lines = read_text(cast(BinaryIO, repository.objects.open(entry.id)))
        else:
            with _open_plain(folder / os.fsdecode(change.path)) as file:
                lines = read_text(file)
    except (Invalid, NotFound, FileNotFoundError):  # no text, purged, or removed since it was looked at
        return None
    return compare_texts(lines if change.old else [], lines if change.new else [], shown=Wanted().lines)
