"""The code of a run: a snapshot of its folder, which is code and not data, and Git's view of it.

The folder is the top of the Git checkout that the command starts in, with the files that Git keeps
or does not ignore; without Git it is the folder where the command starts. Left out: names that
begin with a dot (unless Git keeps them: they are settings and secrets), hubs, bound folders,
environments, caches, output folders, what `.kamldignore` names, files of more than 10 MB, and the
largest ones above 10,000 files or 100 MB. What is left out for its size is told.
"""

import os
import stat
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from kamld.records.kinds import EXECUTABLE, FILE, SYMLINK
from kamld.records.run import Code
from kamld.runs.git import DIFF_MAX, GitView, git_view
from kamld.scan.ignore import read_ignores
from kamld.scan.marks import HUB_MARK, OWN, may_be_named
from kamld.store import Source, Writer
from kamld.store.trees import write_tree
from kamld.store.trees.entries import Entry, entries_of
from kamld.workspace.binding import read_binding

FILE_MAX = 10_000_000  # bytes
FILES_MAX = 10_000
TOTAL_MAX = 100_000_000  # bytes
_LOOKED_AT_MAX = 200_000  # files; a folder with more of them is not one of code
_NEVER = frozenset({"__pycache__", "node_modules", "site-packages", OWN, ".git", ".hg", ".svn"})
_MARKS = ("pyvenv.cfg", "conda-meta", "CACHEDIR.TAG", HUB_MARK)  # environments, caches, hubs


@dataclass(frozen=True, slots=True)
class _File:
    path: bytes
    state: os.stat_result


def capture_code(
    writer: Writer, folder: Path, variables: Mapping[str, str], outputs: Sequence[Path]
) -> tuple[Code, tuple[str, ...]]:
    """Put the code into the hub; (what is known of it, what was left out and should be told).

    Raises SystemFault (changing_file …), Invalid (bad_ignore_file).
    """
    git = git_view(folder, variables)
    top = git.top if git else folder
    paths, notes = _candidates(top, git, {os.path.realpath(output) for output in outputs})
    chosen, left_out = _choose(top, paths)
    notes += left_out
    tree = write_tree(writer, entries_of(sorted(_put(writer, top, chosen), key=lambda e: e.path)))
    code = Code(folder=_text(top), tree=tree.hex(), inside=_inside(folder, top))
    if git is None:
        return code, tuple(notes)
    if git.diff_left_out:
        notes.append(f"Git's diff has more than {DIFF_MAX // 1_000_000} MB and was not kept.")
    with_git = Code(
        folder=code.folder, tree=code.tree, inside=code.inside,
        git_commit=git.commit, git_branch=git.branch, git_remote=git.remote,
        git_diff=writer.put(git.diff).hex() if git.diff else None,
    )  # fmt: skip
    return with_git, tuple(notes)


def _candidates(top: Path, git: GitView | None, outputs: set[str]) -> tuple[list[bytes], list[str]]:
    """Paths below `top` that may be code, and what to tell about those not looked at."""
    skips = _Skips(top, outputs)
    notes = []
    if git:
        found = [
            path for path in git.files
            if not skips.above(path) and not (path in git.loose and _hidden(path))
        ]  # fmt: skip
    else:
        found = []
        for path in _walk(top, skips):
            if len(found) == _LOOKED_AT_MAX:
                notes.append(f"{top} has more than {_LOOKED_AT_MAX:,} files; not all were looked at.")
                break
            found.append(path)
    found = [path for path in found if all(may_be_named(part) for part in path.split(b"/"))]
    ignores = read_ignores(top)
    if ignores:
        found = [path for path in found if not ignores(os.fsdecode(path))]
    return found, notes


class _Skips:
    """Which folders have no code in them."""

    def __init__(self, top: Path, outputs: set[str]) -> None:
        self._top = os.fsencode(top)
        self._outputs = outputs
        self._known: dict[bytes, bool] = {b"": False}

    def above(self, path: bytes) -> bool:
        """Whether one of the folders that this path is in is left out."""
        folder = os.path.dirname(path)
        if folder not in self._known:
            self._known[folder] = self.above(folder) or self.folder(folder)
        return self._known[folder]

    def folder(self, path: bytes) -> bool:
        place = os.fsdecode(os.path.join(self._top, path))
        if os.path.basename(place) in _NEVER or os.path.realpath(place) in self._outputs:
            return True
        if any(os.path.lexists(os.path.join(place, mark)) for mark in _MARKS):
            return True
        return os.path.isdir(os.path.join(place, OWN)) and read_binding(Path(place)) is not None


def _walk(top: Path, skips: _Skips) -> Iterator[bytes]:
    waiting = [b""]
    while waiting:
        folder = waiting.pop()
        try:
            listing = sorted(os.scandir(os.path.join(os.fsencode(top), folder)), key=lambda e: e.name)
        except OSError:
            continue  # what nobody may read is not part of it
        for entry in listing:
            path = os.path.join(folder, entry.name)
            if entry.name.startswith(b"."):
                continue
            if entry.is_dir(follow_symlinks=False):
                if not skips.folder(path):
                    waiting.append(path)
            else:
                yield path


def _choose(top: Path, paths: Sequence[bytes]) -> tuple[list[_File], list[str]]:
    """Those that fit the limits, the smallest first; and what to tell of the others."""
    found: list[_File] = []
    large: list[_File] = []
    for path in paths:
        try:
            state = os.lstat(os.path.join(os.fsencode(top), path))
        except OSError:
            continue  # Git keeps it, but it was removed
        if stat.S_ISLNK(state.st_mode):
            found.append(_File(path, state))
        elif stat.S_ISREG(state.st_mode):
            (large if state.st_size > FILE_MAX else found).append(_File(path, state))
    notes = []
    if large:
        names = ", ".join(_text(os.fsdecode(file.path)) for file in large[:3])
        more = f" and {len(large) - 3} more" if len(large) > 3 else ""
        notes.append(f"Not in the code's snapshot, more than {FILE_MAX // 1_000_000} MB: {names}{more}.")
    found.sort(key=lambda file: (file.state.st_size, file.path))
    total, count = 0, 0
    for file in found[:FILES_MAX]:
        total += file.state.st_size
        if total > TOTAL_MAX:
            break
        count += 1
    if count < len(found):
        notes.append(
            f"The code's snapshot has the {count:,} smallest files of {len(found):,} in {_text(top)}."
        )
    return found[:count], notes


def _put(writer: Writer, top: Path, files: Sequence[_File]) -> Iterator[Entry]:
    places = {}
    for file in files:
        place = os.path.join(os.fsencode(top), file.path)
        if stat.S_ISLNK(file.state.st_mode):
            target = os.readlink(place)
            yield Entry(file.path, SYMLINK, len(target), writer.put(target))
        elif os.access(place, os.R_OK):
            places[os.fsdecode(place)] = file
    for written in writer.put_files(Source(p, f.state.st_size) for p, f in places.items()):
        file, state = places[written.source.path], written.state
        kind = EXECUTABLE if state.mode & stat.S_IXUSR else FILE
        yield Entry(file.path, kind, state.size, written.id)


def _hidden(path: bytes) -> bool:
    return any(part.startswith(b".") for part in path.split(b"/"))


def _inside(folder: Path, top: Path) -> str:
    inside = os.path.relpath(os.path.realpath(folder), os.path.realpath(top))
    return "" if inside == "." else _text(inside)


def _text(path: str | Path) -> str:
    return os.fsencode(path).decode("utf-8", "backslashreplace")
