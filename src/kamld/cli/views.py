"""The JSON objects and lines that several verbs share, so that a commit looks the same everywhere."""

from base64 import b64encode
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from kamld.cli import render
from kamld.records.history import Commit
from kamld.store import Change
from kamld.store.trees import EXECUTABLE, FILE, FOLDER, SYMLINK

_KINDS = {FILE: "a plain file", EXECUTABLE: "executable", SYMLINK: "a link", FOLDER: "an empty folder"}
LISTED = 12  # changes of one sort that are listed one by one; more are counted by folder
_WORDS = {"added": "new", "removed": "removed", "changed": "changed"}
_SIGNS = {"added": "+", "removed": "−", "changed": "~"}


def commit_json(identifier: str, commit: Commit) -> dict[str, Any]:
    fields: dict[str, Any] = msgspec.to_builtins(commit)
    return {"id": identifier, "parents": list(commit.parents)} | fields


def path_json(raw: bytes) -> dict[str, str]:
    """A path for programs: as text, and in base64 too where it is not UTF-8."""
    try:
        return {"path": raw.decode("utf-8")}
    except UnicodeDecodeError:
        text = raw.decode("utf-8", "backslashreplace")
        return {"path": text, "path_bytes": b64encode(raw).decode()}


def change_json(change: Change) -> dict[str, Any]:
    """Ids are absent where nobody had to read the file."""
    old, new = change.old, change.new
    return {
        **path_json(change.path),
        "change": change.sort,
        "old_size": old.size if old else None,
        "new_size": new.size if new else None,
        "old_id": old.id.hex() if old and any(old.id) else None,
        "new_id": new.id.hex() if new and any(new.id) else None,
    }


def counts(changes: Sequence[Change]) -> tuple[int, int, int]:
    found = Counter(change.sort for change in changes)
    return found["added"], found["removed"], found["changed"]


def change_counts(changes: Sequence[Change]) -> str:
    return render.changed(*counts(changes))


def show_changes(
    changes: Sequence[Change], notes: Mapping[bytes, str] | None = None, *, folded: bool = True
) -> None:
    """The changes by sort; many in one folder as a count. `notes` by path stand instead of sizes."""
    notes = notes or {}
    rows = []
    for sort in ("changed", "added", "removed"):
        some = [change for change in changes if change.sort == sort]
        rows += [("", _WORDS[sort], *cells) for cells in _lines(some, notes, folded=folded)]
    render.table(rows)


def _lines(changes: Sequence[Change], notes: Mapping[bytes, str], *, folded: bool) -> list[tuple[str, str]]:
    if len(changes) <= LISTED or not folded:
        return [_one(change, notes) for change in changes]
    folders: dict[bytes, list[Change]] = {}
    for change in changes:
        folders.setdefault(change.path.rpartition(b"/")[0], []).append(change)
    if len(folders) > LISTED:
        folders = {}
        for change in changes:
            folders.setdefault(change.path.partition(b"/")[0], []).append(change)
    groups = sorted(folders.items())
    lines = [_line(folder, some, notes) for folder, some in groups[:LISTED]]
    if len(groups) > LISTED:
        rest = sum(len(some) for _, some in groups[LISTED:])
        lines.append((f"… {len(groups) - LISTED} more folders", f"({render.files(rest)})"))
    return lines


def _one(change: Change, notes: Mapping[bytes, str]) -> tuple[str, str]:
    return render.path(change.path), notes.get(change.path) or sizes(change)


def _line(folder: bytes, changes: Sequence[Change], notes: Mapping[bytes, str]) -> tuple[str, str]:
    if len(changes) == 1:
        return _one(changes[0], notes)
    return (f"{render.path(folder)}/" if folder else "./"), f"({render.files(len(changes))})"


def sizes(change: Change) -> str:
    if change.old and change.new and change.old.kind != change.new.kind:
        return f"{render.size(change.new.size)}, now {_KINDS[change.new.kind]}"
    if change.old and change.new:
        if change.old.size == change.new.size:
            return render.size(change.new.size)
        return f"{render.size(change.old.size)} → {render.size(change.new.size)}"
    there = change.new or change.old
    return render.size(there.size) if there else ""
