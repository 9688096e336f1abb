"""Writing objects: read, cut, hash, compress on threads; keep what the hub does not have in packs.

Nothing is visible to anyone until `flush`: packs first, then the index, each durable before the
next. What a crash leaves behind is garbage that names nothing.
"""

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import chain
from threading import Lock
from types import TracebackType
from typing import Self, TypeVar

import msgspec
from blake3 import blake3

from kamld.blobs import Blobs
from kamld.store import packs
from kamld.store.chunking import WHOLE_MAX, Chunking, cut
from kamld.store.codecs import encode
from kamld.store.index import Index, as_ids
from kamld.store.objects import files, places, recipes
from kamld.store.objects.small import Joiner
from kamld.store.packs import Footer, PackBuilder

_BATCH_FILES = 256
_BATCH_BYTES = 4 * 1024 * 1024
_PACKS_PER_SEGMENT = 32


@dataclass(frozen=True, slots=True)
class Source:
    """A file to keep. `size` is a guess that decides only how it is scheduled."""

    path: str
    size: int


@dataclass(frozen=True, slots=True)
class Written:
    source: Source
    id: bytes
    state: os.stat_result  # of the file as it was read


Key = TypeVar("Key")
Progress = Callable[[int, int], None]  # files done, bytes done, since the last call


