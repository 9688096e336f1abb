"""Archives, read from front to back: tar (plain, gz, bz2, xz, zst) and zip. Nothing is unpacked to disk.

What is in them comes from strangers: names and links that lead outside, devices, passwords and bombs
are refused by name.
"""

import bz2
import gzip
import io
import lzma
import posixpath
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import IO, Any

from kamld.errors import Invalid
from kamld.exchange.items import Item, refused
from kamld.store.trees import EXECUTABLE, FILE, FOLDER, SYMLINK

SUFFIXES = (
    ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz", ".tar.zst", ".tzst", ".zip",
)  # fmt: skip
_PIECE = 1024 * 1024
_RATIO_MAX = 300  # times that content may be larger than its archive …
_FREE = 256 * 1024 * 1024  # … beyond so many bytes


def stem(name: str) -> str:
    """The name without the suffix of an archive; the same if it has none."""
    lower = name.lower()
    found = max((s for s in SUFFIXES if lower.endswith(s)), key=len, default="")
    return name[: len(name) - len(found)] if found else name


def members(open_file: Callable[[], Any], name: str, shown: str) -> Iterator[Item]:
    """The archive's entries; take an item's pieces before asking for the next. Raises Invalid
    (damaged_archive, encrypted_archive, archive_bomb, unsafe_path)."""
    with open_file() as file, _told(shown):
        if name.lower().endswith(".zip"):
            yield from _zip(file, shown)
        else:
            meter = _Meter(file)
            with _unpacked(meter, name.lower()) as plain, tarfile.open(fileobj=plain, mode="r|") as tar:
                yield from _tar(tar, shown, meter)


class _Meter(io.RawIOBase):
    """Counts the packed bytes that were read, to compare with what comes out of them."""

    def __init__(self, file: IO[bytes]) -> None:
        super().__init__()
        self._file = file
        self.packed = self.unpacked = 0

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        data = self._file.read(size)
        self.packed += len(data)
        return data

    def came(self, count: int, shown: str, path: bytes) -> None:
        self.unpacked += count
        if self.unpacked > _FREE and self.unpacked > self.packed * _RATIO_MAX:
            raise Invalid(
                "archive_bomb",
                f"{shown} unpacks to more than {_RATIO_MAX} times its size"
                f" (at {path.decode('utf-8', 'backslashreplace')}). Nothing was imported.",
                "If you trust it, unpack it yourself and import the folder.",
            )


@contextmanager
def _unpacked(file: Any, name: str) -> Iterator[Any]:
    if name.endswith((".gz", ".tgz")):
        with gzip.GzipFile(fileobj=file, mode="rb") as plain:
            yield plain
    elif name.endswith((".bz2", ".tbz2")):
        with bz2.BZ2File(file) as plain:
            yield plain
    elif name.endswith((".xz", ".txz")):
        with lzma.LZMAFile(file) as plain:
            yield plain
    elif name.endswith((".zst", ".tzst")):
        import zstandard

        with zstandard.ZstdDecompressor().stream_reader(file, read_across_frames=True) as plain:
            yield plain
    else:
        yield file


@contextmanager
def _told(shown: str) -> Iterator[None]:
    try:
        yield
    except (tarfile.TarError, zipfile.BadZipFile, lzma.LZMAError, zlib.error, EOFError, gzip.BadGzipFile,
            NotImplementedError) as error:  # fmt: skip
        raise _damaged(shown, str(error)) from None
    except OSError as error:
        if error.errno is None:  # what decompressors raise for bytes that are none of theirs
            raise _damaged(shown, str(error)) from None
        raise
    except Exception as error:
        if type(error).__name__ == "ZstdError":
            raise _damaged(shown, str(error)) from None
        raise


