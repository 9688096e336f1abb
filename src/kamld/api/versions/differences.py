"""What differs, as typed values: paths, and what is inside files of the kinds that kamld knows."""

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from kamld.api.shown import Listing, many, plain, size
from kamld.changes.compare import BytesDiff, Inside, Paths, Wanted, compare_change
from kamld.formats.models import ModelDiff
from kamld.formats.pictures import PictureDiff
from kamld.formats.tables import TableDiff
from kamld.formats.text import TextDiff
from kamld.store import Change as StoreChange
from kamld.store import Repository

_KINDS = {
    TableDiff: "table", ModelDiff: "model", PictureDiff: "picture", TextDiff: "text", BytesDiff: "bytes",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Change:
    """One path that differs. `change` is added, removed or changed; sizes and ids are None where
    there is no file, an id also where the file did not have to be read.

    `kind` and `inside` are there where they were asked for, of changed files: how tables, models, pictures,
    texts or else bytes differ; `remark`: why it was not compared as what its name says.
    """

    path: str
    change: str
    old_size: int | None
    new_size: int | None
    old_id: str | None
    new_id: str | None
    kind: str = ""
    inside: Inside | None = None
    remark: str = ""

    def _shown(self) -> dict[str, str]:
        sizes = [size(s) for s in (self.old_size, self.new_size) if s is not None]
        about = " → ".join(sizes)
        inside = "; ".join(_inside(self.inside)) if self.inside else ""
        told = "; ".join(text for text in (about, inside, plain(self.remark)) if text)
        return {"change": self.change, "path": plain(self.path), "size": told}


def counted(changes: Iterable[Change]) -> str:
    """`2 added, 1 changed`"""
    found = Counter(one.change for one in changes)
    sorts = ("added", "changed", "removed")
    return ", ".join(f"{found[sort]:,} {sort}" for sort in sorts if found[sort]) or "the same files"


@dataclass(frozen=True, slots=True)
class Look:
    """What a difference is to tell."""

    paths: str | Sequence[str] = ()
    key: str | Sequence[str] = ()
    inside: bool = False
    rows: int = 5

    def at(
        self, repository: Repository, changes: Iterable[StoreChange], folder: Path | None = None
    ) -> Listing[Change]:
        """`folder`: where the new files are, if not in the hub."""
        asked = Paths((self.paths,) if isinstance(self.paths, str) else self.paths)
        some = [change for change in changes if asked.has(change.path)]
        if not (self.inside or self.key):
            return Listing(map(change_of, some))
        key = (self.key,) if isinstance(self.key, str) else tuple(self.key)
        wanted = Wanted(key=key or None, rows=self.rows)
        return Listing(_looked_into(repository, change, folder, wanted) for change in some)


def _inside(found: Inside) -> Iterator[str]:
    """What differs, in a few words."""
    match found:
        case TableDiff():
            rows = (("added", found.added), ("removed", found.removed), ("changed", found.changed))
            if told := [f"{count:,} {word}" for word, count in rows if count]:
                yield f"rows: {', '.join(told)}"
            for word, names in (("added", found.columns_added), ("removed", found.columns_removed)):
                if names:
                    yield f"columns {word}: {plain(', '.join(names))}"
            yield from (f"{plain(name)}: {old} → {new}" for name, (old, new) in found.retyped.items())
        case TextDiff():
            yield f"lines: {found.added:,} added, {found.removed:,} removed"
        case ModelDiff():
            yield f"{many(len(found.arrays), 'array')} and {many(len(found.parts), 'part')} differ"
        case PictureDiff() if found.pixels is not None:
            yield f"{many(found.pixels, 'pixel')} differ"
        case PictureDiff():
            yield f"{found.old.width}×{found.old.height} → {found.new.width}×{found.new.height}"


def change_of(change: StoreChange) -> Change:
    old, new = change.old, change.new
    return Change(
        os.fsdecode(change.path), change.sort, old.size if old else None, new.size if new else None,
        old.id.hex() if old and any(old.id) else None, new.id.hex() if new and any(new.id) else None,
    )  # fmt: skip


def _looked_into(repository: Repository, change: StoreChange, folder: Path | None, wanted: Wanted) -> Change:
    found = compare_change(repository, change, folder, wanted)
    told = change_of(change)
    if found is None:
        return told
    return replace(told, kind=_KINDS[type(found.inside)], inside=found.inside, remark=found.remark)
