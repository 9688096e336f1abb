"""A version in somebody's bucket, as plain objects: only what differs is put, and at the end all is there.

What earlier exports put is noted in the bucket, in `.kamld/export.json.gz` below the prefix: which content
under which etag. So nothing is put twice, an export that was interrupted goes on, and what somebody else
put there or changed is told from what is ours, and never replaced unasked.
"""

import gzip
import json
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from hashlib import md5
from typing import Any

from kamld.blobs.bucket import Bucket, Thing
from kamld.blobs.foreign import Foreign
from kamld.errors import Conflict, Invalid, KamldError, NotFound, SystemFault
from kamld.exchange.export import contents
from kamld.records.kinds import FOLDER, SYMLINK
from kamld.store import Entries, Objects, Progress
from kamld.store.trees import present
from kamld.store.trees.entries import Entry

NOTE = ".kamld/export.json.gz"
_AT_ONCE = 16  # small objects that are put at the same time
_SMALL = 4 * 1024 * 1024
_NOTE_S = 30.0  # seconds after which what was put is noted
_KEY_MAX = 1024  # bytes
_NAMED = 5


@dataclass(frozen=True, slots=True)
class Put:
    """What the bucket has under a name of ours. `etag` "": it was about to be put."""

    id: str
    size: int
    etag: str


@dataclass(slots=True)
class BucketPlan:
    """`foreign`: what is there and not ours, and differs from the version; `gone`: of earlier exports,
    and not of this version."""

    put: list[Entry] = field(default_factory=list)
    same: dict[str, Put] = field(default_factory=dict)
    foreign: list[str] = field(default_factory=list)
    gone: list[str] = field(default_factory=list)
    noted: dict[str, Put] = field(default_factory=dict)
    empty_folders: int = 0

    @property
    def bytes(self) -> int:
        """To be put."""
        return sum(entry.size for entry in self.put)


def export_to_bucket(
    objects: Objects, foreign: Foreign, address: str, entries: Entries, what: Mapping[str, str], *,
    overwrite: bool = False, delete: bool = False, dry_run: bool = False, progress: Progress | None = None,
) -> BucketPlan:  # fmt: skip
    """Make a place in a bucket have what a version has; what was done, or would be. `delete`: what earlier
    exports put and the version lacks. Raises Conflict (target_exists), Invalid (name_not_kept,
    refused_by_server, bad_address), SystemFault; what was put before a failure is not put again."""
    entries, _ = present(objects, entries)
    bucket, prefix = foreign.bucket(address)
    target = _Target(bucket, prefix, what)
    planned = target.plan(objects, entries)
    if not dry_run:
        target.carry_out(objects, planned, overwrite=overwrite, delete=delete, progress=progress)
    return planned


