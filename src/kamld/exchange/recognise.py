"""From what a person typed to a source: which of those there are it is, and what it would be called."""

import hashlib
import io
import os
import re
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import IO, Any
from urllib.parse import unquote, urlsplit

from kamld.blobs.bucket import Bucket, Thing
from kamld.blobs.foreign import Foreign, is_bucket, is_web
from kamld.blobs.web import Found, shown
from kamld.errors import Invalid, NotFound, SystemFault
from kamld.exchange import archives
from kamld.exchange.croissant import Distribution, is_description, parse
from kamld.exchange.described import describe
from kamld.exchange.dvc import find_project
from kamld.exchange.fetched import Aside, Digest, pieces_in, pieces_of
from kamld.exchange.items import Item, Source
from kamld.exchange.local import local, scanned
from kamld.records.kinds import FOLDER

KINDS = ("folder", "file", "archive", "bucket", "address", "mlflow", "huggingface", "dvc", "croissant")
_MAY_BE = {
    "folder": ("folder", "mlflow", "huggingface", "dvc"), "file": ("file", "archive", "croissant"),
    "address": ("address", "file", "archive", "croissant"), "bucket": ("bucket", "file", "archive"),
}  # fmt: skip
_AHEAD = 16  # objects of no bytes that are asked for at once
_DESCRIPTION_MAX = 32 * 1024 * 1024
_DESCRIPTION = re.compile(r"\.json(ld)?$|^croissant$")  # names that a Croissant description has


def recognise(
    text: str, foreign: Foreign, start: Path, *, as_kind: str = "", sha256: str = "", aside: Path,
) -> Source:  # fmt: skip
    """Raises NotFound (no_such_source), Invalid (bad_source)."""
    if sha256 and not re.fullmatch(r"[0-9a-fA-F]{64}", sha256):
        raise Invalid("bad_source", "--sha256 wants 64 hex digits.")
    _check_kind(text, start, as_kind)
    if is_web(text):
        return _address(text, foreign, as_kind, sha256.lower(), aside)
    if "://" in text and not is_bucket(text):
        raise Invalid(
            "bad_source", f"{shown(text)} is no address that kamld knows.", "s3:// gs:// az:// https://"
        )
    if is_bucket(text):
        return _bucket(text, foreign, as_kind, sha256.lower())
    if sha256 and Path(start, text).is_dir():
        raise _not_one_file(text)
    project = find_project(text, start, foreign.environment) if as_kind in ("", "dvc") else None
    if project:
        name = project.inside.rpartition("/")[2] or project.top.name
        return Source("dvc", project.source, name, lambda: iter(()), history=project)
    if as_kind == "dvc":
        raise Invalid(
            "bad_source", f"{text} is no DVC repository: it has no .dvc/config.", "Name its top folder."
        )
    path = Path(start, text).resolve()
    if path.is_dir():
        return _folder(path, as_kind)
    if path.is_file():
        return _file(path, as_kind, sha256.lower(), foreign, aside)
    raise NotFound("no_such_source", f"There is no file or folder {text}.", "Name one that is there.")


def _check_kind(text: str, start: Path, as_kind: str) -> None:
    """Raises Invalid (bad_source) for what cannot be taken for that."""
    folder = not is_web(text) and not is_bucket(text) and Path(start, text).is_dir()
    what = "address" if is_web(text) else "bucket" if is_bucket(text) else "folder" if folder else "file"
    if as_kind and as_kind != "dvc" and as_kind not in _MAY_BE[what]:
        raise Invalid(
            "bad_source", f"{shown(text)} is no {as_kind}: it is {'an' if what[0] == 'a' else 'a'} {what}.",
            f"It may be taken for: {', '.join(_MAY_BE[what])}.",
        )  # fmt: skip


def _folder(path: Path, as_kind: str) -> Source:
    kind, metadata = describe(path)
    if as_kind and as_kind != kind:
        kind, metadata = as_kind, {}
    return Source(kind, str(path), path.name, partial(scanned, path), kind == "mlflow", metadata)


