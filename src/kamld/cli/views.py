"""The JSON objects and lines that several verbs share, so that a commit looks the same everywhere."""

import math
from base64 import b64encode
from collections import Counter
from collections.abc import Container, Mapping, Sequence
from typing import Any

import msgspec

from kamld.cli import render
from kamld.records.history import Commit, Dataset
from kamld.records.kinds import EXECUTABLE, FILE, FOLDER, SYMLINK
from kamld.records.names import Name
from kamld.store import Change, Committed, Repository

_KINDS = {FILE: "a plain file", EXECUTABLE: "executable", SYMLINK: "a link", FOLDER: "an empty folder"}
_SORTS = {SYMLINK: ("link", "links"), FOLDER: ("empty folder", "empty folders")}  # what is no file
_COMMIT_FIELDS = ("id", "commit", *Commit.__struct_fields__)
EXPIRED = "expired: its files are not kept"  # of a checkpoint
LISTED = 12  # changes of one sort that are listed one by one; more are counted by folder
_WORDS = {"added": "new", "removed": "removed", "changed": "changed", "ignored": "ignored now"}
_SIGNS = {"added": "+", "removed": "−", "changed": "~"}


def dataset_json(dataset: Dataset | Name) -> dict[str, Any]:
    """What a dataset or model is called; its `kind` where that is known."""
    named = {"project": dataset.project, "name": dataset.name}
    return named | {"kind": dataset.kind} if isinstance(dataset, Dataset) else named


def commit_json(identifier: str, commit: Commit) -> dict[str, Any]:
    """Every field of a version, empty ones too: a program need not ask which are there. `id` is what every
    record calls its own; `commit` is the same under the word by which others name it."""
    fields = {field: getattr(commit, field) for field in Commit.__struct_fields__}
    found: dict[str, Any] = plain(msgspec.to_builtins(fields))
    return {"id": identifier, "commit": identifier} | found


def landed_json(
    repository: Repository, dataset: Dataset, base: str | None, made: Committed | None
) -> dict[str, Any]:
    """The version that a commit or an import led to, with the same fields where nothing had changed since
    `base`: then it is that one, and it landed nowhere."""
    if made:
        landed = made.landed
        version = landed.move.version if landed.how in ("moved", "carried") else None
        shown = commit_json(made.commit_id, made.commit) | {"version": version_json(version)}
        return shown | {"changed": True, "landed": landed.how, "head": landed.head}
    shown = commit_json(base, repository.commit(base)) if base else dict.fromkeys(_COMMIT_FIELDS)
    number = repository.refs.version_of(dataset, base) if base else None
    return shown | {"version": version_json(number), "changed": False, "landed": None, "head": None}


def version_json(number: int | None) -> str | None:
    """A model's number as it is typed behind NAME@."""
    return f"v{number}" if number else None


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


def changed_files(changes: Sequence[Change]) -> str:
    """`+2 −1 files`; links and empty folders are told apart, in `+2 files and links`."""
    found = Counter(_sort(change) for change in changes)
    nouns = [words[len(changes) > 1] for words in (("file", "files"), *_SORTS.values()) if found[words]]
    return f"{change_counts(changes)} {_and(nouns)}" if changes else "the same files"


def _sort(change: Change) -> tuple[str, str]:
    """What it is about, one of them and many."""
    there = change.new or change.old
    return _SORTS.get(there.kind if there else FILE, ("file", "files"))


def _how_many(changes: Sequence[Change]) -> str:
    found = Counter(_sort(change) for change in changes)
    return ", ".join(
        f"{count:,} {words[count > 1]}"
        for words in (("file", "files"), *_SORTS.values()) if (count := found[words])
    )  # fmt: skip


def _and(words: Sequence[str]) -> str:
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


def show_changes(
    changes: Sequence[Change], notes: Mapping[bytes, str] | None = None, *, folded: bool = True,
    renamed: Sequence[tuple[bytes, bytes]] = (), ignored: Container[bytes] = (),
) -> None:  # fmt: skip
    """The changes by sort; many in one folder as a count. `notes` by path stand instead of sizes; what was
    `renamed` (old path, new path) is neither new nor removed, and what is `ignored` by now is still there."""
    notes = notes or {}
    rows = _renamings(renamed)
    moved = {path for pair in renamed for path in pair}
    changes = [change for change in changes if change.path not in moved]
    for sort in ("changed", "added", "removed", "ignored"):
        some = [one for one in changes if sort == ("ignored" if one.path in ignored else one.sort)]
        rows += [("", _WORDS[sort], *cells) for cells in _lines(some, notes, folded=folded)]
    render.table(rows)


def _renamings(renamed: Sequence[tuple[bytes, bytes]]) -> list[tuple[str, str, str, str]]:
    """Many that went from one folder into another as a count."""
    lines = [(f"{render.path(old)} → {render.path(new)}", "") for old, new in renamed]
    if len(renamed) > LISTED:
        folders = Counter((_folder(old), _folder(new)) for old, new in renamed).most_common()
        lines = [(f"{old} → {new}", f"({render.files(n)})") for (old, new), n in folders[:LISTED]]
        if rest := sum(n for _, n in folders[LISTED:]):
            lines.append((f"… {len(folders) - LISTED} more folders", f"({render.files(rest)})"))
    return [("", "renamed", *line) for line in lines]


def _folder(path: bytes) -> str:
    return f"{render.path(path.rpartition(b'/')[0]) or '.'}/"


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
        rest = [change for _, some in groups[LISTED:] for change in some]
        lines.append((f"… {len(groups) - LISTED} more folders", f"({_how_many(rest)})"))
    return lines


def _one(change: Change, notes: Mapping[bytes, str]) -> tuple[str, str]:
    there = change.new or change.old
    mark = "/" if there and there.kind == FOLDER else ""
    return render.path(change.path) + mark, notes.get(change.path) or sizes(change)


def _line(folder: bytes, changes: Sequence[Change], notes: Mapping[bytes, str]) -> tuple[str, str]:
    if len(changes) == 1:
        return _one(changes[0], notes)
    return (f"{render.path(folder)}/" if folder else "./"), f"({_how_many(changes)})"


def sizes(change: Change) -> str:
    """How large a file is and was; that something is no file, or was something else."""
    sort = _sort(change)[0]
    if change.old and change.new and change.old.kind != change.new.kind:
        now = f"now {_KINDS[change.new.kind]}"
        return f"{render.size(change.new.size)}, {now}" if sort == "file" else now
    if sort != "file":
        return f"{sort}, leads elsewhere now" if change.old and change.new else sort
    if change.old and change.new:
        if change.old.size == change.new.size:
            return render.size(change.new.size)
        return f"{render.size(change.old.size)} → {render.size(change.new.size)}"
    there = change.new or change.old
    return render.size(there.size) if there else ""


def plain(value: Any) -> Any:
    """Plain data with the numbers that JSON lacks as records spell them: "nan", "inf", "-inf"."""
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, dict):
        return {key: plain(inner) for key, inner in value.items()}
    return [plain(inner) for inner in value] if isinstance(value, list | tuple) else value
