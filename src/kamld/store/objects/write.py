"""Writing objects: read, cut and hash on threads; see `packing` for what becomes of them."""

import mmap
import os
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import closing
from itertools import chain, cycle
from types import TracebackType
from typing import Self, TypeVar

import msgspec
import numpy as np
from blake3 import blake3

from kamld.blobs import Blobs
from kamld.errors import SystemFault
from kamld.processes import may_fork
from kamld.store import packs
from kamld.store.chunking import WHOLE_MAX, Chunking, cut
from kamld.store.index import Index
from kamld.store.objects import files, places, recipes
from kamld.store.objects.batches import (
    BYTES,
    FILES,
    WORTH_A_PROCESS,
    Files,
    Kept,
    Read,
    Sharing,
    batches,
    read,
)
from kamld.store.objects.files import Source, State, Window, Written
from kamld.store.objects.guess import Guess
from kamld.store.objects.holes import Guard
from kamld.store.objects.packing import Packing
from kamld.store.packs import Rows

_NO_HOLES = Guard()
_WAITED = 4  # times the work: more is the disk's doing, not that of others who are at work
_BATCHES_READ_AT_ONCE = 16  # before it is tried again whether one thread does as well

Key = TypeVar("Key")
Progress = Callable[[int, int], None]  # files done, bytes done, since the last call
Chunks = Sequence[tuple[bytes, int]]  # (id, length) of each, in order


