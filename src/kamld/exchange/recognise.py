"""From what a person typed to a source: which of those there are it is, and what it would be called."""

import hashlib
import io
import os
import re
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import IO, Any
from urllib.parse import unquote, urlsplit

from kamld.blobs.bucket import Bucket, Thing
from kamld.blobs.foreign import Foreign, found_in, is_bucket, is_web
from kamld.blobs.web import shown
from kamld.errors import Invalid, NotFound
from kamld.exchange import archives
from kamld.exchange.described import describe
from kamld.exchange.items import Item, Source
from kamld.store.trees import FOLDER, SYMLINK
from kamld.workspace import scan

KINDS = ("folder", "file", "archive", "bucket", "address", "mlflow", "huggingface")


def recognise(
    text: str, foreign: Foreign, start: Path, *, as_kind: str = "", sha256: str = "", aside: Path,
) -> Source:  # fmt: skip
    """Raises NotFound (no_such_source), Invalid (bad_source)."""
    if sha256 and not re.fullmatch(r"[0-9a-fA-F]{64}", sha256):
        raise Invalid("bad_source", "--sha256 wants 64 hex digits.")
    if is_web(text):
        return _address(text, foreign, as_kind, sha256.lower(), aside)
    if "://" in text and not is_bucket(text):
        raise Invalid(
            "bad_source", f"{shown(text)} is no address that kamld knows.", "s3:// gs:// az:// https://"
        )
    if is_bucket(text):
        return _bucket(text, foreign, as_kind)
    path = Path(start, text).resolve()
    if path.is_dir():
        return _folder(path, as_kind)
    if path.is_file():
        return _file(path, as_kind, sha256.lower())
    raise NotFound("no_such_source", f"There is no file or folder {text}.", "Name one that is there.")


def _folder(path: Path, as_kind: str) -> Source:
    kind, metadata = describe(path)
    if as_kind and as_kind != kind:
        kind, metadata = as_kind, {}
    return Source(kind, str(path), path.name, partial(_scanned, path), kind == "mlflow", metadata)


def _scanned(folder: Path) -> Iterator[Item]:
    found = scan(folder)
    top = os.fsencode(folder) + b"/"
    for path, kind, state in zip(found.paths, found.kinds.tolist(), found.states.tolist(), strict=True):
        file = os.fsdecode(top + path)
        if kind == SYMLINK:
            yield Item(path, kind, state[0], pieces=partial(_target, top + path))
        elif kind == FOLDER:
            yield Item(path, kind)
        else:
            yield _local(path, kind, file)


def _target(link: bytes) -> list[bytes]:
    return [os.readlink(link)]


def _local(path: bytes, kind: int, file: str) -> Item:
    state = os.stat(file)
    seen = found_in(state)
    stamp = f"{state.st_size} {state.st_mtime_ns} {state.st_ctime_ns} {state.st_ino}"
    return Item(path, kind, state.st_size, stamp, file, partial(_read, file), file, seen.etag, seen.modified)


def _read(file: str) -> Iterator[bytes]:
    with open(file, "rb") as opened:
        while piece := opened.read(1024 * 1024):
            yield piece


def _file(path: Path, as_kind: str, sha256: str) -> Source:
    if as_kind != "file" and archives.stem(path.name) != path.name:
        digest = _Digest(sha256, str(path))
        items = partial(archives.members, partial(_opened, path, digest), path.name, str(path))
        return Source("archive", str(path), archives.stem(path.name), items, checksum=digest.text)
    name = os.fsencode(path.name)
    if sha256:
        _Digest(sha256, str(path)).check(_read(str(path)))
    return Source("file", str(path), path.stem, lambda: iter([_local(name, 0, str(path))]))


def _opened(path: Path, digest: "_Digest") -> IO[bytes]:
    if digest.wanted:
        digest.check(_read(str(path)))
    return open(path, "rb")


class _Digest:
    """The checksum of what is fetched as one file."""

    def __init__(self, wanted: str, where: str) -> None:
        self.wanted, self._where, self._found = wanted, where, wanted

    def check(self, pieces: Iterable[bytes]) -> None:
        """Raises Invalid (other_checksum)."""
        found = hashlib.sha256()
        for piece in pieces:
            found.update(piece)
        if self.wanted and found.hexdigest() != self.wanted:
            raise Invalid(
                "other_checksum",
                f"{self._where} has the SHA-256 {found.hexdigest()}, not {self.wanted}."
                " Nothing was imported.",
                "Do not use it before you know why.",
            )
        self._found = found.hexdigest()

    def text(self) -> str:
        return f"sha256:{self._found}" if self._found else ""


