"""Blobs in a folder of this machine.

An object is written to `tmp/`, synced, then renamed, so a key never names half an object, not even
after a power cut. Large ones are written on a thread of their own while the caller goes on; `flush`
waits for it and reports what went wrong. Swaps hold a lock of the operating system, which
dies with its holder, so no lock is ever stale.
"""

import fcntl
import mmap
import os
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from zlib import crc32

from kamld import ids
from kamld.blobs import turns
from kamld.blobs.interface import Buffer, Changed, Listed, Missing, check_key
from kamld.blobs.writing import write_synced
from kamld.errors import filesystem_fault

_QUEUE = 3  # objects on their way to disk before `put` waits: bounds memory
_SMALL = 1024 * 1024  # bytes; not worth a thread's time
_LARGE = 8 * 1024 * 1024  # bytes; what is smaller may as well stay in the system's cache
_READ_WHOLE = 128 * 1024  # bytes of an object that costs less to read than to map
_LEFTOVER_AGE = 24 * 3600  # seconds; after that a file in tmp/ belongs to somebody who was killed
_LOCK = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
_OWN = ("tmp", "locks", "local")  # folders that hold no objects


class FolderBlobs:
    def __init__(self, folder: Path, known_folders: set[Path] | None = None) -> None:
        self._folder = folder
        self._root = str(folder)
        self._writer: ThreadPoolExecutor | None = None
        self._pending: list[Future[None]] = []
        self._failures: list[BaseException] = []
        self._known_folders = set() if known_folders is None else known_folders
        self._tidy = False
        self._lock = threading.Lock()

    @property
    def location(self) -> str:
        return str(self._folder)

    def get(self, key: str) -> bytes:
        with self._faults(missing=key), open(f"{self._root}/{check_key(key)}", "rb", buffering=0) as file:
            return file.readall()

    def view(self, key: str) -> memoryview:
        with self._faults(missing=key), self._reading(key) as file:
            size = os.fstat(file).st_size
            if size <= _READ_WHOLE and len(data := os.read(file, size)) == size:
                return memoryview(data)
            return memoryview(mmap.mmap(file, 0, access=mmap.ACCESS_READ))

    def part(self, key: str, start: int, length: int) -> bytes:
        with self._faults(missing=key), self._reading(key) as file:
            found = os.pread(file, length, start)
            while len(found) < length:
                more = os.pread(file, length - len(found), start + len(found))
                if not more:
                    break
                found += more
            return found

    def batch(self) -> "FolderBlobs":
        return FolderBlobs(self._folder, self._known_folders)

    def put(self, key: str, parts: Sequence[Buffer], *, cache: bool = True) -> None:
        path, size = self._path(key), sum(len(part) for part in parts)
        with self._faults():
            if path.exists():
                self._make(path.parent)
                _sync_folder(path.parent)  # whoever wrote it may not have come so far yet
                return
        if size <= _SMALL:
            self._write(path, parts)
            return
        with self._lock:
            self._writer = self._writer or ThreadPoolExecutor(1, "hub-writer")
            self._pending.append(self._writer.submit(self._write, path, parts, cache or size < _LARGE))
            waiting = self._pending[:-_QUEUE]
            self._pending = self._pending[-_QUEUE:]
        if failures := _failures(waiting):
            self._failures += failures
            raise failures[0]

    def flush(self) -> None:
        with self._lock:
            waiting, self._pending = self._pending, []
        failures = self._failures + _failures(waiting)
        self._failures = []
        if failures:
            raise failures[0]

    def swap(self, key: str, expected: bytes | None, to: bytes) -> None:
        path = self._path(key)
        with self._faults(), self._exclusive(key):
            try:
                present = path.read_bytes()
            except FileNotFoundError:
                present = None
            if present != expected:
                raise Changed(key, present)
            self._write(path, [to])

    def post(self, key: str, value: bytes) -> None:
        path, temporary = self._path(key), self._folder / "tmp" / ids.new_id()
        with self._faults():
            try:
                temporary.write_bytes(value)
                os.rename(temporary, path)
            except FileNotFoundError:  # the first one here
                self._make(temporary.parent)
                self._make(path.parent)
                temporary.write_bytes(value)
                os.rename(temporary, path)
            except BaseException:
                with suppress(OSError):
                    temporary.unlink()
                raise

    @contextmanager
    def turn(self, what: str, seconds: float) -> Iterator[bool]:
        locks = self._folder / "locks"
        with self._faults():
            self._make(locks)
            lock = os.open(locks / f"turn-{crc32(what.encode()) & 0xFFF:03x}", _LOCK, 0o666)
            alone = turns.wait(lock, seconds)
        try:
            yield alone
        finally:
            if alone:
                os.close(lock)

    def delete(self, key: str) -> None:
        with self._faults(), suppress(FileNotFoundError, NotADirectoryError):
            self._path(key).unlink()

    def list(self, prefix: str) -> Iterator[Listed]:
        top = prefix.rstrip("/")
        with self._faults():
            yield from _walk(f"{self._root}/{top}", f"{top}/" if top else "")

    @contextmanager
    def _reading(self, key: str) -> Iterator[int]:
        file = os.open(f"{self._root}/{check_key(key)}", os.O_RDONLY | os.O_CLOEXEC)
        try:
            yield file
        finally:
            os.close(file)

    def _path(self, key: str) -> Path:
        return self._folder / check_key(key)

    def _write(self, path: Path, parts: Sequence[Buffer], cache: bool = True) -> None:
        temporary = self._folder / "tmp" / ids.new_id()
        with self._faults():
            try:
                self._make(temporary.parent)
                self._remove_leftovers(temporary.parent)
                self._make(path.parent)
                write_synced(temporary, parts, cache=cache)
                os.rename(temporary, path)
                _sync_folder(path.parent)
            except BaseException:
                with suppress(OSError):
                    temporary.unlink()
                raise

    def _make(self, folder: Path) -> None:
        """Make a folder and those above it in the hub, each one's entry synced in the one that holds it.

        Also of those that are there: somebody else may have made them a moment ago. Once for each.
        """
        if folder in self._known_folders:
            return
        if folder == self._folder:
            self._make_hub()
        else:
            self._make(folder.parent)
            folder.mkdir(exist_ok=True)
            _sync_folder(folder.parent)
        self._known_folders.add(folder)

    def _make_hub(self) -> None:
        missing = [f for f in (self._folder, *self._folder.parents) if not f.exists()]
        for new in reversed(missing):
            private = new == self._folder  # sharing a hub is its owner's decision: chmod it
            new.mkdir(mode=0o700 if private else 0o777, exist_ok=True)
            _sync_folder(new.parent)
        if not missing:
            with suppress(PermissionError):  # not even to be listed: then it is none of ours to make
                _sync_folder(self._folder.parent)

    def _remove_leftovers(self, folder: Path) -> None:
        if not self._tidy:
            self._tidy = True
            for entry in os.scandir(folder):
                with suppress(OSError):
                    if entry.stat().st_mtime < time.time() - _LEFTOVER_AGE:
                        os.unlink(entry.path)

    @contextmanager
    def _exclusive(self, key: str) -> Iterator[None]:
        locks = self._folder / "locks"
        self._make(locks)
        lock = os.open(locks / f"{crc32(key.encode()) & 0xFF:02x}", _LOCK, 0o666)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
        finally:
            os.close(lock)

    @contextmanager
    def _faults(self, missing: str = "") -> Iterator[None]:
        """The machine's refusals in our words; a path that is not there is the key `missing`."""
        try:
            yield
        except OSError as error:
            if missing and isinstance(error, FileNotFoundError | NotADirectoryError):
                raise Missing(missing) from None
            raise filesystem_fault(error, self.location) from error


def _failures(written: Sequence[Future[None]]) -> list[BaseException]:
    return [error for error in (future.exception() for future in written) if error]


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _walk(folder: str, prefix: str) -> Iterator[Listed]:
    """In the order of keys, which is that of names with a `/` after each folder's."""
    try:
        entries = list(os.scandir(folder))
    except (FileNotFoundError, NotADirectoryError):
        return
    names = {e.name + "/" if e.is_dir(follow_symlinks=False) else e.name: e for e in entries}
    for name in sorted(names):
        if not name.endswith("/"):
            with suppress(FileNotFoundError):
                yield Listed(prefix + name, names[name].stat(follow_symlinks=False).st_size)
        elif prefix or name[:-1] not in _OWN:
            yield from _walk(names[name].path, prefix + name)
