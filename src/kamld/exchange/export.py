"""Taking a version out of a hub: into a folder, or an archive whose bytes depend on the version alone.

An archive is written beside its place and appears there when it is whole. What the target cannot hold
is refused by name before anything is written.
"""

import errno
import gzip
import io
import os
import shutil
import tarfile
import zipfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any

import zstandard

from kamld import clock
from kamld.errors import Conflict, Invalid, filesystem_fault
from kamld.records.history import Commit
from kamld.records.kinds import EXECUTABLE, FOLDER, SYMLINK
from kamld.store import Entries, Objects, Progress, purged
from kamld.store.trees import present
from kamld.store.trees.entries import Entry, entries_of
from kamld.workspace.checkout import write_folder
from kamld.workspace.leftovers import left_in, make_folder, remove_left
from kamld.workspace.placing.files import materialise
from kamld.workspace.placing.paths import check_paths

_BATCH = 256  # small files that are read in the order in which they lie, then written in that of names
_SMALL = 64 * 1024
_WRITTEN = {
    ".tar": "tar", ".tar.gz": "tar.gz", ".tgz": "tar.gz", ".tar.zst": "tar.zst", ".tzst": "tar.zst",
    ".zip": "zip",
}  # fmt: skip
# Whoever types one of these wants no folder. The longest first, so that the message names all of it.
_NOT_WRITTEN = (
    ".tar.bz2", ".tar.xz", ".tar.lz4", ".tar.lzma", ".tar.lz", ".tar.br", ".tar.z", ".tbz2", ".tbz", ".txz",
    ".rar", ".7z", ".gz", ".bz2", ".xz", ".zst", ".lz4", ".lzma", ".lz", ".br", ".z", ".cab", ".iso", ".jar",
    ".cpio", ".squashfs", ".dmg", ".arj", ".lha",
)  # fmt: skip
_NO_LINKS = (errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS)  # FAT, some network disks
_EARLIEST_ZIP = (1980, 1, 1, 0, 0, 0)


@dataclass(frozen=True, slots=True)
class Exported:
    kind: str  # folder, tar, tar.gz, tar.zst, zip
    files: int
    bytes: int


def export(
    objects: Objects, commit: Commit, entries: Entries, target: Path | IO[bytes], *,
    threads: int, progress: Progress | None = None,
) -> Exported:  # fmt: skip
    """What was purged is left out. Raises Conflict (target_exists), Invalid (unsafe_path, name_not_kept,
    unknown_archive), SystemFault."""
    kind = "tar" if not isinstance(target, Path) else kind_of(target.name)
    check_paths(entries)
    entries, _ = present(objects, entries)
    _check_names(kind, entries)
    if not isinstance(target, Path):
        _tar(objects, commit, entries, target, progress)
    elif kind == "folder":
        write_folder(objects, entries, target, threads=threads, progress=progress)
    else:
        with _beside(target) as file:
            _write(kind, objects, commit, entries, file, progress)
    return Exported(kind, len(entries), int(entries.sizes.sum()))


def file_target(entries: Entries, asked: str, dest: str, folder: Path) -> Path | None:
    """The file that a file which was `asked` for becomes, as with cp: in DEST where that is a folder or ends
    with a slash. None: it was no file, or DEST is an archive."""
    if len(entries) != 1 or entries.paths[0] != os.fsencode(asked) or entries.row(0).kind == FOLDER:
        return None
    target, name = folder / dest, os.path.basename(asked)
    if dest.endswith("/") or target.is_dir():
        return target / name
    ending = next((s for s in (*_WRITTEN, *_NOT_WRITTEN) if target.name.lower().endswith(s)), None)
    return None if ending and not name.lower().endswith(ending) else target


def export_file(objects: Objects, entry: Entry, target: Path) -> Exported:
    """Raises Conflict (target_exists), NotFound (purged_file), Invalid (name_too_long), SystemFault."""
    if hole := objects.hole(entry.id):
        raise purged(hole)
    with _room_beside(target) as room:
        materialise(objects, entries_of([replace(entry, path=b"file")]), room, threads=1)
        _name(room / "file", target)
    return Exported("file", 1, entry.size)


def kind_of(name: str) -> str:
    """By the name alone: what is no archive is a folder. Raises Invalid (unknown_archive)."""
    for suffix, kind in _WRITTEN.items():
        if name.lower().endswith(suffix):
            return kind
    other = next((suffix for suffix in _NOT_WRITTEN if name.lower().endswith(suffix)), None)
    if other:
        raise Invalid(
            "unknown_archive", f'"{name}" would be an archive of a kind that kamld does not write ({other}).',
            f"It writes {', '.join(_WRITTEN)}; any other name makes a folder.",
        )  # fmt: skip
    return "folder"


def _check_names(kind: str, entries: Entries) -> None:
    for path in entries.paths if kind == "zip" else ():
        try:
            path.decode("utf-8")
            bad = b"\\" in path
        except UnicodeDecodeError:
            bad = True
        if bad:
            shown = path.decode("utf-8", "backslashreplace")
            raise Invalid(
                "name_not_kept", f'A zip cannot hold the name "{shown}". Nothing was written.',
                "Export it as .tar, or into a folder.",
            )  # fmt: skip


