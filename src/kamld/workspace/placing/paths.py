"""Which paths a version may have, and which of them a place on a disk can hold.

A version that came from elsewhere may name anything; it is refused by name before a byte is written.
All here is about names alone; only `rules_of` looks at a disk.
"""

import os
import unicodedata
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from kamld.errors import Conflict, Invalid
from kamld.records.kinds import FOLDER
from kamld.scan.marks import OWN, PATH_MAX, may_be_named
from kamld.store import Entries

_NAME_MAX = 255
_NOT_PLAIN = (b"//", b"/./", b"/../", b"/" + os.fsencode(OWN) + b"/")  # where `/` is around each path
_PROBE = ".kamld-probe-\u00e9"  # with a letter that is written in two ways


@dataclass(frozen=True, slots=True)
class Rules:
    """What a file system makes of names: whether `A` is `a`, whether the two ways to write `é` are one,
    and how long a name may be, in bytes."""

    folds_case: bool = False
    folds_form: bool = False
    name_max: int = _NAME_MAX

    def folded(self, path: bytes) -> bytes:
        """Equal for two paths just where they are the same file there."""
        if not (self.folds_case or self.folds_form) or path.isascii():
            return path.lower() if self.folds_case else path
        text = path.decode("utf-8", "surrogateescape")
        if self.folds_form:
            text = unicodedata.normalize("NFC", text)
        if self.folds_case:
            text = unicodedata.normalize("NFC", unicodedata.normalize("NFD", text).casefold())
        return text.encode("utf-8", "surrogateescape")


def rules_of(folder: Path) -> Rules:
    """Of the file system of this folder, in which a file is made for a moment. Raises OSError."""
    probe = os.fsencode(folder) + b"/" + _PROBE.encode()
    names = (_PROBE.upper(), unicodedata.normalize("NFD", _PROBE))
    file = os.open(probe, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    os.close(file)
    try:
        case, form = (os.path.lexists(os.fsencode(folder) + b"/" + name.encode()) for name in names)
    finally:
        os.unlink(probe)
    longest = _NAME_MAX
    with suppress(OSError, ValueError):  # not every system tells
        longest = os.pathconf(folder, "PC_NAME_MAX")
    return Rules(case, form, longest)


def check_paths(entries: Entries) -> None:
    """Raises Invalid (unsafe_path) for a tree that must not be written anywhere."""
    if not _are_plain(entries):
        _check_each(entries)
    solid = set(entries.paths)
    for path in folders_of(entries.paths):
        if path in solid:
            raise _unsafe(path, "is a file and a folder at once")


def _are_plain(entries: Entries) -> bool:
    """Whether none of them can be refused, by looking at all at once. What this does not know, the look at
    each decides."""
    paths = entries.paths
    text = b"\0/" + b"/\0/".join(paths) + b"/\0"
    return (
        text.count(b"\0") == len(paths) + 1
        and not any(part in text for part in _NOT_PLAIN)
        and len(set(paths)) == len(paths)
        and not (entries.kinds > FOLDER).any()
    )


def _check_each(entries: Entries) -> None:
    before = b""
    for path, kind in zip(entries.paths, entries.kinds.tolist(), strict=True):
        parts = path.split(b"/")
        if not all(may_be_named(part) for part in parts):
            raise _unsafe(path, "would leave the folder, or change what kamld keeps in it")
        if kind > FOLDER:
            raise _unsafe(path, "is of a sort that this kamld does not know")
        if path == before:
            raise _unsafe(path, "is there twice")
        before = path


def check_room(paths: Sequence[bytes], folder: Path, rules: Rules) -> None:
    """Raises Invalid (unsafe_path, name_too_long, path_too_long), Conflict (same_name) for paths that the
    folder cannot hold as they are."""
    longest = max(paths, key=len, default=b"")
    if len(longest) > rules.name_max:
        long = (path for path in paths if max(map(len, path.split(b"/"))) > rules.name_max)
        if found := next(long, None):
            raise Invalid(
                "name_too_long",
                f"{_shown(found)} has a name of more than {rules.name_max} bytes, which {folder} cannot hold."
                " Nothing was written.",
                "kamld export writes it into an archive; kamld cat writes one file.",
            )
    check_length(paths, folder)
    if found_two := same_names(paths, rules):
        one, other = found_two
        if other == OWN.encode():
            raise _unsafe(one, "is kamld's own folder in this file system")
        raise Conflict(
            "same_name",
            f"{_shown(one)} and {_shown(other)} would be one and the same where {folder} is."
            " Nothing was written.",
            "Choose a place on another file system, or get a part: NAME:PATH",
        )


def check_length(paths: Sequence[bytes], folder: Path) -> None:
    """Raises Invalid (path_too_long) where a path below the folder would be longer than paths may be."""
    longest = max(paths, key=len, default=b"")
    if len(os.fsencode(folder.absolute())) + 1 + len(longest) >= PATH_MAX:
        raise Invalid(
            "path_too_long",
            f"{_shown(longest)} is a path of {len(longest):,} bytes, too long below {folder}. Nothing was"
            " written.",
            "Name a folder higher up, or get a part: NAME:PATH",
        )


def same_names(paths: Sequence[bytes], rules: Rules) -> tuple[bytes, bytes] | None:
    """Two files or folders that the file system would take for one; or one that it would take for
    kamld's own folder, with that."""
    if not (rules.folds_case or rules.folds_form):
        return None
    own = OWN.encode()
    known: dict[bytes, bytes] = {}
    for path in sorted({*paths, *folders_of(paths)}):
        folded = rules.folded(path)
        if folded.rpartition(b"/")[2] == own:
            return path, own
        other = known.setdefault(folded, path)
        if other != path:
            return other, path
    return None


def folders_of(paths: Iterable[bytes]) -> set[bytes]:
    """Every folder that has one of the paths in it."""
    found: set[bytes] = set()
    for path in paths:
        cut = path.rfind(b"/")
        while cut > 0 and path[:cut] not in found:
            found.add(path[:cut])
            cut = path.rfind(b"/", 0, cut)
    return found


def _unsafe(path: bytes, why: str) -> Invalid:
    return Invalid(
        "unsafe_path", f"{_shown(path)} {why}. Nothing was written.", "Do not trust who made this version."
    )


def _shown(path: bytes) -> str:
    text = path.decode("utf-8", "backslashreplace")
    return f'"{text}"' if len(text) <= 300 else f'"{text[:100]}…{text[-100:]}"'
