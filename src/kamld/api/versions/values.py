"""What a version tells of what is in it, and of a folder that was made of it, as plain typed values."""

from dataclasses import dataclass
from pathlib import Path

from kamld.api.shown import Line, many, plain, size


@dataclass(frozen=True, slots=True)
class Listed:
    """A file, or a folder (which has no size), directly in the folder that was listed."""

    path: str
    kind: str  # file, executable, link, folder
    size: int | None

    def _shown(self) -> dict[str, str]:
        mark = "/" if self.kind == "folder" else ""
        return {"size": "" if self.size is None else size(self.size), "path": plain(self.path) + mark}


@dataclass(frozen=True, slots=True, repr=False)
class Checkout(Line):
    """`bound`: it is a folder to work in and commit from; else an export."""

    folder: Path
    bound: bool
    files: int
    bytes: int

    def _line(self) -> str:
        sort = "to work in" if self.bound else "bound to no branch"
        return f"{plain(str(self.folder))}, {sort}: {many(self.files, 'file')}, {size(self.bytes)}"
