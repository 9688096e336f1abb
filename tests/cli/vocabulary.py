"""The words of `--json`: every field that any verb prints, and what is in it; the same for all verbs.

docs/guide/programs.md tells people the most important of them.
"""

import re
from collections.abc import Callable, Iterator
from typing import Any

TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")
COMMIT = re.compile(r"[0-9a-f]{64}")


def _text(value: Any) -> bool:
    return isinstance(value, str) and value != ""


def _count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _list_of(one: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, list) and all(map(one, value))


# How each is written. "?" behind a kind: or null. What is in "free" is a record's own, or a file's.
KINDS: dict[str, Callable[[Any], bool]] = {
    "text": _text,
    "any text": lambda value: isinstance(value, str),
    "texts": _list_of(lambda value: isinstance(value, str)),
    "count": _count,
    "number": lambda value: isinstance(value, int | float) or value in ("nan", "inf", "-inf"),
    "yes or no": lambda value: isinstance(value, bool),
    "time": lambda value: isinstance(value, str) and bool(TIME.fullmatch(value)),
    "commit": lambda value: isinstance(value, str) and bool(COMMIT.fullmatch(value)),
    "commits": _list_of(lambda value: bool(COMMIT.fullmatch(value))),
    "version": lambda value: isinstance(value, str) and bool(re.fullmatch(r"v[1-9]\d*", value)),
    "objects": _list_of(lambda value: isinstance(value, dict)),
    "object": lambda value: isinstance(value, dict),
    "free": lambda _value: True,
}

