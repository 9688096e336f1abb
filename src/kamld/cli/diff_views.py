"""How the comparison of a file looks: one line by the kind of file, and its details."""

from collections.abc import Sequence
from typing import Any

import click
import msgspec

from kamld.changes.compare import BytesDiff, Comparison
from kamld.cli import render
from kamld.formats.models import Changed, ModelDiff
from kamld.formats.pictures import PictureDiff
from kamld.formats.tables import RowChange, TableDiff
from kamld.formats.text import TextDiff

_DETAILS = 20  # arrays and parts that are listed
_CELLS = 12  # of a row
_KINDS = {
    TableDiff: "table", ModelDiff: "model", PictureDiff: "picture", TextDiff: "text", BytesDiff: "bytes",
}  # fmt: skip
_SIGNS = {"added": "+", "removed": "-", "changed": "~"}
_COLOURS = {"+": "green", "-": "red", "@": "cyan", "~": "yellow"}


def comparison_json(found: Comparison) -> dict[str, Any]:
    inside = _encodable(msgspec.to_builtins(found.inside))
    return {"kind": _KINDS[type(found.inside)], "inside": inside, "remark": found.remark}


def summary(found: Comparison, sizes: str, *, lines: bool) -> str:
    """What stands beside the file's name; `lines`: count those of texts too."""
    inside = found.inside
    if isinstance(inside, TableDiff):
        return _table_summary(inside)
    if isinstance(inside, ModelDiff):
        return _model_summary(inside)
    if isinstance(inside, PictureDiff):
        return _picture_summary(inside)
    about = sizes
    if isinstance(inside, TextDiff) and lines:
        about += f", {render.changed(inside.added, inside.removed, 0)} lines"
    if isinstance(inside, BytesDiff) and inside.shared is not None and inside.new_size:
        about += f", {100 * inside.shared // inside.new_size} % shared"
    return f"{about}   ({_clean(found.remark).rstrip('.')})" if found.remark else about


def show_details(name: str, found: Comparison) -> None:
    inside = found.inside
    if isinstance(inside, TextDiff):
        show_lines(name, inside)
    if isinstance(inside, TableDiff):
        _heading(name, _table_summary(inside))
        _show_table(inside)
    if isinstance(inside, ModelDiff):
        _heading(name, _model_summary(inside))
        _show_changed(inside.arrays, "arrays")
        _show_changed(inside.parts, "parts")


def show_lines(name: str, found: TextDiff) -> None:
    if not found.aligned:
        _heading(name, f"{render.changed(found.added, found.removed, 0)} lines, too many to show")
    if not found.lines:
        return
    _say(f"--- {name} before")
    _say(f"+++ {name} now")
    for line in found.lines:
        _say(line)
    if found.more:
        render.say(f"… {found.more:,} more lines")


def _table_summary(diff: TableDiff) -> str:
    counts = (("added", diff.added), ("removed", diff.removed), ("changed", diff.changed))
    parts = [f"{count:,} {word}" for word, count in counts if count]
    told = []
    key = f"key: {_clean(', '.join(diff.key))}" if diff.key else "no key"
    if parts:
        first, _, rest = parts[0].partition(" ")
        parts[0] = f"{first} row{'' if first == '1' else 's'} {rest}"
        told.append(f"{', '.join(parts)} ({key})")
    for word, names in (("added", diff.columns_added), ("removed", diff.columns_removed)):
        if names:
            told.append(f"column{'' if len(names) == 1 else 's'} {_clean(', '.join(names[:5]))} {word}")
    told += [f"{_clean(name)} {old} → {new}" for name, (old, new) in list(diff.retyped.items())[:5]]
    if diff.columns_moved:
        told.append("columns in another order")
    return "; ".join(told) or "the same rows, written otherwise"


def _show_table(diff: TableDiff) -> None:
    for sort in ("changed", "removed", "added"):
        rows = [row for row in diff.sample if row.sort == sort]
        for row in rows:
            _say(_row(row))
        left = getattr(diff, sort) - len(rows)
        if rows and left:
            render.say(f"… {left:,} more {sort}")
    if diff.by_column and len(diff.by_column) > 1:
        counts = sorted(diff.by_column.items(), key=lambda pair: -pair[1])[:_CELLS]
        render.say("rows changed by column: " + ", ".join(f"{_clean(name)} {n:,}" for name, n in counts))


def _row(row: RowChange) -> str:
    cells = list(row.cells.items())[:_CELLS]
    more = ", …" if len(row.cells) > _CELLS else ""
    if row.sort == "changed":
        told = ", ".join(f"{name}: {_cell(old)} → {_cell(new)}" for name, (old, new) in cells)
        return f"~{', '.join(row.key)}   {told}{more}"
    values = ((new if row.sort == "added" else old) or "" for _, (old, new) in cells)
    return f"{_SIGNS[row.sort]}{','.join(values)}{more}"


def _cell(value: str | None) -> str:
    return "(nothing)" if value in (None, "") else str(value)


def _model_summary(diff: ModelDiff) -> str:
    told = []
    for things, of, changes in (("array", diff.old_arrays, diff.arrays), ("part", 0, diff.parts)):
        counts = [(sum(change.sort == sort for change in changes), sort) for sort in _SIGNS]
        parts = [f"{count:,} {sort}" for count, sort in counts if count]
        if parts:
            told.append(f"{things}s: {', '.join(parts)}" + (f" of {of:,}" if of else ""))
    return "; ".join(told) or "the same arrays and parts, written otherwise"


def _show_changed(changes: Sequence[Changed], what: str) -> None:
    for change in changes[:_DETAILS]:
        about = change.new or change.old or ""
        if change.old != change.new and change.sort == "changed":
            about = f"{change.old} → {change.new}"
        norms = ""
        if change.norms:
            old, new, step = change.norms
            norms = f"   norm {old:.4g} → {new:.4g}" + (
                f", changed by {step:.4g}" if step is not None else ""
            )
        _say(f"{_SIGNS[change.sort]}{change.name or 'the array'}   {about}{norms}")
    if len(changes) > _DETAILS:
        render.say(f"… {len(changes) - _DETAILS:,} more {what}")


def _picture_summary(diff: PictureDiff) -> str:
    old, new = diff.old, diff.new
    told = [f"{one} → {two}" for one, two in ((old.format, new.format), (old.mode, new.mode)) if one != two]
    if (old.width, old.height) != (new.width, new.height):
        told.append(f"{old.width}×{old.height} → {new.width}×{new.height}")
    if diff.pixels is not None:
        told.append(f"{diff.pixels:,} of {new.width * new.height:,} pixels changed")
    return ", ".join(told)


def _heading(name: str, about: str) -> None:
    render.say(f"{name}   {about}")


def _say(line: str) -> None:
    line = _clean(line)
    colour = _COLOURS.get(line[:1])
    render.say(click.style(line, fg=colour) if colour else line)


def _clean(text: str) -> str:
    """Tabs stay; whatever else is not to be seen is written out."""
    parts = text.encode("utf-8", "backslashreplace").split(b"\t")
    return "\t".join(render.path(part) for part in parts)


def _encodable(value: Any) -> Any:
    """Texts from files may have halves of characters, which JSON cannot."""
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode()
    if isinstance(value, dict):
        return {_encodable(name): _encodable(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_encodable(inner) for inner in value]
    return value