def _file(path: Path, as_kind: str, sha256: str, foreign: Foreign, aside: Path) -> Source:
    digest = Digest(sha256, str(path))
    if as_kind != "file" and archives.stem(path.name) != path.name:
        items = partial(archives.members, partial(_opened, path, digest), path.name, str(path))
        return Source("archive", str(path), archives.stem(path.name), items, checksum=digest.text)
    if as_kind == "croissant" or (not as_kind and path.name.endswith((".json", ".jsonld"))):
        text = path.read_bytes() if path.stat().st_size <= _DESCRIPTION_MAX else b""
        if as_kind or is_description(text):
            digest.check([text])
            return _described(text, str(path), str(path), foreign, aside)
    item = local(os.fsencode(path.name), 0, str(path))
    if not sha256:
        return Source("file", str(path), path.stem, lambda: iter([item]))
    item = replace(item, file="", pieces=lambda: digest.through(pieces_in(path)))  # read once, and that kept
    return Source(
        "file", str(path), path.stem, lambda: iter([item]), checksum=digest.text, verify=digest.check
    )


def _opened(path: Path, digest: Digest) -> IO[bytes]:
    if digest.wanted:
        digest.check(pieces_in(path))
    return open(path, "rb")


def _address(url: str, foreign: Foreign, as_kind: str, sha256: str, aside: Path) -> Source:
    """A file or archive of the web; it is put aside while it comes, so that an interruption loses
    nothing and a checksum is known before anything is kept."""
    clean = shown(url)
    name = unquote(urlsplit(url).path.rpartition("/")[2]) or "index"
    digest = Digest(sha256, clean)
    put_aside = Aside(url, foreign, aside / hashlib.sha256(clean.encode()).hexdigest()[:32])
    common: dict[str, Any] = {"checksum": digest.text, "revision": put_aside.etag, "done": put_aside.remove}
    if as_kind != "file" and archives.stem(name) != name:
        items = partial(archives.members, partial(_fetched, put_aside, digest), name, clean)
        return Source("archive", clean, archives.stem(name), items, **common)
    found = foreign.find(url)
    if found is None:
        raise NotFound("unknown_address", f"There is nothing at {clean}.", "Look at the address again.")
    if as_kind == "croissant" or (not as_kind and _DESCRIPTION.search(name)):
        text = foreign.read(url, 0, _DESCRIPTION_MAX)
        if as_kind or is_description(text):
            digest.check([text])
            return _described(text, url, clean, foreign, aside)
    stamp = f"{found.etag or found.modified} {found.size}" if found.etag or found.modified else ""

    def one() -> Iterator[Item]:
        yield Item(
            os.fsencode(name), 0, found.size or 0, stamp, "",
            lambda: _unchanged(put_aside, digest, found, clean), clean, found.etag, found.modified,
        )  # fmt: skip

    return Source("address", clean, Path(name).stem, one, verify=digest.check if sha256 else None, **common)


def _fetched(put_aside: Aside, digest: Digest) -> IO[bytes]:
    path = put_aside.fetch()
    digest.check(pieces_in(path))
    return io.BufferedReader(io.FileIO(path))


def _unchanged(put_aside: Aside, digest: Digest, looked: Found, clean: str) -> Iterator[bytes]:
    """Of the file that was seen when its stamp was taken: another's content must not be noted under it."""
    file = _fetched(put_aside, digest)
    if put_aside.found != looked:
        file.close()
        put_aside.remove()
        raise SystemFault(
            "changed_meanwhile", f"{clean} was changed while it was looked at. Nothing was changed here.",
            "Do it again.",
        )  # fmt: skip
    yield from pieces_of(file)