def _tar(tar: tarfile.TarFile, shown: str, meter: _Meter) -> Iterator[Item]:
    for member in tar:
        path = _normal(member.name.encode("utf-8", "surrogateescape"), shown)
        if not path:
            continue
        if member.isdir():
            yield Item(path, FOLDER)
        elif member.issym():
            target = member.linkname.encode("utf-8", "surrogateescape")
            yield _link(path, target, shown)
        elif member.islnk():
            yield _hard_link(path, member.linkname.encode("utf-8", "surrogateescape"), shown)
        elif member.isfile():
            kind = EXECUTABLE if member.mode & stat.S_IXUSR else FILE
            yield Item(path, kind, member.size, pieces=partial(_of_tar, tar, member, path, shown, meter))
        else:
            raise refused(shown, path, "is a device or a pipe, which no version can hold")
    if not tar.offset or not meter.packed:
        raise _damaged(shown, "it is empty")


def _of_tar(
    tar: tarfile.TarFile, member: tarfile.TarInfo, path: bytes, shown: str, meter: _Meter
) -> Iterator[bytes]:
    file = tar.extractfile(member)
    assert file is not None, "it is a file"
    left = member.size
    with _told(shown):
        while left:
            piece = file.read(min(_PIECE, left))
            if not piece:
                raise _damaged(shown, "it is cut off")
            left -= len(piece)
            meter.came(len(piece), shown, path)
            yield piece


def _zip(file: IO[bytes], shown: str) -> Iterator[Item]:
    meter = _Meter(file)
    meter.packed = file.seek(0, 2)
    file.seek(0)
    with zipfile.ZipFile(file) as archive:
        for info in archive.infolist():
            path = _normal(_zip_name(info), shown)
            if info.flag_bits & 1:
                raise Invalid(
                    "encrypted_archive",
                    f"{info.filename} in {shown} is encrypted. Nothing was imported.",
                    "Unpack it with its password and import the folder.",
                )
            mode = info.external_attr >> 16 if info.create_system == 3 else 0
            if info.is_dir():
                if path:
                    yield Item(path, FOLDER)
            elif stat.S_ISLNK(mode):
                yield _link(path, archive.read(info), shown)
            elif mode and stat.S_IFMT(mode) not in (0, stat.S_IFREG):
                raise refused(shown, path, "is a device or a pipe, which no version can hold")
            else:
                kind = EXECUTABLE if mode & stat.S_IXUSR else FILE
                yield Item(
                    path, kind, info.file_size,
                    pieces=partial(_of_zip, archive, info, path, shown, meter),
                )  # fmt: skip


def _of_zip(
    archive: zipfile.ZipFile, info: zipfile.ZipInfo, path: bytes, shown: str, meter: _Meter
) -> Iterator[bytes]:
    with _told(shown), archive.open(info) as file:
        while piece := file.read(_PIECE):
            meter.came(len(piece), shown, path)
            yield piece


def _zip_name(info: zipfile.ZipInfo) -> bytes:
    utf8 = info.flag_bits & 0x800
    return info.orig_filename.encode("utf-8" if utf8 else "cp437", "surrogateescape").replace(b"\\", b"/")


def _normal(name: bytes, shown: str) -> bytes:
    """The path; b"" for the top itself."""
    if name.startswith(b"/") or b".." in name.split(b"/"):
        raise refused(shown, name, "would leave the folder")
    path = posixpath.normpath(name)
    return b"" if path == b"." else path


def _hard_link(path: bytes, target: bytes, shown: str) -> Item:
    if target.startswith(b"/") or b".." in target.split(b"/"):
        raise refused(shown, path, f"is a link to {target.decode('utf-8', 'backslashreplace')}, outside")
    return Item(path, same_as=posixpath.normpath(target))


def _link(path: bytes, target: bytes, shown: str) -> Item:
    where = posixpath.normpath(posixpath.join(posixpath.dirname(path), target))
    if target.startswith(b"/") or where == b".." or where.startswith(b"../"):
        raise refused(shown, path, f"is a link to {target.decode('utf-8', 'backslashreplace')}, outside")
    return Item(path, SYMLINK, len(target), pieces=lambda: [target])


def _damaged(shown: str, why: str) -> Invalid:
    return Invalid(
        "damaged_archive",
        f"{shown} is no whole archive: {why or 'it ends too early'}. Nothing was imported.",
        "Get it again.",
    )  # fmt: skip