class _Target:
    """A place in a bucket. `what` names the version, for whoever reads the note."""

    def __init__(self, bucket: Bucket, prefix: str, what: Mapping[str, str]) -> None:
        self._bucket, self._what = bucket, dict(what)
        self._prefix = prefix.strip("/") + "/" if prefix.strip("/") else ""
        self.address = f"{bucket.top}/{self._prefix}"

    def plan(self, objects: Objects, entries: Entries) -> BucketPlan:
        """Reads the list of the bucket, and contents of the version only to compare with what is not ours.
        Raises Invalid (name_not_kept, refused_by_server), SystemFault."""
        planned = BucketPlan(noted=self._read_note())
        there = self._listed()
        wanted: set[str] = set()
        for entry in entries.rows():
            if entry.kind == FOLDER:
                planned.empty_folders += 1
                continue
            path = self._check(entry)
            wanted.add(path)
            thing, noted = there.get(path), planned.noted.get(path)
            ours = noted and thing and (noted.etag, noted.size) == (thing.etag, thing.size)
            if noted and thing and ours and noted.id == entry.id.hex():
                planned.same[path] = noted
            elif thing and not (noted and noted.etag) and _is_equal(objects, entry, thing):
                planned.same[path] = Put(entry.id.hex(), entry.size, thing.etag)
            else:
                planned.put.append(entry)
                if thing and not ours and not (noted and not noted.etag):
                    planned.foreign.append(path)
        left = ((path, put) for path, put in planned.noted.items() if path in there and path not in wanted)
        planned.gone = sorted(path for path, put in left if put.etag in ("", there[path].etag))
        return planned

    def carry_out(
        self,
        objects: Objects,
        planned: BucketPlan,
        *,
        overwrite: bool,
        delete: bool,
        progress: Progress | None,
    ) -> None:
        """Raises Conflict (target_exists), Invalid (refused_by_server), SystemFault (changed_meanwhile)."""
        if planned.foreign and not overwrite:
            more = f" and {len(planned.foreign) - _NAMED:,} more" if len(planned.foreign) > _NAMED else ""
            raise Conflict(
                "target_exists",
                f"{self.address} has {', '.join(planned.foreign[:_NAMED])}{more}, which kamld did not"
                " put there, or which was changed since. Nothing was written.",
                "Choose another prefix, or replace them with --overwrite.",
            )
        kept = {path: planned.noted[path] for path in planned.gone if not delete}
        note = dict(planned.same) | kept
        if not (planned.put or (delete and planned.gone) or note.keys() != planned.noted.keys()):
            return
        for entry in planned.put:
            note[entry.path.decode()] = Put(entry.id.hex(), entry.size, "")
        if delete:
            note |= {path: planned.noted[path] for path in planned.gone}
        self._write_note(note, complete=False)
        with self._noting(note):
            self._put_all(objects, planned.put, note, progress)
            if delete and planned.gone:
                self._bucket.delete([self._prefix + path for path in planned.gone])
                for path in planned.gone:
                    del note[path]
            self._check_all(note)
        self._write_note(note, complete=True)

    def _put_all(
        self, objects: Objects, entries: list[Entry], note: dict[str, Put], progress: Progress | None
    ) -> None:
        waiting: list[tuple[Entry, Future[str]]] = []
        noted_at = time.monotonic()

        def done(entry: Entry, etag: str) -> None:
            nonlocal noted_at
            note[entry.path.decode()] = Put(entry.id.hex(), entry.size, etag)
            if progress:
                progress(1, entry.size)
            if time.monotonic() - noted_at > _NOTE_S:
                self._write_note(note, complete=False)
                noted_at = time.monotonic()

        with _pool() as pool:
            for entry, pieces in contents(objects, entries):
                key = self._prefix + entry.path.decode()
                if entry.size > _SMALL:
                    done(entry, self._bucket.put(key, map(bytes, pieces), entry.size))
                    continue
                data = b"".join(pieces)
                waiting.append((entry, pool.submit(self._bucket.put, key, data, entry.size)))
                if len(waiting) >= _AT_ONCE:
                    first, future = waiting.pop(0)
                    done(first, future.result())
            for first, future in waiting:
                done(first, future.result())

    @contextmanager
    def _noting(self, note: dict[str, Put]) -> Iterator[None]:
        """What was put before a failure or an interruption is noted, if that still can be."""
        try:
            yield
        except BaseException:
            with suppress(KamldError):
                self._write_note(note, complete=False)
            raise

    def _check_all(self, note: dict[str, Put]) -> None:
        there = self._listed()
        for path, put in note.items():
            thing = there.get(path)
            if thing is None or (thing.etag, thing.size) != (put.etag, put.size):
                raise SystemFault(
                    "changed_meanwhile",
                    f"{self.address}{path} is not what was put there: somebody else writes there too.",
                    "Do it again once they are done; only what differs is put.",
                )

    def _listed(self) -> dict[str, Thing]:
        found = self._bucket.list(self._prefix.rstrip("/"))
        return {
            thing.key[len(self._prefix) :]: thing for thing in found if thing.key.startswith(self._prefix)
        }

    def _read_note(self) -> dict[str, Put]:
        try:
            thing = self._bucket.find(self._prefix + NOTE)
            if thing is None:
                return {}
            said: Any = json.loads(gzip.decompress(b"".join(self._bucket.stream(thing))))
            return {path: Put(*row) for path, row in said["files"].items()}
        except NotFound:
            return {}
        except (OSError, EOFError, ValueError, TypeError, KeyError, AttributeError):
            raise Invalid(
                "bad_description", f"{self.address}{NOTE} is none of kamld's notes.",
                "Delete it: what is there is then taken for somebody else's, and compared.",
            ) from None  # fmt: skip

    def _write_note(self, note: dict[str, Put], *, complete: bool) -> None:
        files = {path: [put.id, put.size, put.etag] for path, put in sorted(note.items())}
        said = {"format": 1, **self._what, "complete": complete, "files": files}
        data = gzip.compress(json.dumps(said).encode(), 6, mtime=0)
        self._bucket.put(self._prefix + NOTE, data, len(data))

    def _check(self, entry: Entry) -> str:
        """Its name in the bucket. Raises Invalid (name_not_kept)."""
        why = ""
        try:
            path = entry.path.decode("utf-8")
        except UnicodeDecodeError:
            path, why = entry.path.decode("utf-8", "backslashreplace"), "which is not UTF-8"
        if entry.kind == SYMLINK:
            why = "a link"
        elif any(character < " " or character == "\x7f" for character in path):
            why = "which has control characters"
        elif len((self._prefix + path).encode()) > _KEY_MAX:
            why = f"which is longer than {_KEY_MAX} bytes there"
        if why:
            raise Invalid(
                "name_not_kept", f'A bucket cannot hold "{path}", {why}. Nothing was written.',
                "Export it as a .tar, or only a part of it: NAME:PATH.",
            )  # fmt: skip
        return path


def _is_equal(objects: Objects, entry: Entry, thing: Thing) -> bool:
    """Whether an object that somebody else put is the same: where its etag is its MD5."""
    etag = thing.etag.strip('"')
    if thing.size != entry.size or len(etag) != 32:
        return False
    found = md5(usedforsecurity=False)
    for piece in objects.stream(entry.id):
        found.update(piece)
    return found.hexdigest() == etag


@contextmanager
def _pool() -> Iterator[ThreadPoolExecutor]:
    """Whose work that has not begun is given up where anything fails."""
    pool = ThreadPoolExecutor(_AT_ONCE, "put")
    try:
        yield pool
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