def _address(url: str, foreign: Foreign, as_kind: str, sha256: str, aside: Path) -> Source:
    """A file or archive of the web; it is put aside while it comes, so that an interruption loses
    nothing and a checksum is known before anything is kept."""
    clean = shown(url)
    name = unquote(urlsplit(url).path.rpartition("/")[2]) or "index"
    digest = _Digest(sha256, clean)
    put_aside = _Aside(url, foreign, aside / hashlib.sha256(clean.encode()).hexdigest()[:32])
    common: dict[str, Any] = {"checksum": digest.text, "revision": put_aside.etag, "done": put_aside.remove}
    if as_kind != "file" and archives.stem(name) != name:
        items = partial(archives.members, partial(put_aside.opened, digest), name, clean)
        return Source("archive", clean, archives.stem(name), items, **common)
    found = foreign.find(url)
    if found is None:
        raise NotFound("unknown_address", f"There is nothing at {clean}.", "Look at the address again.")
    stamp = f"{found.etag or found.modified} {found.size}" if found.etag or found.modified else ""

    def one() -> Iterator[Item]:
        yield Item(
            os.fsencode(name), 0, found.size or 0, stamp, "", lambda: _all(put_aside.opened(digest)), clean,
            found.etag, found.modified,
        )  # fmt: skip

    return Source("address", clean, Path(name).stem, one, **common)


def _all(file: IO[bytes]) -> Iterator[bytes]:
    with file:
        while piece := file.read(1024 * 1024):
            yield piece


class _Aside:
    """What came of an address so far, in a file, with the etag that it had beside it."""

    def __init__(self, url: str, foreign: Foreign, path: Path) -> None:
        self._url, self._foreign, self._path = url, foreign, path
        self._mark = path.with_suffix(".etag")
        self._etag = ""

    def etag(self) -> str:
        return self._etag

    def remove(self) -> None:
        self._path.unlink(missing_ok=True)
        self._mark.unlink(missing_ok=True)

    def opened(self, digest: _Digest) -> IO[bytes]:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        there = self._path.stat().st_size if self._path.exists() and self._mark.exists() else 0
        known = self._mark.read_text() if there else ""
        answer = self._foreign.web.open(self._url)
        assert answer is not None
        found = answer.found
        self._etag = found.etag
        if there and found.etag and known == found.etag and there <= (found.size or 0):
            answer.pieces.close()  # type: ignore[attr-defined]
            pieces: Iterator[bytes] = iter(())
            if there < (found.size or 0):
                again = self._foreign.web.open(self._url, there)
                assert again is not None
                there, pieces = again.start, again.pieces
        else:
            there, pieces = 0, answer.pieces
        self._mark.write_text(found.etag)
        with open(self._path, "r+b" if there else "wb") as file:
            file.seek(there)
            file.writelines(pieces)
        digest.check(_read(str(self._path)))
        return io.BufferedReader(io.FileIO(self._path))


def _bucket(text: str, foreign: Foreign, as_kind: str) -> Source:
    bucket, key = foreign.bucket(text)
    key = key.strip("/")
    name = key.rpartition("/")[2] or urlsplit(text).netloc
    thing = bucket.find(key) if key else None
    if thing and thing.size:
        if as_kind not in ("file", "bucket") and archives.stem(name) != name:
            items = partial(archives.members, lambda: _InBucket(bucket, thing), name, f"{bucket.top}/{key}")
            return Source(
                "archive", f"{bucket.top}/{key}", archives.stem(name), items, revision=lambda: thing.etag
            )
        found = thing
        return Source(
            "file", f"{bucket.top}/{key}", Path(name).stem,
            lambda: iter([_thing(bucket, found, os.fsencode(name))]), revision=lambda: found.etag,
        )  # fmt: skip
    return Source("bucket", f"{bucket.top}/{key}".rstrip("/"), name, partial(_listed, bucket, key))


def _listed(bucket: Bucket, prefix: str) -> Iterator[Item]:
    before: Thing | None = None
    for thing in bucket.list(prefix):
        # an object of no bytes before those of the folder of its name only marks the folder
        if before and not (before.size == 0 and thing.key.startswith(before.key + "/")):
            yield _thing(bucket, before, before.key[len(prefix) :].lstrip("/").encode())
        before = thing
    if before:
        yield _thing(bucket, before, before.key[len(prefix) :].lstrip("/").encode())


def _thing(bucket: Bucket, thing: Thing, path: bytes) -> Item:
    return Item(
        path, 0, thing.size, f"{thing.etag} {thing.size}" if thing.etag else "", "",
        partial(bucket.stream, thing), f"{bucket.top}/{thing.key}", thing.etag, thing.modified,
    )  # fmt: skip


class _InBucket(io.RawIOBase):
    """An object of a bucket as a file, read in blocks."""

    def __init__(self, bucket: Bucket, thing: Thing) -> None:
        super().__init__()
        self._bucket, self._thing, self._at = bucket, thing, 0
        self._block, self._start = b"", 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = 0) -> int:
        self._at = offset + {0: 0, 1: self._at, 2: self._thing.size}[whence]
        return self._at

    def tell(self) -> int:
        return self._at

    def read(self, size: int = -1) -> bytes:
        wanted = self._thing.size - self._at if size < 0 else size
        parts = []
        while wanted > 0 and self._at < self._thing.size:
            if not self._start <= self._at < self._start + len(self._block):
                self._start = self._at
                end = min(self._at + 8 * 1024 * 1024, self._thing.size)
                self._block = self._bucket.read(self._thing.key, self._at, end, self._thing.etag)
            part = self._block[self._at - self._start :][:wanted]
            parts.append(part)
            self._at += len(part)
            wanted -= len(part)
        return b"".join(parts)