class Writer:
    """Puts objects into a hub. Use as a context; leaving it by an exception keeps nothing."""

    def __init__(
        self, blobs: Blobs, index: Index, chunking: Chunking, threads: int, *,
        avoid: AbstractSet[bytes] = frozenset(), closed: Callable[[], None] = lambda: None,
    ) -> None:  # fmt: skip
        """`avoid`: packs that are about to be deleted, or were. `closed` is called when all is done."""
        self._avoid = avoid
        self._closed = closed
        self._blobs = blobs.batch()
        self._index = index
        self._chunking = chunking
        self._threads = threads
        self._pool: ThreadPoolExecutor | None = None
        self._lock = Lock()
        self._builder = PackBuilder()
        self._sealed: list[tuple[bytes, Footer]] = []
        self._new: set[bytes] = set()
        self.bytes_added = 0  # stored bytes of new objects
        self.objects_added = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: TracebackType | None) -> None:
        try:
            if self._pool:
                self._pool.shutdown(wait=True, cancel_futures=True)
            if kind is None:
                self.flush()
        finally:
            self._closed()

    def put(self, data: bytes) -> bytes:
        """Keep an object given whole; its id."""
        identifier = recipes.object_id(data)
        if len(data) <= WHOLE_MAX:
            self._keep([(identifier, data)])
        else:
            self._keep_large(identifier, iter([data]))
        return identifier

    def put_files(self, sources: Iterable[Source], progress: Progress | None = None) -> Iterator[Written]:
        """Keep files, many at once; gives each as it is done, in no particular order.

        Raises SystemFault (unreadable_file, changing_file).
        """
        waiting: list[Future[list[Written]]] = []
        for batch in _batches(sources):
            if len(waiting) > self._threads:
                yield from _told(waiting.pop(0).result(), progress)
            if len(batch) == 1 and batch[0].size > _BATCH_BYTES:
                yield from _told([self._put_large(batch[0])], progress)
            else:
                waiting.append(self._workers.submit(self._put_batch, batch))
        for done in waiting:
            yield from _told(done.result(), progress)

    def put_streams(
        self, streams: Iterable[tuple[Key, Iterable[bytes]]], progress: Progress | None = None
    ) -> Iterator[tuple[Key, bytes, int]]:
        """Keep what comes in pieces, each stream to its end before the next; gives (key, id, length) of
        each as it is done, in no particular order."""
        waiting: list[Future[list[tuple[Key, bytes, int]]]] = []
        batch: list[tuple[Key, bytes]] = []
        size = 0
        for key, pieces in streams:
            begun, rest = _begun(pieces)
            if rest is not None:
                yield from _counted([(key, *self._put_stream(chain([begun], rest)))], progress)
                continue
            batch.append((key, begun))
            size += len(begun)
            if len(batch) >= _BATCH_FILES or size >= _BATCH_BYTES:
                waiting.append(self._workers.submit(self._put_datas, batch))
                batch, size = [], 0
                if len(waiting) > self._threads:
                    yield from _counted(waiting.pop(0).result(), progress)
        waiting.append(self._workers.submit(self._put_datas, batch))
        for done in waiting:
            yield from _counted(done.result(), progress)

    def put_place(self, place: places.Place, pieces: Iterable[bytes]) -> tuple[bytes, int]:
        """Keep where a file is, not its content, which comes once in pieces to be hashed; (id, length)."""
        digest, blocks, length, rest = blake3(max_threads=self._threads), [], 0, b""
        for piece in pieces:
            digest.update(piece)
            length += len(piece)
            rest += piece
            while len(rest) >= places.BLOCK:
                blocks.append(recipes.object_id(rest[: places.BLOCK]))
                rest = rest[places.BLOCK :]
        if rest:
            blocks.append(recipes.object_id(rest))
        identifier, place = digest.digest(), msgspec.structs.replace(place, size=length)
        number = 0 if self._has([identifier])[0] else places.free_number(self._index, identifier)
        if not length:
            self._keep([(identifier, b"")])
        elif not self._has([identifier])[0] and number is not None:
            key = places.key_of(identifier, number)
            self._add([(key, places.PLACE, places.encode(key, place, blocks), length)])
        return identifier, length

    def has(self, identifiers: list[bytes]) -> list[bool]:
        """Which objects need not be put again: the hub has their content, and this writer may rely on it."""
        return self._has(identifiers)

    def flush(self) -> None:
        """Make all that was put durable and findable."""
        self._seal()
        self._publish()

    @property
    def _workers(self) -> ThreadPoolExecutor:
        self._pool = self._pool or ThreadPoolExecutor(self._threads, "hub-ingest")
        return self._pool

    def _put_batch(self, batch: list[Source]) -> list[Written]:
        done, small = [], []
        for source in batch:
            data, state = files.read_settled(source.path)
            identifier = recipes.object_id(data)
            if len(data) <= WHOLE_MAX:
                small.append((identifier, data))
            else:
                self._keep_large(identifier, iter([data]))
            done.append(Written(source, identifier, state))
        self._keep(small)
        return done

    def _put_datas(self, batch: list[tuple[Key, bytes]]) -> list[tuple[Key, bytes, int]]:
        ids = [recipes.object_id(data) for _, data in batch]
        pairs = list(zip(ids, (data for _, data in batch), strict=True))
        self._keep([pair for pair in pairs if len(pair[1]) <= WHOLE_MAX])
        for identifier, data in pairs:
            if len(data) > WHOLE_MAX:
                self._keep_large(identifier, iter([data]))
        return [(key, identifier, len(data)) for (key, data), identifier in zip(batch, ids, strict=True)]

    def _put_stream(self, pieces: Iterable[bytes]) -> tuple[bytes, int]:
        digest = blake3(max_threads=self._threads)
        chunks = self._cut_and_keep(_in_windows(pieces, digest))
        return self._keep_recipe(digest.digest(), chunks), sum(length for _, length in chunks)

    def _put_large(self, source: Source) -> Written:
        for _ in range(files.TRIES):
            with files.opened(source.path) as (file, before):
                digest = blake3(max_threads=self._threads)
                chunks = self._cut_and_keep(files.windows(file, before.st_size, digest))
                after = os.fstat(file)
            if files.same(before, after):
                return Written(source, self._keep_recipe(digest.digest(), chunks), after)
        raise files.changing(source.path)

    def _keep_large(self, identifier: bytes, windows: Iterator[bytes]) -> None:
        if not self._has([identifier])[0]:
            self._keep_recipe(identifier, self._cut_and_keep(windows, parallel=False))

    def _keep_recipe(self, identifier: bytes, chunks: list[tuple[bytes, int]]) -> bytes:
        if not chunks:  # it became empty since it was scanned
            self._keep([(identifier, b"")])
        if len(chunks) > 1 and not self._has([identifier])[0]:
            recipe = recipes.encode(identifier, chunks)
            self._add([(identifier, packs.RECIPE, recipe, sum(length for _, length in chunks))])
        return identifier

    def _cut_and_keep(self, windows: Iterator[bytes], *, parallel: bool = True) -> list[tuple[bytes, int]]:
        """Keep the chunks of a file given in windows; (id, length) of each in order."""
        chunks: list[tuple[bytes, int]] = []
        waiting: list[Future[list[tuple[bytes, int]]]] = []
        rest = b""
        for window, last in _with_last(windows):
            data = rest + window if rest else window
            view, end = memoryview(data), 0
            pieces = []
            for offset, length in cut(view, self._chunking, last=last):
                pieces.append(view[offset : offset + length])
                end = offset + length
            rest = data[end:]
            if not parallel:
                chunks += self._keep_chunks(pieces)
                continue
            waiting.append(self._workers.submit(self._keep_chunks, pieces))
            if len(waiting) > self._threads:
                chunks += waiting.pop(0).result()
        for done in waiting:
            chunks += done.result()
        return chunks

    def _keep_chunks(self, pieces: Sequence[memoryview]) -> list[tuple[bytes, int]]:
        ids = [recipes.object_id(piece) for piece in pieces]
        self._keep(list(zip(ids, pieces, strict=True)))
        return [(identifier, len(piece)) for identifier, piece in zip(ids, pieces, strict=True)]

    def _keep(self, objects: Sequence[tuple[bytes, bytes | memoryview]]) -> None:
        """Keep objects given whole, leaving out those the hub has."""
        known = self._has([identifier for identifier, _ in objects])
        wanted = {i: data for (i, data), has in zip(objects, known, strict=True) if not has}
        stored = encode(list(wanted.values()))
        self._add(
            [
                (identifier, codec, kept, len(data))
                for (identifier, data), (codec, kept) in zip(wanted.items(), stored, strict=True)
            ]
        )

    def _has(self, identifiers: list[bytes]) -> list[bool]:
        if not identifiers:
            return []
        known: list[bool] = self._index.has(as_ids(identifiers), self._avoid).tolist()
        return [has or i in self._new for i, has in zip(identifiers, known, strict=True)]

    def _add(self, rows: Sequence[tuple[bytes, int, bytes, int]]) -> None:
        with self._lock:
            for identifier, codec, stored, raw_length in rows:
                if identifier in self._new:
                    continue
                self._new.add(identifier)
                self._builder.add(identifier, codec, stored, raw_length)
                self.bytes_added += len(stored)
                self.objects_added += 1
                if self._builder.size >= packs.TARGET:
                    self._seal()

    def _seal(self) -> None:
        builder, self._builder = self._builder, PackBuilder()
        if builder.ids:
            name, parts, footer = packs.sealed(builder, self._avoid)
            self._blobs.put(packs.key(name), parts)
            self._sealed.append((name, footer))
            if len(self._sealed) >= _PACKS_PER_SEGMENT:
                self._publish()

    def _publish(self) -> None:
        sealed, self._sealed = self._sealed, []
        if sealed:
            self._blobs.flush()
            self._index.add(sealed, Joiner(self._blobs.batch(), self._avoid))
            self._new = set()  # the index knows them from here on


