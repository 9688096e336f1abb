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
from kamld.records.kinds import EXECUTABLE, FILE, FOLDER, SYMLINK

SUFFIXES = (
    ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz", ".tar.zst", ".tzst", ".zip",
)  # fmt: skip
_PIECE = 1024 * 1024
_RATIO_MAX = 300  # times that content may be larger than its archive …
_TOO_MUCH = f"unpacks to more than {_RATIO_MAX} times its size"
_DESCRIPTION_MAX = 16 * 1024 * 1024  # bytes of what a tar says about one of its members
_LINK_MAX = 4096
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
            packed = _Meter(file)
            with _unpacked(packed, name.lower()) as plain:
                budget = _Budget(plain, packed, shown)
                with tarfile.open(fileobj=budget, mode="r|") as tar:
                    yield from _tar(tar, shown, budget)


class _Meter(io.RawIOBase):
    """Counts the packed bytes that were read, to compare with what comes out of them."""

    def __init__(self, file: IO[bytes]) -> None:
        super().__init__()
        self._file = file
        self.packed = 0

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        data = self._file.read(size)
        self.packed += len(data)
        return data


class _Budget(io.RawIOBase):
    """What comes out of a packed archive, as long as that is in proportion, and as no description of a
    member is larger than any need be: tarfile reads those whole."""

    def __init__(self, file: IO[bytes], meter: _Meter, shown: str) -> None:
        super().__init__()
        self._file, self._meter, self._shown = file, meter, shown
        self.unpacked = self._given = 0
        self.until_next = _DESCRIPTION_MAX + _PIECE  # bytes before the next member must be there
        self.at = b""

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        data = self._file.read(size)
        self.unpacked += len(data)
        self.until_next -= len(data)
        if self.until_next < 0:
            raise _bomb(self._shown, self.at, f"describes a file in more than {_DESCRIPTION_MAX >> 20} MB")
        self._check(self.unpacked)
        return data

    def gives(self, count: int) -> None:
        """Bytes of content, which need not have been read: a sparse file has holes."""
        self._given += count
        self._check(self._given)

    def _check(self, count: int) -> None:
        if count > _FREE and count > self._meter.packed * _RATIO_MAX:
            raise _bomb(self._shown, self.at, _TOO_MUCH)


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


def _tar(tar: tarfile.TarFile, shown: str, budget: _Budget) -> Iterator[Item]:
    for member in tar:
        budget.until_next = _DESCRIPTION_MAX + (member.size if member.isreg() else 0)
        path = _normal(member.name.encode("utf-8", "surrogateescape"), shown)
        if not path:
            continue
        budget.at = path
        if member.isdir():
            yield Item(path, FOLDER)
        elif member.issym():
            target = member.linkname.encode("utf-8", "surrogateescape")
            yield _link(path, target, shown)
        elif member.islnk():
            yield _hard_link(path, member.linkname.encode("utf-8", "surrogateescape"), shown)
        elif member.isfile():
            kind = EXECUTABLE if member.mode & stat.S_IXUSR else FILE
            yield Item(path, kind, member.size, pieces=partial(_of_tar, tar, member, shown, budget))
        else:
            raise refused(shown, path, "is a device or a pipe, which no version can hold")
    if not tar.offset:
        raise _damaged(shown, "it is empty")
    budget.until_next = _FREE  # what is behind the last member is nothing, and then the packer's checksum
    while budget.read(_PIECE):
        pass
    if budget.unpacked < tar.offset + tarfile.BLOCKSIZE:  # no block of zeros: there may have been more
        raise _damaged(shown, "it is cut off: what marks its end is not there")


def _of_tar(tar: tarfile.TarFile, member: tarfile.TarInfo, shown: str, budget: _Budget) -> Iterator[bytes]:
    file = tar.extractfile(member)
    assert file is not None, "it is a file"
    left = member.size
    with _told(shown):
        while left:
            piece = file.read(min(_PIECE, left))
            if not piece:
                raise _damaged(shown, "it is cut off")
            left -= len(piece)
            budget.gives(len(piece))
            yield piece


def _zip(file: IO[bytes], shown: str) -> Iterator[Item]:
    size = file.seek(0, 2)
    file.seek(0)
    unpacked = 0
    with zipfile.ZipFile(file) as archive:
        for info in archive.infolist():
            name = _zip_name(info)
            path = _normal(name, shown)
            if info.flag_bits & 1:
                raise Invalid(
                    "encrypted_archive",
                    f"{info.filename} in {shown} is encrypted. Nothing was imported.",
                    "Unpack it with its password and import the folder.",
                )
            mode = info.external_attr >> 16 if info.create_system == 3 else 0
            if name.endswith(b"/"):
                if path:
                    yield Item(path, FOLDER)
            elif stat.S_ISLNK(mode):
                if info.file_size > _LINK_MAX:
                    raise refused(shown, path, "is a link to a name that is too long")
                yield _link(path, archive.read(info), shown)
            elif mode and stat.S_IFMT(mode) not in (0, stat.S_IFREG):
                raise refused(shown, path, "is a device or a pipe, which no version can hold")
            else:
                unpacked += info.file_size  # no more than that is read, whatever there is
                if unpacked > _FREE and unpacked > size * _RATIO_MAX:
                    raise _bomb(shown, path, _TOO_MUCH)
                kind = EXECUTABLE if mode & stat.S_IXUSR else FILE
                yield Item(path, kind, info.file_size, pieces=partial(_of_zip, archive, info, shown))


def _of_zip(archive: zipfile.ZipFile, info: zipfile.ZipInfo, shown: str) -> Iterator[bytes]:
    with _told(shown), archive.open(info) as file:
        while piece := file.read(_PIECE):
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


def _bomb(shown: str, path: bytes, what: str) -> Invalid:
    return Invalid(
        "archive_bomb",
        f"{shown} {what} (at {path.decode('utf-8', 'backslashreplace')}). Nothing was imported.",
        "If you trust it, unpack it yourself and import the folder.",
    )


def _damaged(shown: str, why: str) -> Invalid:
    return Invalid(
        "damaged_archive",
        f"{shown} is no whole archive: {why or 'it ends too early'}. Nothing was imported.",
        "Get it again.",
    )  # fmt: skip