def _described(text: bytes, place: str, clean: str, foreign: Foreign, aside: Path) -> Source:
    """What a Croissant description names. Raises Invalid (bad_description, not_supported)."""
    said = parse(text, clean)
    files = Distribution(said, text, place, clean, foreign, aside)
    checksum = f"sha256:{hashlib.sha256(text).hexdigest()}"
    name = said.name or Path(unquote(urlsplit(clean).path)).stem
    return Source(
        "croissant", clean, name, files.items, metadata={"croissant": said.about}, checksum=lambda: checksum,
        revision=lambda: said.version, done=files.done, remarks=files.remarks,
    )  # fmt: skip


def _not_one_file(text: str) -> Invalid:
    return Invalid("bad_source", f"--sha256 is of one file, and {text} is more.", "Leave it out.")


def _bucket(text: str, foreign: Foreign, as_kind: str, sha256: str) -> Source:
    bucket, key = foreign.bucket(text)
    key = key.strip("/")
    name = key.rpartition("/")[2] or urlsplit(text).netloc
    thing = bucket.find(key) if key else None
    digest = Digest(sha256, f"{bucket.top}/{key}")
    if thing and (thing.size or all(one.key == key for one in bucket.list(key))):
        if as_kind not in ("file", "bucket") and archives.stem(name) != name:
            open_thing = partial(_in_bucket, bucket, thing, digest)
            items = partial(archives.members, open_thing, name, digest.where)
            return Source(
                "archive", digest.where, archives.stem(name), items, revision=lambda: thing.etag,
                checksum=digest.text,
            )  # fmt: skip
        item = _thing(bucket, thing, os.fsencode(name))
        item = replace(item, pieces=lambda: digest.through(bucket.stream(thing)))
        return Source(
            "file", digest.where, Path(name).stem, lambda: iter([item]), revision=lambda: thing.etag,
            checksum=digest.text, verify=digest.check if sha256 else None,
        )  # fmt: skip
    if sha256:
        raise _not_one_file(text)
    return Source("bucket", f"{bucket.top}/{key}".rstrip("/"), name, partial(_listed, bucket, key))


def _listed(bucket: Bucket, prefix: str) -> Iterator[Item]:
    with ThreadPoolExecutor(_AHEAD, "look") as pool:
        waiting: deque[tuple[Thing, Future[Thing | None] | None]] = deque()
        for thing in _not_above(bucket, prefix):
            waiting.append((thing, None if thing.size else pool.submit(bucket.find, thing.key)))
            if len(waiting) > _AHEAD:
                yield _object_or_folder(bucket, prefix, *waiting.popleft())
        for thing, looked in waiting:
            yield _object_or_folder(bucket, prefix, thing, looked)


def _not_above(bucket: Bucket, prefix: str) -> Iterator[Thing]:
    """What is listed, without objects of no bytes that only mark the folder of those after them."""
    before: Thing | None = None
    ours = f"{prefix}/.kamld/".lstrip("/")  # the note of an export
    for thing in bucket.list(prefix):
        if thing.key.startswith(ours):
            continue
        if before and not (before.size == 0 and thing.key.startswith(before.key + "/")):
            yield before
        before = None if thing.key == prefix and not thing.size else thing
    if before:
        yield before


def _object_or_folder(
    bucket: Bucket, prefix: str, thing: Thing, looked: "Future[Thing | None] | None"
) -> Item:  # fmt: skip
    """The marker of an empty folder is listed without its slash, and there is nothing under that name."""
    path = thing.key[len(prefix) :].lstrip("/").encode()
    if looked and ((found := looked.result()) is None or found.size):
        return Item(path, FOLDER)
    return _thing(bucket, thing, path)


def _thing(bucket: Bucket, thing: Thing, path: bytes) -> Item:
    return Item(
        path, 0, thing.size, f"{thing.etag} {thing.size}" if thing.etag else "", "",
        partial(bucket.stream, thing), f"{bucket.top}/{thing.key}", thing.etag, thing.modified,
    )  # fmt: skip


def _in_bucket(bucket: Bucket, thing: Thing, digest: Digest) -> "_InBucket":
    if digest.wanted:
        digest.check(bucket.stream(thing))
    return _InBucket(bucket, thing)


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
