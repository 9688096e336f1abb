"""What the PATH of `name@revision:PATH` means in a version: a file, a folder, or a pattern of files.

What is really called so comes first: `a[1].png` is the file of that name where there is one.
"""

import os
from difflib import get_close_matches
from itertools import islice
from shlex import quote

from kamld.errors import Invalid, NotFound
from kamld.reading.folders import Folders
from kamld.records.globs import Glob, is_glob
from kamld.records.kinds import EXECUTABLE, FILE, FOLDER, SYMLINK
from kamld.store import Entries
from kamld.store.trees.entries import Entry, entries_of

_LOOKED_AT = 10_000  # names of a folder that are compared with one that is not there
_SHOWN = 3


def pattern_of(folders: Folders, path: str) -> Glob | None:
    """The pattern that this path is; None where it is a name."""
    path = path.strip("/")
    return Glob(path) if is_glob(path) and folders.find(os.fsencode(path)) is None else None


def chosen(folders: Folders, path: str, where: str) -> Entries:
    """The files and empty folders of a path, of all for "". Raises NotFound (unknown_path, no_match) in
    words about `where`, which is the version as the person named it."""
    asked = path.strip("/")
    glob = pattern_of(folders, asked)
    found = entries_of(list(folders.matching(glob))) if glob else folders.tree.under(os.fsencode(asked))
    if asked and not len(found):
        raise no_such(folders, asked, where)
    return found


def one_file(folders: Folders, path: str, where: str) -> Entry:
    """The file of this path, or the only one of this pattern. Raises as `chosen`, and Invalid (no_path,
    which_file, not_a_file)."""
    path = path.strip("/")
    if not path:
        raise Invalid("no_path", f'"{where}" names no file.', f"Write a path behind a colon: {where}:PATH")
    found = list(chosen(folders, path, where).rows())
    entry = found[0]
    one = entry.path == os.fsencode(path) or pattern_of(folders, path)
    if one and len(found) > 1:
        some = ", ".join(os.fsdecode(row.path) for row in found[:_SHOWN])
        more = ", …" if len(found) > _SHOWN else ""
        raise Invalid(
            "which_file", f'"{path}" matches {len(found):,} files in {where}: {some}{more}.',
            f"Name one; kamld ls {quote(f'{where}:{path}')} lists all.",
        )  # fmt: skip
    if not one or entry.kind not in (FILE, EXECUTABLE):
        raise _not_a_file(folders, path, where, entry if one else None)
    return entry


def _not_a_file(folders: Folders, path: str, where: str, entry: Entry | None) -> Invalid:
    """`entry` None: it is a folder that is not empty."""
    if entry and entry.kind == SYMLINK:
        target = os.fsdecode(folders.target(entry))
        there = os.path.normpath(os.path.join(os.path.dirname(path), target))
        found = folders.find(os.fsencode(there))
        way = f"kamld cat {quote(f'{where}:{there}')}" if found and found.kind in (FILE, EXECUTABLE) else ""
        return Invalid("not_a_file", f'"{path}" in {where} is a link to {target}.', way)
    empty = "an empty folder" if entry else "a folder"
    way = f"kamld ls {quote(f'{where}:{path}')} shows what is in it."
    return Invalid("not_a_file", f'"{path}" in {where} is {empty}.', "" if entry else way)


def no_such(folders: Folders, path: str, where: str) -> NotFound:
    """What to say of a path that is not there, or a pattern that nothing has: what is near it."""
    path = path.strip("/")
    if not is_glob(path):
        return NotFound("unknown_path", f'There is no "{path}" in {where}.', _near(folders, path, where))
    fixed = Glob(path).folder
    if fixed and folders.find(os.fsencode(fixed)) is None:
        return NotFound(
            "no_match", f'Nothing in {where} matches "{path}": there is no "{fixed}".',
            _near(folders, fixed, where),
        )  # fmt: skip
    there = [_shown(row) for row in islice(folders.children(os.fsencode(fixed)), _SHOWN + 1)]
    some = ", ".join(there[:_SHOWN]) + (", …" if len(there) > _SHOWN else "")
    place = f"{fixed}/ has" if fixed else "There is"
    return NotFound("no_match", f'Nothing in {where} matches "{path}".', f"{place} {some}." if there else "")


def _near(folders: Folders, path: str, where: str) -> str:
    """A name that was perhaps meant, in the deepest folder of the path that is there."""
    parts = path.split("/")
    depth = 0
    while depth < len(parts) - 1 and _is_folder(folders, "/".join(parts[: depth + 1])):
        depth += 1
    folder = "/".join(parts[:depth])
    names = [
        os.fsdecode(row.path).rpartition("/")[2]
        for row in islice(folders.children(os.fsencode(folder)), _LOOKED_AT)
    ]
    near = get_close_matches(parts[depth], names, 1)
    said = f'Did you mean "{"/".join([*parts[:depth], near[0]])}"? ' if near else ""
    return f"{said}kamld ls {where}{':' + folder if folder else ''} shows what there is."


def _is_folder(folders: Folders, path: str) -> bool:
    found = folders.find(os.fsencode(path))
    return found is not None and found.kind == FOLDER


def _shown(row: Entry) -> str:
    name = os.fsdecode(row.path).rpartition("/")[2]
    return name + "/" if row.kind == FOLDER else name