@contextmanager
def _beside(target: Path) -> Iterator[IO[bytes]]:
    """A file that gets the name `target` at the end, if all goes well."""
    with _room_beside(target) as room:
        with open(room / "archive", "xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        _name(room / "archive", target)


@contextmanager
def _room_beside(target: Path) -> Iterator[Path]:
    """A folder for what gets the name `target`. One that a kill left goes with the next export or checkout
    there."""
    try:
        if os.path.lexists(target):
            raise Conflict("target_exists", f"{target} is there already.", "Name another, or move it away.")
        target.parent.mkdir(parents=True, exist_ok=True)
        remove_left(left_in(target.parent))
        folder, lock = make_folder(target.parent)
        try:
            yield folder
        except FileExistsError:
            raise Conflict("target_exists", f"{target} is there already.", "Name another.") from None
        finally:
            shutil.rmtree(folder, ignore_errors=True)
            os.close(lock)
    except OSError as error:
        raise filesystem_fault(error, str(target)) from None


def _name(file: Path, target: Path) -> None:
    """Raises FileExistsError."""
    try:
        os.link(file, target, follow_symlinks=False)  # which, unlike a renaming, replaces nothing
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        if os.path.lexists(target):
            raise FileExistsError(target) from None
        os.rename(file, target)


def _write(
    kind: str, objects: Objects, commit: Commit, entries: Entries, file: IO[bytes], progress: Progress | None
) -> None:
    with ExitStack() as closing:
        if kind == "zip":
            _zip(objects, commit, entries, file, progress)
            return
        out: Any = file
        if kind == "tar.gz":
            out = closing.enter_context(gzip.GzipFile("", "wb", 6, file, mtime=0))
        elif kind == "tar.zst":
            compressor = zstandard.ZstdCompressor(level=3)
            out = closing.enter_context(compressor.stream_writer(file, closefd=False))
        _tar(objects, commit, entries, out, progress)


def _tar(
    objects: Objects, commit: Commit, entries: Entries, out: IO[bytes], progress: Progress | None
) -> None:
    when = int(clock.moment(commit.time).timestamp())
    with tarfile.open(
        fileobj=out, mode="w|", format=tarfile.GNU_FORMAT, encoding="utf-8", errors="surrogateescape"
    ) as tar:
        for entry, pieces in contents(objects, list(entries.rows())):
            info = tarfile.TarInfo(entry.path.decode("utf-8", "surrogateescape"))
            info.mtime, info.mode, info.size = when, 0o644, entry.size
            if entry.kind == FOLDER:
                info.type, info.mode = tarfile.DIRTYPE, 0o755
            elif entry.kind == SYMLINK:
                info.type, info.mode, info.size = tarfile.SYMTYPE, 0o777, 0
                info.linkname = b"".join(pieces).decode("utf-8", "surrogateescape")
            elif entry.kind == EXECUTABLE:
                info.mode = 0o755
            plain = entry.kind not in (FOLDER, SYMLINK)
            tar.addfile(info, io.BufferedReader(_Pieces(pieces)) if plain else None)
            if progress:
                progress(1, entry.size)


def _zip(
    objects: Objects, commit: Commit, entries: Entries, out: IO[bytes], progress: Progress | None
) -> None:
    then = clock.moment(commit.time)
    when = max((then.year, then.month, then.day, then.hour, then.minute, then.second), _EARLIEST_ZIP)
    modes = {FOLDER: 0o040755, SYMLINK: 0o120777, EXECUTABLE: 0o100755}
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED, compresslevel=6) as archive:
        for entry, pieces in contents(objects, list(entries.rows())):
            name = entry.path.decode("utf-8") + ("/" if entry.kind == FOLDER else "")
            info = zipfile.ZipInfo(name, when)
            info.create_system, info.compress_type = 3, zipfile.ZIP_DEFLATED
            info.external_attr = modes.get(entry.kind, 0o100644) << 16
            info.file_size = entry.size
            with archive.open(info, "w", force_zip64=entry.size > 2**31) as file:
                for piece in pieces:
                    file.write(piece)
            if progress:
                progress(1, entry.size)


def contents(objects: Objects, rows: list[Entry]) -> Iterator[tuple[Entry, Iterator[bytes | memoryview]]]:
    """Each entry with its content, in the order of names; small files are read many at once."""
    for at in range(0, len(rows), _BATCH):
        some = rows[at : at + _BATCH]
        small = [row.id for row in some if row.kind != FOLDER and row.size <= _SMALL]
        unique = list(dict.fromkeys(small))
        held = {unique[n]: b"".join(pieces) for n, pieces in objects.read_many(unique)}
        for row in some:
            if row.kind == FOLDER:
                yield row, iter(())
            elif row.id in held:
                yield row, iter([held[row.id]])
            else:
                yield row, objects.stream(row.id)


class _Pieces(io.RawIOBase):
    """Pieces as a file, for tarfile to copy from."""

    def __init__(self, pieces: Iterator[bytes | memoryview]) -> None:
        super().__init__()
        self._pieces, self._rest = pieces, memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._rest:
            piece = next(self._pieces, None)
            if piece is None:
                return 0
            self._rest = memoryview(piece)
        count = min(len(buffer), len(self._rest))
        buffer[:count], self._rest = self._rest[:count], self._rest[count:]
        return count