def _told(done: list[Written], progress: Progress | None) -> list[Written]:
    if progress:
        progress(len(done), sum(written.state.st_size for written in done))
    return done


def _batches(sources: Iterable[Source]) -> Iterator[list[Source]]:
    """Small files together, large ones alone."""
    batch: list[Source] = []
    size = 0
    for source in sources:
        if source.size > _BATCH_BYTES:
            yield [source]
            continue
        batch.append(source)
        size += source.size
        if len(batch) >= _BATCH_FILES or size >= _BATCH_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _begun(pieces: Iterable[bytes]) -> tuple[bytes, Iterator[bytes] | None]:
    """All of a small stream and None, or the beginning of a large one and the rest."""
    rest, parts, size = iter(pieces), [], 0
    for piece in rest:
        parts.append(piece)
        size += len(piece)
        if size > _BATCH_BYTES:
            return b"".join(parts), rest
    return b"".join(parts), None


def _in_windows(pieces: Iterable[bytes], digest: blake3) -> Iterator[bytes]:
    parts: list[bytes] = []
    size = 0
    for piece in pieces:
        parts.append(piece)
        size += len(piece)
        if size >= files.WINDOW:
            window = b"".join(parts)
            digest.update(window)
            yield window
            parts, size = [], 0
    if parts:
        window = b"".join(parts)
        digest.update(window)
        yield window


def _counted(done: list[tuple[Key, bytes, int]], progress: Progress | None) -> list[tuple[Key, bytes, int]]:
    if progress and done:
        progress(len(done), sum(length for _, _, length in done))
    return done


def _with_last(windows: Iterator[bytes]) -> Iterator[tuple[bytes, bool]]:
    present = next(windows, b"")
    for following in windows:
        yield present, False
        present = following
    yield present, True