FIELDS: dict[str, str] = {
    # what it is about
    "project": "text?", "name": "text?", "kind": "text?", "id": "text?", "ref": "text", "ref_kind": "text",
    "branch": "text?", "version": "version?", "revision": "text", "revisions": "texts", "names": "texts",
    # a version
    "commit": "commit?", "head": "commit?", "source_commit": "commit?", "amended": "commit?",
    "parents": "commits?", "tree": "commit?", "time": "time?", "author": "text?", "message": "any text?",
    "run": "text?", "origin": "free", "split": "free", "imported": "free", "checkpoint": "free",
    "metadata": "free", "expired": "yes or no", "last_commit": "object",
    # how it was before
    "old_commit": "commit?", "old_branch": "text?", "old_project": "text", "old_name": "text",
    "old_state": "text", "old_size": "count?", "new_size": "count?", "old_id": "text?", "new_id": "text?",
    # places
    "folder": "text", "path": "text?", "path_bytes": "text", "paths": "texts", "target": "text",
    "target_kind": "text", "source": "text", "source_kind": "text", "places": "objects", "layer": "text?",
    "url": "any text", "grpc_url": "text?",
    # how much; sizes are in bytes
    "files": "count?", "size": "count", "bytes": "count?", "bytes_added": "count", "bytes_read": "count",
    "bytes_freed": "count", "bytes_free": "count", "bytes_left": "count", "bytes_condemned": "count",
    "bytes_put": "count", "objects": "count", "packs": "count", "rows": "count", "examples": "count",
    "version_count": "count", "change_count": "count", "dataset_count": "count", "model_count": "count",
    "commit_count": "count", "move_count": "count", "run_count": "count", "event_count": "count",
    "affected_count": "count", "files_added": "count", "files_removed": "count", "files_changed": "count",
    "ms": "number",
    # what happened
    "created": "yes or no", "changed": "yes or no", "bound": "yes or no", "landed": "text?",
    "result": "text", "changes": "objects?", "change": "text", "renamed": "objects", "from": "object",
    "to": "object", "purged": "texts", "refused": "texts", "own_changes": "count",
    "undone": "text", "state": "text",
    "standing": "text?", "apart": "objects", "special": "texts", "ignored": "texts", "removed": "yes or no",
    "same": "count", "differ": "count", "restored_dataset": "yes or no", "remarks": "texts", "tags": "texts",
    # export into a bucket
    "put": "count", "deleted": "count", "foreign": "texts", "left_there": "texts", "dry_run": "yes or no",
    # du
    "datasets": "objects", "newest": "count", "as_files": "count", "stored": "count", "alone": "count",
    "history": "count", "shared": "count", "other": "count", "lists": "count", "records": "count",
    "local": "count",
    # split
    "parts": "objects", "part": "text", "rule": "free", "of": "count", "shared_paths": "objects",
    "on_both_sides": "count", "groups_on_both_sides": "texts", "short": "texts",
    # merge
    "tables": "objects", "conflicts": "objects", "why": "text", "detail": "any text", "rows_decided": "count",
    "row_conflicts": "free", "key": "free", "decided": "objects", "decision": "text",
    "row": "texts", "waits": "yes or no", "gone": "texts", "returned": "texts", "failures": "objects",
    "lost_before": "yes or no", "check": "text", "output": "texts", "protection": "free", "added": "texts",
    "dropped": "texts",
    # the hub
    "format": "count", "ok": "yes or no", "upgraded": "free", "checks": "objects", "what": "text",
    "todo": "any text", "sound": "yes or no", "findings": "objects", "code": "free", "affected": "objects",
    "total": "count?", "notes": "texts", "left": "count", "left_lost": "count",
    "left_elsewhere": "yes or no", "purged_files": "count",
    "repaired": "objects", "rebuild_is_enough": "yes or no", "needed_objects": "count", "missing": "count",
    "kept_by": "free", "needed_by": "objects", "deleted_packs": "count", "copied_objects": "count",
    "forgotten": "texts",
    "condemned_packs": "count", "since": "time?", "waits_for": "texts", "damaged_packs": "texts",
    "damaged": "texts", "catalog": "object",
    # purge
    "contents": "count", "runs": "free", "endpoints": "texts", "shared_parts": "count", "holes": "objects",
    "hole": "object", "mounts": "texts", "reason": "text", "done": "time?", "in_use": "texts",
    "written": "texts", "elsewhere": "texts",
    # mounts
    "writable": "yes or no", "uncommitted": "yes or no", "pid": "count",
    # runs
    "number": "count?", "command": "texts", "started": "time", "ended": "time?", "params": "free",
    "metrics": "free", "inputs": "objects", "outputs": "free", "label": "text", "points": "text",
    "environment": "free", "host": "text", "exit_status": "count?", "stdout": "text?", "stderr": "text?",
    "different": "objects", "alike": "objects", "code_files": "texts", "section": "text", "values": "free",
    "before": "number?", "after": "number?", "run_before": "count?", "run_after": "count?",
    # serving
    "versions": "objects", "weight": "count", "model": "text", "prediction_id": "text", "scores": "free",
    # why
    "title": "text", "via": "text?", "about": "texts", "details": "free", "repeated": "yes or no",
    "children": "objects",
    # what is inside files
    "inside": "free", "remark": "any text", "sorts": "objects", "suffix": "any text", "columns": "free",
    "type": "text",
}  # fmt: skip


def wrong(value: Any, commits: set[str], where: str = "") -> Iterator[str]:
    """What in a verb's JSON is not as the vocabulary has it. `commits` are ids of versions: whatever has one
    as its `id` has it as its `commit` too."""
    if isinstance(value, list):
        for one in value:
            yield from wrong(one, commits, where)
    if not isinstance(value, dict):
        return
    for field, inner in value.items():
        place = f"{where}.{field}".lstrip(".")
        kind = FIELDS.get(field)
        if kind is None:
            yield f"{place} is no word of ours: {inner!r:.80}"
            continue
        if not (inner is None and kind.endswith("?")) and not KINDS[kind.removesuffix("?")](inner):
            yield f"{place} is {inner!r:.80}, no {kind}"
        if field == "id" and inner in commits and value.get("commit") != inner:
            yield f"{place} is a version's, and not there as commit"
        if kind.removesuffix("?") in ("object", "objects"):
            yield from wrong(inner, commits, place)


def commits_in(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for field, inner in value.items():
            if FIELDS.get(field, "").removesuffix("?") == "commit" and field != "tree" and inner:
                yield inner
            yield from commits_in(inner)
    elif isinstance(value, list):
        for one in value:
            yield from commits_in(one)


def words_of(value: Any) -> set[str]:
    if isinstance(value, list):
        return {word for one in value for word in words_of(one)}
    return set(value).union(*map(words_of, value.values())) if isinstance(value, dict) else set()