class Writer:
    """Puts objects into a hub. Use as a context; leaving it by an exception keeps nothing."""

    def __init__(
        self, blobs: Blobs, index: Index, chunking: Chunking, threads: int, *,
        avoid: AbstractSet[bytes] = frozenset(), closed: Callable[[], None] = lambda: None,
        chunks: Callable[[bytes], Chunks] = lambda _: (), guard: Guard = _NO_HOLES,
        late: Callable[[], bool] = lambda: False,
    ) -> None:  # fmt: skip
        """`avoid`: packs that are about to be deleted, or were. `closed` is called when all is done.
        `chunks`: those that the hub keeps an object as; none where it does not have it.
        `guard`: refuses what was purged, by raising Conflict (purged_content). `late`: whether the lease
        was lost under which all this is done."""
        self.guard = guard
        self._packing = Packing(blobs, index, avoid, guard, late)
        self._closed = closed
        self._late = late
        self._chunks = chunks
        self._index = index
        self._chunking = chunking
        self._threads = threads
        self._pool: ThreadPoolExecutor | None = None
        self._read_at_once = 0  # batches that are still to be read by several threads

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
        self.guard.check(identifier)
        if len(data) <= WHOLE_MAX:
            self._packing.keep([identifier], [data])
        else:
            self._keep_large(identifier, data)
        return identifier

    def put_files(self, sources: Iterable[Source], progress: Progress | None = None) -> Iterator[Written]:
        """Keep files, many at once; gives each as it is done, in no particular order.

        Raises SystemFault (unreadable_file, changing_file).
        """
        for batch, kept in self._put_all(sources):
            ids = (kept.ids[at : at + 32] for at in range(0, len(kept.ids), 32))
            states = [State(*row) for row in kept.states.tolist()]
            _tell(kept, progress)
            yield from map(Written, batch, ids, states)

    def _put_all(self, sources: Iterable[Source]) -> Iterator[tuple[list[Source], Kept]]:
        waiting: deque[tuple[list[Source], Future[Kept]]] = deque()
        for batch in batches(sources):
            if len(batch) == 1 and batch[0].size > BYTES:
                yield batch, self._put_large(batch[0])
            else:
                waiting.append((batch, self._put_batch(batch)))
            while len(waiting) > self._threads:
                done, kept = waiting.popleft()
                yield done, kept.result()
        for done, kept in waiting:
            yield done, kept.result()

    def put_below(self, listed: Files, progress: Progress | None = None) -> Iterator[Kept]:
        """As `put_files`, of the files of a folder, in columns."""
        left: Sequence[int] = range(len(listed.paths))
        if len(left) >= WORTH_A_PROCESS and self._threads > 1 and may_fork():
            sharing = Sharing(listed, self._keep_read, self._packing.add_new, self._packing.aside)
            small = listed.states[:, 0] <= BYTES
            for kept in sharing.all(left if small.all() else np.flatnonzero(small).tolist()):
                _tell(kept, progress)
                yield kept
            left = np.flatnonzero(~small).tolist()
        for _, kept in self._put_all(map(listed.source, left)):
            _tell(kept, progress)
            yield kept

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
            if len(batch) >= FILES or size >= BYTES:
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
        self.guard.check(identifier, place.address)
        number = 0 if self.has([identifier])[0] else places.free_number(self._index, identifier)
        if not length:
            self._packing.keep([identifier], [b""])
        elif not self.has([identifier])[0] and number is not None:
            key = places.key_of(identifier, number)
            self._packing.add(Rows.one(key, places.PLACE, places.encode(key, place, blocks), length))
        return identifier, length

    def has(self, identifiers: list[bytes]) -> list[bool]:
        """Which objects need not be put again: the hub has their content, and this writer may rely on it."""
        return self._packing.whole(identifiers)

    def adopt(self, identifier: bytes, codec: int, stored: bytes, raw_length: int) -> None:
        """Keep an object, or the record of a place, as it is stored in a pack that this writer does not
        rely on."""
        if not self._packing.has([identifier])[0]:
            self._packing.add(Rows.one(identifier, codec, stored, raw_length))

    def check_awake(self) -> None:
        """Ask before you name what was written otherwise than by a version. Raises SystemFault (slept)
        where it may have been collected meanwhile."""
        if self._late():
            raise SystemFault(
                "slept",
                "This machine slept for so long that what was being written may have been collected.",
                "Do it again.",
            )

    def flush(self) -> None:
        """Make all that was put durable and findable."""
        self._packing.flush()

    @property
    def bytes_added(self) -> int:
        """Stored bytes of new objects."""
        return self._packing.bytes_added

    @property
    def objects_added(self) -> int:
        return self._packing.objects_added

    @property
    def _workers(self) -> ThreadPoolExecutor:
        self._pool = self._pool or ThreadPoolExecutor(self._threads, "hub-ingest")
        return self._pool

    def _put_batch(self, batch: list[Source]) -> Future[Kept]:
        """Read here what comes from memory: threads that all call the system for each of many small
        files hinder each other more than they help. What has to be waited for, several read at once."""
        if self._read_at_once:
            self._read_at_once -= 1
            return self._workers.submit(lambda: self._keep_batch(batch, read(batch)))
        began, busy = time.perf_counter(), time.thread_time()
        found = read(batch)
        if time.perf_counter() - began > _WAITED * (time.thread_time() - busy):
            self._read_at_once = _BATCHES_READ_AT_ONCE
        return self._workers.submit(self._keep_batch, batch, found)

    def _keep_batch(self, batch: list[Source], read: Read) -> Kept:
        self._keep_read(read)
        return Kept([source.number for source in batch], b"".join(read.ids), read.states)

    def _keep_read(self, read: Read) -> None:
        self._keep_whole(read.ids, read.data, read.names)

    def _put_datas(self, batch: list[tuple[Key, bytes]]) -> list[tuple[Key, bytes, int]]:
        datas = [data for _, data in batch]
        ids = [recipes.object_id(data) for data in datas]
        self._keep_whole(ids, datas, [key if isinstance(key, str | bytes) else "" for key, _ in batch])
        return [(key, identifier, len(data)) for (key, data), identifier in zip(batch, ids, strict=True)]

    def _keep_whole(
        self, ids: Sequence[bytes], datas: Sequence[bytes], names: Sequence[bytes | str]
    ) -> None:  # fmt: skip
        """Keep objects given whole, of any length; `names`: of their files, as people know them."""
        self.guard.check_each(ids, names)
        if max(map(len, datas), default=0) <= WHOLE_MAX:
            self._packing.keep(ids, datas)
            return
        small = [at for at, data in enumerate(datas) if len(data) <= WHOLE_MAX]
        self._packing.keep([ids[at] for at in small], [datas[at] for at in small])
        for identifier, data in zip(ids, datas, strict=True):
            if len(data) > WHOLE_MAX:
                self._keep_large(identifier, data)

    def _put_stream(self, pieces: Iterable[bytes]) -> tuple[bytes, int]:
        digest = blake3(max_threads=self._threads)
        chunks = self._cut_and_keep(files.in_windows(pieces, digest))
        return self._keep_recipe(digest.digest(), chunks), sum(length for _, length in chunks)

    def _put_large(self, source: Source) -> Kept:
        for _ in range(files.TRIES):
            with files.opened(source.path) as (file, before):
                if self.guard.may_be(before.st_size):  # before any part of it is kept
                    self.guard.check(files.hashed(file, before.st_size), source.shown)
                digest = blake3(max_threads=self._threads)
                read = files.windows(file, before.st_size, digest, self._rooms())
                with closing(self._ahead(read)) as windows:
                    chunks = self._cut_and_keep(windows, self._guess(source.before))
                after = os.fstat(file)
            if files.same(before, after):
                self.guard.check(digest.digest(), source.shown)
                identifier = self._keep_recipe(digest.digest(), chunks)
                return Kept([source.number], identifier, files.columns([after]))
        raise files.changing(source.path)

    def _keep_large(self, identifier: bytes, data: bytes) -> None:
        if not self.has([identifier])[0]:  # not even its list of chunks would do alone
            windows = iter([Window(data, 0, len(data))])
            self._keep_recipe(identifier, self._cut_and_keep(windows, parallel=False))

    def _keep_recipe(self, identifier: bytes, chunks: list[tuple[bytes, int]]) -> bytes:
        self.guard.check(identifier)
        if not chunks:  # it became empty since it was scanned
            self._packing.keep([identifier], [b""])
        if len(chunks) > 1 and not self.has([identifier])[0]:
            recipe, length = recipes.encode(identifier, chunks), sum(length for _, length in chunks)
            self._packing.add(Rows.one(identifier, packs.RECIPE, recipe, length))
        return identifier

    def _guess(self, before: bytes | None) -> Guess | None:
        return Guess(self._chunks(before), self._chunking.largest) if before else None

    def _rooms(self) -> Iterator[mmap.mmap]:
        """Memory for as many windows as there are at once, each used again once the threads are done with
        what it had: one that is read, two that are known of, and those that wait for the threads."""
        return cycle([mmap.mmap(-1, self._chunking.largest + files.WINDOW) for _ in range(self._threads + 4)])

    def _ahead(self, windows: Iterator[Window]) -> Generator[Window]:
        """The same windows, each read while the one before is worked on. Close it before the file."""
        coming = self._workers.submit(next, windows, files.NOTHING)
        try:
            while window := coming.result():
                coming = self._workers.submit(next, windows, files.NOTHING)
                yield window
        finally:
            wait([coming])

    def _cut_and_keep(
        self, windows: Iterator[Window], guess: Guess | None = None, *, parallel: bool = True
    ) -> list[tuple[bytes, int]]:
        """Keep the chunks of a file given in windows; (id, length) of each in order."""
        chunks: list[tuple[bytes, int]] = []
        waiting: deque[Future[list[tuple[bytes, int]]]] = deque()  # empty while a guess holds
        rest = b""
        for window, last in files.with_last(windows):
            view, end = window.after(rest), 0
            if guess and not guess.lost:
                found = self._keep_guessed(view, guess)
                end = sum(length for _, length in found)
                chunks += found
            pieces = []
            if not guess or guess.lost or last:
                left = view[end:]
                pieces = [left[at : at + n] for at, n in cut(left, self._chunking, last=last)]
                end += sum(map(len, pieces))
            rest = bytes(view[end:])
            if not parallel:
                chunks += self._keep_chunks(pieces)
                continue
            if pieces:
                waiting.append(self._workers.submit(self._keep_chunks, pieces))
            if len(waiting) > self._threads:
                chunks += waiting.popleft().result()
                if guess and guess.resume(chunks[-1][0]):
                    chunks += [chunk for done in waiting for chunk in done.result()]
                    waiting.clear()
                    guess.resume(chunks[-1][0])
        return chunks + [chunk for done in waiting for chunk in done.result()]

    def _keep_guessed(self, data: memoryview, guess: Guess) -> list[tuple[bytes, int]]:
        """Keep what the front of `data` still has of the earlier version's chunks."""
        pieces = guess.pieces(data)
        half = len(pieces) // 2
        others = self._workers.submit(lambda: [recipes.object_id(piece) for piece in pieces[half:]])
        ids = [recipes.object_id(piece) for piece in pieces[:half]] + others.result()
        agreed = guess.agree(ids)
        ids, pieces = ids[:agreed], pieces[:agreed]
        self._packing.keep(ids, pieces)  # the hub may have lost one since, or be about to
        return list(zip(ids, map(len, pieces), strict=True))

    def _keep_chunks(self, pieces: Sequence[memoryview]) -> list[tuple[bytes, int]]:
        ids = [recipes.object_id(piece) for piece in pieces]
        self._packing.keep(ids, pieces)
        return list(zip(ids, map(len, pieces), strict=True))


def _tell(kept: Kept, progress: Progress | None) -> None:
    if progress:
        progress(len(kept.numbers), int(kept.states[:, 0].sum()))


def _begun(pieces: Iterable[bytes]) -> tuple[bytes, Iterator[bytes] | None]:
    """All of a small stream and None, or the beginning of a large one and the rest."""
    rest, parts, size = iter(pieces), [], 0
    for piece in rest:
        parts.append(piece)
        size += len(piece)
        if size > BYTES:
            return b"".join(parts), rest
    return b"".join(parts), None


def _counted(done: list[tuple[Key, bytes, int]], progress: Progress | None) -> list[tuple[Key, bytes, int]]:
    if progress and done:
        progress(len(done), sum(length for _, _, length in done))
    return done
